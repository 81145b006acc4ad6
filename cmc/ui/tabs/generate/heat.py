"""The shift on every token as colours, and what stood first before and after; all text escaped."""

import html
import math
from collections.abc import Sequence

from cmc.workspace.looked import Looked

FULL = 6.0  # nats; a shift this large has the full colour
EMPTY = "The controlled tokens appear here, coloured by how far control moved each."
HINT = "Choose a token to see what stood first before and after control."
# A click on a token, or Enter with the keyboard on it, tells which one.
ON_CLICK = """element.addEventListener('click', event => {
  const token = event.target.closest('button[data-at]');
  if (!token) return;
  element.querySelectorAll('[aria-pressed]').forEach(each => each.removeAttribute('aria-pressed'));
  token.setAttribute('aria-pressed', 'true');
  trigger('click', {at: Number(token.dataset.at)});
});"""


def told_otherwise(tokens: Sequence[Looked]) -> str:
    """Return `The base would have said otherwise at 14 of 120 tokens.`; safe as HTML."""
    if not tokens:
        return ""
    changed = sum(each.would_differ for each in tokens)
    words = f"token{'' if len(tokens) == 1 else 's'}"
    return f"The base would have said otherwise at <b>{changed} of {len(tokens)}</b> {words}."


def heat_html(tokens: Sequence[Looked]) -> str:
    """Return every token as a button, coloured by its shift in nats; safe as HTML.

    A colour never stands alone: the shift is in the title and in the label, and a token that the
    base would not have said is underlined.
    """
    if not tokens:
        return f'<p class="heat-empty">{EMPTY}</p>'
    buttons = "".join(_button(at, each) for at, each in enumerate(tokens))
    return f'<div class="heat">{buttons}</div>{_legend()}'


def top_html(token: Looked | None) -> str:
    """Return the likeliest tokens before and after control, with the change; safe as HTML."""
    if token is None:
        return f'<p class="heat-empty">{HINT}</p>'
    moved = " · ".join(
        [f"<b>{html.escape(token.text)}</b> {signed(token.shift)} nats"]
        + [f"{html.escape(name)} {signed(shift)}" for name, shift in token.shifts.items()]
    )
    heads = '<tr><th colspan="2">base</th><th colspan="2">controlled</th><th>change</th></tr>'
    rows = "".join(
        f"<tr>{_side(*old, token.text)}{_side(*new, token.text)}</tr>"
        for old, new in zip(
            [(each.text, each.base_logprob, None) for each in token.before],
            [(each.text, each.logprob, each.logprob - each.base_logprob) for each in token.after],
            strict=True,
        )
    )
    return f'<p class="top-head">{moved}</p><table class="top">{heads}{rows}</table>'


def signed(nats: float) -> str:
    """Return nats with a sign and one decimal, `+2.3`."""
    if not math.isfinite(nats):
        return "+∞" if nats > 0 else "−∞"
    return f"{nats:+.1f}".replace("-", "−")


def _button(at: int, token: Looked) -> str:
    """Return one token; a newline ends the line here too."""
    strength = min(1.0, abs(token.shift) / FULL)
    side = "up" if token.shift >= 0 else "down"
    classes = f"{side} other" if token.would_differ else side
    said = f"{token.text}: {signed(token.shift)} nats"
    if token.would_differ:
        said += f"; the base would have said {token.base_choice}"
    line_end = "<br>" if "⏎" in token.text else ""
    return (
        f'<button type="button" data-at="{at}" class="{classes}" style="--heat:{strength:.3f}" '
        f'title="{html.escape(said)}" aria-label="{html.escape(said)}">'
        f"{html.escape(token.text)}</button>{line_end}"
    )


def _legend() -> str:
    """Return what the colours and the line mean."""
    return (
        '<div class="heat-legend" aria-hidden="true">'
        f"<span>−{FULL:g} nats</span><i></i><span>+{FULL:g} nats</span>"
        '<span class="mark">the base would have said otherwise</span></div>'
    )


def _side(text: str, logprob: float, change: float | None, chosen: str) -> str:
    """Return the cells of one token on one side."""
    share = math.exp(logprob)
    mark = ' class="said"' if text == chosen else ""
    cells = (
        f"<td{mark}><code>{html.escape(text)}</code></td>"
        f'<td class="share" style="--share:{share:.3f}">{percent(share)}</td>'
    )
    if change is None:
        return cells
    side = "up" if change >= 0.05 else "down" if change <= -0.05 else ""
    return f'{cells}<td class="change {side}">{signed(change)}</td>'


def percent(share: float) -> str:
    """Return a share as percent, `<0.1` where it is smaller."""
    return "<0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
