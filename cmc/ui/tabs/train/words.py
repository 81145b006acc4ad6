"""What the Train tab says in HTML: the data, the probes, the queue; all text escaped."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from cmc.runs import Run
from cmc.training.preview import DataPreview, Row

LONGEST = 600  # characters of a text that is shown
NEW_LINE = '<span class="line-end">↵</span>\n'


def data_summary(preview: DataPreview) -> str:
    """Say how many records there are, which columns they come from, how they are split."""
    lines = []
    for source in preview.sources:
        columns = ", ".join(
            f"<b>{escaped(field)}</b> from “{escaped(column)}”"
            for field, column in source.columns.items()
        )
        unused = f"; not used: {escaped(', '.join(source.unused))}" if source.unused else ""
        name = escaped(source.name.rsplit("/", 1)[-1])
        lines.append(f"<b>{name}</b>: {source.records:,} records; {columns}{unused}")
    parts = " · ".join(f"{number:,} {part}" for part, number in preview.parts.items())
    lines.append(f"Split, the same every time: {parts}")
    over = []
    if preview.cut:
        over.append(f"the answers of {preview.cut:,} are cut")
    if preview.skipped:
        over.append(f"{preview.skipped:,} are left out, their prompt alone fills it")
    said = "; ".join(over) or "all fit"
    lines.append(f"Limit of {preview.limit:,} tokens: {said}")
    if preview.measured < sum(preview.parts.values()):
        lines.append(f"Lengths and repeats: of the first {preview.measured:,} records")
    return "<br>".join(lines)


def warnings(preview: DataPreview) -> str:
    """Return the warnings as a list, or that there are none."""
    if not preview.warnings:
        return '<span class="good">No repeats and no leaks were found ✓</span>'
    items = "".join(f"<li>{escaped(each)}</li>" for each in preview.warnings)
    return f'<ul class="warnings">{items}</ul>'


def row_table(rows: Sequence[Row]) -> str:
    """Return the first records as they are trained on, the answer marked."""
    lines = "".join(map(_record, rows))
    return f'<table class="records"><tbody>{lines}</tbody></table>'


def probe_table(probes: Sequence[Mapping[str, Any]]) -> str:
    """Return what is said at fixed prompts: the base, after the first step, and now."""
    if not probes:
        return "Answers to fixed questions appear here with the first step."
    first, last = probes[0]["step"], probes[-1]["step"]
    early = {each["instruction"]: each["controlled"] for each in probes if each["step"] == first}
    newest = [each for each in probes if each["step"] == last]
    steps = [first, last] if last > first else [last]
    heads = "".join(f"<th>step {step:,}</th>" for step in steps)
    rows = "".join(_probe_row(each, early, len(steps)) for each in newest)
    return (
        f'<div class="compare"><table class="probes"><thead><tr><th>asked</th><th>expected</th>'
        f"<th>base</th>{heads}</tr></thead><tbody>{rows}</tbody></table></div>"
    )


def queue_line(queue: Sequence[Run], shown: str) -> str:
    """Say who is in progress and who waits; nothing where only the shown run is there."""
    names = [escaped(run.name) for run in queue]
    if len(queue) < 2 and all(run.name == shown for run in queue):
        return ""
    waiting = ", ".join(f"{place}. {name}" for place, name in enumerate(names[1:], start=1))
    return f"In progress: <b>{names[0]}</b>" + (f" · waiting: {waiting}" if waiting else "")


def _record(row: Row) -> str:
    text = f"{_marked(row.prompt)}<mark>{_marked(row.response)}</mark>"
    about = f"{escaped(row.part)}<small>{row.tokens:,} tokens</small>"
    return f'<tr><td>{about}</td><td class="as-trained">{text}</td></tr>'


def _probe_row(probe: Mapping[str, Any], early: Mapping[str, str], columns: int) -> str:
    texts = [probe["expected"], probe["base"]]
    if columns > 1:
        texts.append(early.get(probe["instruction"], ""))
    cells = "".join(f"<td>{escaped(each.strip())}</td>" for each in [*texts, probe["controlled"]])
    asked = f"{escaped(probe['instruction'])}<small>{escaped(probe['part'])}</small>"
    return f'<tr><th scope="row">{asked}</th>{cells}</tr>'


def _marked(text: str) -> str:
    return escaped(text).replace("\n", NEW_LINE)


def escaped(text: Any) -> str:
    """Return a text as HTML, cut where it is very long."""
    whole = str(text)
    cut = whole if len(whole) <= LONGEST else whole[:LONGEST] + " …"
    return html.escape(cut)
