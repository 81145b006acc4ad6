"""A report beside an earlier one: what got worse, what got better."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.evaluation.examples import Example
from cmc.evaluation.measures import BETTER, WORSE, Change
from cmc.ui.form import QUIET, guarded
from cmc.ui.tabs.evaluate.report import number, signed, table
from cmc.workspace import Workspace
from cmc.workspace.evaluations import open_evaluation
from cmc.workspace.reports import SHIPPED, Compared, compared_with, reports_to_compare

ANSWERS_SHOWN = 10
NONE = ""
TEXT = {
    "none": "There is no earlier finished report of this kind to compare with.",
    "choose": "Choose an earlier report to see what got worse and what got better.",
    "nothing": "The two reports have measured nothing in common.",
    "verdict": "A figure is worse or better where the two 95 % intervals do not touch.",
}
CLASSES = {WORSE: "bad", BETTER: "good"}


@dataclass(frozen=True)
class Comparing:
    """The components of the comparison."""

    earlier: gr.Dropdown
    shown: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """What `choices_to_compare` fills, in its order."""
        return [self.earlier, self.shown]


def build_comparing() -> Comparing:
    """Lay out the choice and the comparison."""
    earlier = gr.Dropdown([("none", NONE)], value=NONE, label="Earlier report",
                          elem_id="compare-earlier")  # fmt: skip
    return Comparing(earlier, gr.HTML(TEXT["none"], padding=False, elem_id="compare-found"))


def wire_comparing(workspace: Workspace, parts: Comparing, seen: gr.State) -> None:
    """Connect the choice; the run shown is in `seen`."""

    def compare(state: dict[str, str], earlier: str) -> str:
        if not earlier or not state["run"] or state["run"] == SHIPPED:
            return f'<p class="about">{TEXT["choose"]}</p>'
        run = open_evaluation(workspace, state["run"])
        return compared_html(compared_with(workspace, run, earlier), earlier)

    parts.earlier.input(guarded(compare), [seen, parts.earlier], parts.shown, **QUIET)


def choices_to_compare(workspace: Workspace, name: str) -> list[Any]:
    """Return updates for `Comparing.outputs` when another run is shown."""
    names: list[str] = []
    if name and name != SHIPPED:
        names = reports_to_compare(workspace, open_evaluation(workspace, name))
    note = TEXT["choose" if names else "none"]
    choice = gr.update(choices=[("none", NONE), *names], value=NONE, interactive=bool(names))
    return [choice, f'<p class="about">{note}</p>']


def compared_html(found: Compared, earlier: str) -> str:
    """Return a comparison; every text is escaped."""
    parts = [_tests(found, earlier)] if found.tests else []
    if found.changes:
        parts.append(_figures(found.changes, earlier))
    if found.worse or found.better:
        parts.append(
            f"<p><b>{len(found.worse)}</b> answers have a lower score than before, "
            f"<b>{len(found.better)}</b> a higher one.</p>"
        )
        parts += [_answers(found.worse[:ANSWERS_SHOWN], earlier)]
    return "".join(parts) or f'<p class="about">{TEXT["nothing"]}</p>'


def _tests(found: Compared, earlier: str) -> str:
    """Return the tests of a suite that fail now and passed before, and those mended."""
    tests = found.tests or {}
    lines = []
    for name, kind, word in (("regressions", "bad", "fails now"), ("fixed", "good", "passes now")):
        for each in tests[name]:
            what = html.escape(f"{each['test']} ({each['controller']} on {each['target']})")
            lines.append(f'<p><b class="{kind}">{word}</b> {what}</p>')
    told = f"{tests['compared']} results stand in both, this report and {html.escape(earlier)}."
    return "".join(lines or ["<p>No test changed.</p>"]) + f'<p class="about">{told}</p>'


def _figures(changes: Sequence[Change], earlier: str) -> str:
    heads = ["controller", "target", "strength", "measured", earlier, "now", "difference", ""]
    rows = []
    for each in changes:
        now = each.after
        strength = "" if now.strength is None else f"{now.strength:g}"
        told = [now.controller, f"{now.target} {now.transfer}".strip(), strength, now.name]
        cells = "".join(f"<td>{html.escape(part)}</td>" for part in told)
        cells += f"<td>{_with_interval(each.before)}</td>"
        cells += f"<td>{_with_interval(now)}</td>"
        cells += f"<td>{signed(now.value - each.before.value)}</td>"
        cells += f'<td class="{CLASSES.get(each.verdict, "even")}">{each.verdict}</td>'
        rows.append(f"<tr>{cells}</tr>")
    return table(heads, rows) + f'<p class="about">{TEXT["verdict"]}</p>'


def _with_interval(measure: Any) -> str:
    if measure.low is None or measure.high is None:
        return number(measure.value)
    ends = f"[{number(measure.low)}, {number(measure.high)}]"
    return f"{number(measure.value)} {ends}<br><small>n = {measure.n}</small>"


def _answers(pairs: Sequence[tuple[Example, Example]], earlier: str) -> str:
    if not pairs:
        return ""
    rows = [
        f"<tr><td>{_cut(now.question)}</td><td>{html.escape(now.target)} at {now.strength:g}</td>"
        f"<td>{_cut(before.controlled)}</td><td>{_cut(now.controlled)}</td></tr>"
        for before, now in pairs
    ]
    return table(["question", "on", f"{earlier} said", "now"], rows)


def _cut(text: str) -> str:
    return html.escape(text if len(text) <= 300 else text[:299] + "…")
