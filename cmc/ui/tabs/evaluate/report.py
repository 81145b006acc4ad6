"""A report as HTML: what it says in a sentence, a table with signed differences to the base."""

import html
from collections.abc import Mapping, Sequence
from typing import Any

from cmc.evaluation.measures import Measure, measures_of

ROWS_SHOWN = 200
TEXT = {
    "absent": "No report has been shipped with the lab. Start an evaluation: it goes on when you "
    "close this page.",
    "shipped": "This report was shipped with the starter lab. Start an evaluation of your own: it "
    "goes on when you close this page.",
    "transfer": "<b>effect</b>: what control adds on this target, divided by what it adds on the "
    "template; 1.00 means that nothing was lost on the way.",
    "interval": "Intervals are 95 %. <b>difference</b> is controlled less base.",
    "partial": "Measured so far; the recommendation comes with the last measurement.",
}


def headline(report: Mapping[str, Any]) -> str:
    """Return what a report says in a few sentences; safe as HTML."""
    if not report:
        return ""
    if report.get("is_partial"):
        return f"<p>{TEXT['partial']}</p>" if report.get("rows") else ""
    lines = [
        f"<b>{html.escape(each['controller'])} on {html.escape(each['target'])}</b>: "
        f"{html.escape(each['why'])}"
        for each in report.get("recommendations") or []
    ]
    if "verdict" in report:
        lines.append(f"<b>{html.escape(report['verdict'])}</b>")
        health = report.get("map") or {}
        lines.append(html.escape(f"Map: {health.get('transfer')}, grade {health.get('grade')}."))
    if "passed" in report:
        kind = "bad" if report["failed"] else "good"
        told = f"{report['passed']} passed, {report['failed']} failed"
        lines.append(f'<span class="{kind}">{told}</span>')
    lines += [
        html.escape(f"{_at_strength(each)} on {each['target']}: {each['reached']}.")
        for each in report.get("rows") or [] if "reached" in each
    ]  # fmt: skip
    for name in ("forget_quality_reason", "model_utility_reason", "incomplete", "judge"):
        if report.get(name):
            lines.append(html.escape(f"{name.replace('_', ' ').capitalize()}: {report[name]}."))
    return "".join(f"<p>{each}</p>" for each in lines)


def _at_strength(row: Mapping[str, Any]) -> str:
    """Return a method with the strength that was chosen for it."""
    is_chosen = row["strength"] is not None
    return f"{row['method']} at {row['strength']:g}" if is_chosen else f"{row['method']} at none"


def table_html(report: Mapping[str, Any]) -> str:
    """Return the figures of a report as a table; every text is escaped."""
    if report.get("kind") == "suite" and report.get("columns"):
        return _matrix(report)
    measures = measures_of(report)
    if not measures:
        return ""
    effects = [row.get("recovered_effect") for row in report.get("rows") or []]
    is_transfer = report.get("kind") == "transfer"
    extra = [None] * (len(measures) - len(effects)) + effects if is_transfer else []
    columns = _columns(measures)
    marks = _marks(report)
    heads = [*columns, "measured", "value", "95 % interval", "n", "base", "difference"]
    heads += ["effect"] if is_transfer else []
    rows = []
    for number, each in enumerate(measures[:ROWS_SHOWN]):
        told = [f"<td>{_said(each, name)}</td>" for name in columns]
        told.append(f"<td>{html.escape(each.name)}{marks.get(_pair(each), '')}</td>")
        told += [_number(each.value), f"<td>{_interval(each)}</td>", f"<td>{each.n or ''}</td>"]
        told += [_number(each.base), difference_cell(each)]
        told += [_number(extra[number])] if is_transfer else []
        rows.append(f"<tr>{''.join(told)}</tr>")
    note = TEXT["interval"] + (f" {TEXT['transfer']}" if is_transfer else "")
    if len(measures) > ROWS_SHOWN:
        note += f" The first {ROWS_SHOWN} of {len(measures)} figures; the files have all."
    return table(heads, rows) + f'<p class="about">{note}</p>'


