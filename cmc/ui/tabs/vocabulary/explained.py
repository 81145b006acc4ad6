"""Why a token is mapped as it is, as HTML: candidates, the rule that chose, what `cover` sums."""

import html
from collections.abc import Sequence

from cmc.vocab import Explanation
from cmc.vocab.explain import Candidate
from cmc.vocab.visible import visible
from cmc.workspace.maps import InspectedMap

HINT = "Choose a token to see its candidates, and why one of them was taken."
LISTED = 8  # candidates, and tokens that reach beyond, before the rest is folded
Beyond = tuple[bytes, int, tuple[tuple[int, bytes], ...]]


def explanation_html(found: InspectedMap | None, told: Explanation | None) -> str:
    """Return all that is known of one target token; all text is escaped."""
    if found is None or told is None:
        return f'<p class="empty">{HINT}</p>'
    rules = f"<h4>By the rules of pm-mined</h4><p>{html.escape(told.reason)}</p>"
    parts = [_title(found, told), _entry(found, told), rules]
    if told.candidates:
        parts.append(_candidates(told))
    if told.covering:
        parts.append(_cover(told))
    return f'<div class="explained">{"".join(parts)}</div>'


def _title(found: InspectedMap, told: Explanation) -> str:
    name = found.pair.target_names[told.token_id]
    facts = [f"id {told.token_id:,}"]
    if told.spelled:
        facts.append(f"{len(told.spelled)} byte{'' if len(told.spelled) == 1 else 's'}")
    if told.token not in (None, name):
        facts.append(f"written <code>{html.escape(told.token or '')}</code>")
    if told.role:
        facts.append(f"role {html.escape(told.role)}")
    if told.duplicates:
        same = ", ".join(map(str, told.duplicates[:5]))
        facts.append(f"spelled like {same}")
    return f"<h3><code>{html.escape(name)}</code></h3><p class='facts'>{' · '.join(facts)}</p>"


def _entry(found: InspectedMap, told: Explanation) -> str:
    """Return what this map says, and how many other tokens share its controller token."""
    token_id = told.token_id
    kind = found.map.kind_of(token_id).word
    other = int(found.map.ids[token_id])
    chip = f'<span class="chip kind-{kind}">{kind}</span>'
    if other < 0:
        return f"<p>In this map {chip}: no controller token.</p>"
    name = html.escape(found.mapped_name(token_id))
    what = "first controller token" if kind == "composed" else "controller token"
    served = int(found.served[token_id])
    shared = f", which serves {served:,} target tokens" if served > 1 else ""
    said = f"{what} <code>{name}</code> (id {other:,}){shared}"
    return f"<p>In this map {chip}: {said}.{_otherwise(found, told)}</p>"


def _otherwise(found: InspectedMap, told: Explanation) -> str:
    """Say where a map has something else than the rules that are told below it."""
    is_own_way = found.map.transfer in ("cover", "same")
    if is_own_way or int(found.map.ids[told.token_id]) == told.chosen:
        return ""
    if found.map.parity:
        return " <b>As published</b>: by raw strings, while the rules below go by bytes."
    return " <b>Not what the rules below would take.</b>"


def _candidates(told: Explanation) -> str:
    """Return the candidates, nearest first, the chosen one marked."""
    rows = [_candidate(each, each.token_id == told.chosen) for each in told.candidates]
    count = told.candidate_count
    head = f"{count:,} candidate{'' if count == 1 else 's'}"
    if count > len(rows):
        head += f", the nearest {len(rows)}"
    table = "<table><tr><th>token</th><th class='number'>id</th>"
    table += "<th>kind</th><th class='number'>distance</th></tr>"
    first = f"{table}{''.join(rows[:LISTED])}</table>"
    more = rows[LISTED:]
    folded = f"<details><summary>{len(more)} more</summary>{table}{''.join(more)}</table></details>"
    return f"<p class='facts'>{head}</p>{first}{folded if more else ''}"


def _candidate(candidate: Candidate, is_chosen: bool) -> str:
    mark = ' class="chosen"' if is_chosen else ""
    kind = candidate.kind.word
    why = (
        f"<br><small>not taken: {html.escape(candidate.barred)}</small>" if candidate.barred else ""
    )
    return (
        f'<tr{mark}><td class="token"><code>{_shown(candidate.spelled)}</code>{why}</td>'
        f'<td class="number">{candidate.token_id}</td>'
        f'<td><span class="chip kind-{kind}">{kind}</span></td>'
        f'<td class="number">{candidate.distance}</td></tr>'
    )


def _cover(told: Explanation) -> str:
    """Return the controller's own tokens, and at every place which tokens may say the rest."""
    own = " ".join(f"<code>{_shown(data)}</code>" for _, data in told.covering)
    whole = "" if told.covers else " <b>They do not spell all of it: cover leaves it alone.</b>"
    said: Sequence[bytes] = [data for _, data in told.covering]
    rows = "".join(_sum(b"".join(said[:at]), each) for at, each in enumerate(told.beyond))
    return (
        f"<h4>What cover sums</h4><p>The controller says it as {own}.{whole} Its probability is "
        "a sum, over the places where that can be left, of all tokens that begin with the rest:"
        f"</p><ul>{rows}</ul>"
    )


def _sum(before: bytes, beyond: Beyond) -> str:
    """Return one place: what was said before, what is left, and the tokens that begin with it."""
    rest, count, first = beyond
    shown = " ".join(f"<code>{_shown(data)}</code>" for _, data in first[:LISTED])
    after = f"after <code>{_shown(before)}</code>" if before else "at once"
    more = " …" if count > LISTED else ""
    tokens = f"{count:,} token{'' if count == 1 else 's'} that begin{'s' if count == 1 else ''}"
    return f"<li>{after}: {tokens} with <code>{_shown(rest)}</code>: {shown or 'none'}{more}</li>"


def _shown(data: bytes) -> str:
    return html.escape(visible(data))
