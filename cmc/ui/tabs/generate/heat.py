"""The shift on every token as colours, and what stood first before and after; all text escaped."""

import html
import math
from collections.abc import Sequence

from cmc.generation import TokenDetail, TokenOption
from cmc.vocab.visible import visible

FULL = 6.0  # nats; a shift this large has the full colour
EMPTY = "The controlled tokens appear here, coloured by how far control moved each."
HINT = "Choose a token to see what stood first before and after control."
THINNED = "An older result of this visit: generate again to see what stood first here."
# A click on a token, or Enter with the keyboard on it, tells which one.
ON_CLICK = """element.addEventListener('click', event => {
  const token = event.target.closest('button[data-at]');
  if (!token) return;
  element.querySelectorAll('[aria-pressed]').forEach(each => each.removeAttribute('aria-pressed'));
  token.setAttribute('aria-pressed', 'true');
  trigger('click', {at: Number(token.dataset.at)});
});"""


def told_otherwise(tokens: Sequence[TokenDetail]) -> str:
    """Return `The base would have said otherwise at 14 of 120 tokens.`; safe as HTML."""
    if not tokens:
        return ""
    changed = sum(each.is_changed for each in tokens)
    words = f"token{'' if len(tokens) == 1 else 's'}"
    return f"The base would have said otherwise at <b>{changed} of {len(tokens)}</b> {words}."


def heat_html(tokens: Sequence[TokenDetail]) -> str:
    """Return every token as a button, coloured by its shift in nats; safe as HTML.

    A colour never stands alone: the shift is in the title and in the label, and a token that the
    base would not have said is underlined.
    """
    if not tokens:
        return f'<p class="heat-empty">{EMPTY}</p>'
    buttons = "".join(_button(at, each) for at, each in enumerate(tokens))
    return f'<div class="heat">{buttons}</div>{_legend()}'


def top_html(token: TokenDetail | None, names: Sequence[str] = ()) -> str:
    """Return the likeliest tokens before and after control, with the change; safe as HTML.

    Args:
        token: one token of the controlled answer, or None while none is chosen.
        names: of the controllers, in the order of the token's shifts.
    """
    if token is None:
        return f'<p class="heat-empty">{HINT}</p>'
    parts = [f"<b>{shown(token.chosen)}</b> {signed(token.chosen.change)} nats"]
    if len(names) > 1:
        parts += [
            f"{html.escape(name)} alone {signed(shift)}"
            for name, shift in zip(names, token.shifts, strict=True)
        ]
    head = f'<p class="top-head">{" · ".join(parts)}</p>'
    if not token.before:
        return f'{head}<p class="heat-empty">{THINNED}</p>'
    heads = '<tr><th colspan="2">base</th><th colspan="2">controlled</th><th>change</th></tr>'
    rows = "".join(
        f"<tr>{_cells(old, old.base_logprob, token)}{_cells(new, new.controlled_logprob, token)}"
        f"{_change(new)}</tr>"
        for old, new in zip(token.before, token.after, strict=True)
    )
    return f'{head}<table class="top">{heads}{rows}</table>'


def shown(option: TokenOption) -> str:
    """Return a token with its white space made visible, escaped."""
    return html.escape(visible(option.text.encode()))


def signed(nats: float) -> str:
    """Return nats with a sign and one decimal, `+2.3`."""
    if not math.isfinite(nats):
        return "+∞" if nats > 0 else "−∞"
    return f"{nats:+.1f}".replace("-", "−")


def _button(at: int, token: TokenDetail) -> str:
    """Return one token; a newline ends the line here too."""
    change = token.chosen.change
    heat = min(1.0, abs(change) / FULL)
    said = f"{shown(token.chosen)}: {signed(change)} nats"
    classes = "up" if change >= 0 else "down"
    if token.is_changed:
        said += f"; the base would have said {shown(token.base_choice)}"
        classes += " other"
    line_end = "<br>" if token.chosen.text.endswith("\n") else ""
    return (
        f'<button type="button" data-at="{at}" class="{classes}" style="--heat:{heat:.3f}" '
        f'title="{said}" aria-label="{said}">{shown(token.chosen)}</button>{line_end}'
    )


def _legend() -> str:
    """Return what the colours and the line mean."""
    return (
        '<div class="heat-legend" aria-hidden="true">'
        f"<span>−{FULL:g} nats</span><i></i><span>+{FULL:g} nats</span>"
        '<span class="mark">the base would have said otherwise</span></div>'
    )


def _cells(option: TokenOption, logprob: float, token: TokenDetail) -> str:
    """Return token and probability of one side."""
    share = math.exp(logprob)
    mark = ' class="said"' if option.token_id == token.chosen.token_id else ""
    return (
        f"<td{mark}><code>{shown(option)}</code></td>"
        f'<td class="share" style="--share:{share:.3f}">{percent(share)}</td>'
    )


def _change(option: TokenOption) -> str:
    """Return by how much control moved a token, nats."""
    side = "up" if option.change >= 0.05 else "down" if option.change <= -0.05 else ""
    return f'<td class="change {side}">{signed(option.change)}</td>'


def percent(share: float) -> str:
    """Return a share as percent, `<0.1` where it is smaller."""
    return "<0.1 %" if share < 0.001 else f"{100 * share:.1f} %"