def table(heads: Sequence[str], rows: Sequence[str]) -> str:
    """Return a table from the words of its head and its rows as HTML."""
    head = "".join(f"<th>{html.escape(each)}</th>" for each in heads)
    return (
        f'<div class="figures" tabindex="0"><table><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def difference_cell(measure: Measure) -> str:
    """Return the signed difference to the base; where it is clear its colour says if it is good."""
    if measure.difference is None:
        return "<td></td>"
    kind = "good" if measure.gain > 0 else "bad"
    kind = kind if measure.is_clear and measure.gain else "even"
    ends = ""
    if measure.paired is not None:
        ends = f" <small>{signed(measure.paired[0])} to {signed(measure.paired[1])}</small>"
    return f'<td class="{kind}">{signed(measure.difference)}{ends}</td>'


def signed(value: float) -> str:
    """Return a number with its sign, a true minus included."""
    text = f"{value:+.3f}" if abs(value) < 10 else f"{value:+.1f}"
    return text.replace("-", "−") if float(text) else "±0"


def number(value: Any) -> str:
    """Return a number as short as it stays exact enough to be compared."""
    if not isinstance(value, int | float):
        return ""
    if value and abs(value) < 0.0005:
        return f"{value:.2e}".replace("-", "−")
    return (f"{value:.3f}" if abs(value) < 10 else f"{value:.1f}").replace("-", "−")


def _columns(measures: Sequence[Measure]) -> list[str]:
    """Return what tells the rows apart: what is the same in all of them need not be repeated."""
    names = ("controller", "target", "transfer", "strength")
    seen = {name: {getattr(each, name) for each in measures} for name in names}
    return [name for name in names if seen[name] - {"", None} and (
        name == "target" or len(seen[name]) > 1)]  # fmt: skip


def _marks(report: Mapping[str, Any]) -> dict[tuple[Any, ...], str]:
    """Return what to write beside the rows of a recommended strength, and of one that does harm."""
    marks: dict[tuple[Any, ...], str] = {}
    for each in report.get("recommendations") or []:
        pair = each["controller"], each["target"]
        for row in report.get("rows") or []:
            strength = row["strength"]
            if (row["controller"], row["target"]) != pair:
                continue
            if strength == each["strength"]:
                marks[(*pair, strength)] = ' <b class="mark good">★ recommended</b>'
            elif any(low <= strength <= high for low, high in each["harm"]):
                marks[(*pair, strength)] = ' <b class="mark bad">harm</b>'
    return marks


def _pair(measure: Measure) -> tuple[Any, ...]:
    return measure.controller, measure.target, measure.strength


def _said(measure: Measure, name: str) -> str:
    value = getattr(measure, name)
    return f"{value:g}" if isinstance(value, float) else html.escape(str(value or ""))


def _number(value: Any) -> str:
    return f"<td>{number(value)}</td>"


def _interval(measure: Measure) -> str:
    if measure.low is None or measure.high is None:
        return "—"
    return f"{number(measure.low)} to {number(measure.high)}"


def _matrix(report: Mapping[str, Any]) -> str:
    """Return which tests passed where, with the reason of every failure."""
    columns = report["columns"]
    heads = ["test", *(f"{each['controller']} on {each['target']}" for each in columns)]
    rows = []
    for test in report["tests"]:
        cells = [f"<td>{html.escape(test)}</td>"]
        for each in columns:
            if each["results"].get(test):
                cells.append('<td><b class="good">✓ passed</b></td>')
            else:
                why = html.escape(each["reasons"].get(test, "not measured"))
                cells.append(f'<td><b class="bad">✕ failed</b> <small>{why}</small></td>')
        rows.append(f"<tr>{''.join(cells)}</tr>")
    totals = "".join(
        f"<td><b>{each['passed']} of {each['passed'] + each['failed']}</b></td>"
        for each in columns
    )  # fmt: skip
    return table(heads, [*rows, f"<tr><td>passed</td>{totals}</tr>"])
