"""The head of the tab: the grade as a sentence, a tile for every kind, and what is missing."""

import html
from collections.abc import Mapping
from typing import Any

from cmc.vocab.visible import visible

KIND_NAMES = {
    "exact": "same bytes",
    "prefix": "only its beginning",
    "extension": "reaches beyond",
    "composed": "several tokens",
    "role": "same role",
    "chosen": "by a person",
    "none": "nothing alike",
}
EXAMPLES = 6  # of what a tokenizer loses
FAILED = '<p class="grade"><b class="bad">This pair was not inspected.</b> The message says why; '
FAILED += "below is still the map that was shown before.</p>"


def head_html(summary: Mapping[str, Any], title: str) -> str:
    """Return the grade of a map, its kinds of entries, and what it lacks; safe as HTML.

    Args:
        summary: as `health.map_summary` makes it.
        title: what is looked at, in words.
    """
    letter = html.escape(summary["grade"])
    advice = summary["advice"]
    said = html.escape(advice[:1].lower() + advice[1:])
    grade = (
        f'<p class="grade"><b class="letter grade-{letter}">grade {letter}</b> '
        f"On the English sample: {said}</p>"
    )
    tiles = "".join(_tile(summary, kind) for kind in KIND_NAMES if kind in summary["ids"])
    return f'{grade}<div class="tiles">{tiles}</div><p class="missing">{_line(summary, title)}</p>'


def _tile(summary: Mapping[str, Any], kind: str) -> str:
    mass = 100 * summary["mass"][kind]
    return (
        f'<div class="tile kind-{kind}"><span>{kind}</span><b>{summary["ids"][kind]:,}</b>'
        f"<i>{KIND_NAMES[kind]}</i><i>{mass:.1f} % of text</i></div>"
    )


def _line(summary: Mapping[str, Any], title: str) -> str:
    """Return what is looked at, how long paths are, and what the pair lacks."""
    total = sum(summary["ids"].values())
    parts = [html.escape(title), f"{total:,} target tokens"]
    parts.append(f"{summary['path_length']:.2f} controller tokens for each in the sample")
    missing = [
        role
        for role, counts in summary["roles"].items()
        if counts["target"] and not counts["controller"] and role != "other"
    ]
    if missing:
        parts.append(f"the controller has no {', '.join(missing)}")
    if summary["unused"]["target"]:
        parts.append(f"{summary['unused']['target']:,} unused target ids")
    parts += [_lost(side, each) for side, each in summary["losses"].items() if each["lossy"]]
    return " · ".join(parts)


def _lost(side: str, losses: Mapping[str, Any]) -> str:
    """Return what a tokenizer loses, with the first examples."""
    first = losses["unspelled"][:EXAMPLES]
    examples = " ".join(f"<code>{html.escape(visible(each.encode()))}</code>" for each in first)
    more = " …" if len(losses["unspelled"]) > EXAMPLES else ""
    return f'<span class="bad">the {side} loses</span> {examples}{more}'
