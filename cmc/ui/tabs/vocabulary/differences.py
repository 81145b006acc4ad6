"""What two maps of a pair differ in: counts, and a page of the entries, as HTML."""

import html

import numpy as np

from cmc.ui.tabs.vocabulary.table import (
    Page,
    kind_cell,
    plain_heads,
    row_html,
    table_html,
    token_cell,
)
from cmc.workspace.maps import ComparedMaps, InspectedMap

CHANGES = ("all", "gained", "lost", "changed")
HEADS = ("id", "target token", "change", "first", "", "second", "")
MEANINGS = {
    "gained": "mapped only in the second",
    "lost": "mapped only in the first",
    "changed": "mapped to another token",
    "equal": "mapped alike, or in neither",
}


def listed(found: ComparedMaps, change: str) -> np.ndarray:
    """Return the target ids of one kind of change, in order."""
    if change in ("gained", "lost", "changed"):
        return getattr(found.diff, change)
    return np.sort(np.concatenate([found.diff.gained, found.diff.lost, found.diff.changed]))


def differences_html(found: ComparedMaps, page: Page) -> str:
    """Return one page of the entries that differ; all text is escaped."""
    named = dict.fromkeys(found.diff.gained.tolist(), "gained")
    named |= dict.fromkeys(found.diff.lost.tolist(), "lost")
    rows = (_row(found, each, named.get(each, "changed")) for each in page.ids)
    return table_html(plain_heads(HEADS), rows, page, "Entries that differ")


def counts_html(found: ComparedMaps) -> str:
    """Return how many entries differ and how, and both grades."""
    diff = found.diff
    counts = {name: len(getattr(diff, name)) for name in CHANGES[1:]}
    counts["equal"] = len(found.after.map.ids) - sum(counts.values())
    tiles = "".join(
        f'<div class="tile change-{name}"><span>{name}</span><b>{count:,}</b>'
        f"<i>{MEANINGS[name]}</i></div>"
        for name, count in counts.items()
    )
    grades = " · ".join(
        f"{name}: {_graded(each)}"
        for name, each in (("first", found.before), ("second", found.after))
    )
    same = f'<p class="grade">{_alike(found)}</p>' if diff.same else ""
    return f'{same}<div class="tiles few">{tiles}</div><p class="missing">{grades}</p>'


def _alike(found: ComparedMaps) -> str:
    if found.before.map.transfer == found.after.map.transfer:
        return "No entry differs."
    return "No entry differs; only what the transfers do with them does."


def _graded(found: InspectedMap) -> str:
    summary = found.summary
    letter = html.escape(summary["grade"])
    carried = f"{100 * summary['score']:.1f} % of English text arrives"
    return f"{html.escape(summary['transfer'])}, grade {letter}, {carried}"


def _row(found: ComparedMaps, token_id: int, change: str) -> str:
    """Return one entry in both maps as a row."""
    cells = [
        token_cell(found.after.pair.target_names[token_id]),
        f'<td><span class="chip change-{change}">{change}</span></td>',
    ]
    for side in (found.before, found.after):
        other = int(side.map.ids[token_id])
        cells.append(token_cell(side.mapped_name(token_id), str(other) if other >= 0 else "none"))
        cells.append(kind_cell(side.map.kind_of(token_id).word))
    return row_html(token_id, cells)
