"""One example after the other: what the base said, what was said under control, and why."""

import html
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.errors import CmcError
from cmc.evaluation.examples import FILTERS, Example, filtered
from cmc.ui.form import QUIET, guarded
from cmc.ui.tabs.evaluate.report import signed
from cmc.workspace import Workspace
from cmc.workspace.evaluations import open_evaluation
from cmc.workspace.reports import SHIPPED, examples_in

PER_PAGE = 10
LONGEST = 1500  # characters of one text on the page; the files have all
ALL = ""  # every measurement
WORDS = {"all": "All", "regressions": "Worse than the base", "wins": "Better than the base",
         "longest": "Longest"}  # fmt: skip
TEXT = {
    "none": "No examples: they come with the first measurement under control.",
    "filtered": "No example is like that.",
    "shipped": "The report that was shipped holds figures only. Start an evaluation to read "
    "answers.",
}


@dataclass(frozen=True)
class Viewer:
    """The components of the viewer."""

    which: gr.Radio
    where: gr.Dropdown
    page: gr.Number
    back: gr.Button
    forth: gr.Button
    shown: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """What `page_of` fills, in its order."""
        return [self.where, self.page, self.back, self.forth, self.shown]


def build_viewer() -> Viewer:
    """Lay out filters, pager and the page."""
    with gr.Row(elem_classes="viewer-head"):
        which = gr.Radio([(WORDS[each], each) for each in FILTERS], value="all", label="Show",
                         elem_id="examples-filter", scale=3)  # fmt: skip
        where = gr.Dropdown([("all measurements", ALL)], value=ALL, label="Of",
                            elem_id="examples-where", scale=2)  # fmt: skip
    shown = gr.HTML(TEXT["none"], padding=False, elem_id="examples-page")
    with gr.Row(elem_classes="actions"):
        back = gr.Button("‹ Earlier", interactive=False, elem_id="examples-back")
        page = gr.Number(1, precision=0, minimum=1, label="Page", container=False,
                         elem_id="examples-number", elem_classes="page-number")  # fmt: skip
        forth = gr.Button("Further ›", interactive=False, elem_id="examples-forth")
    return Viewer(which, where, page, back, forth, shown)


def wire_viewer(workspace: Workspace, viewer: Viewer, seen: gr.State) -> None:
    """Connect filters and pager; the run shown is in `seen`."""

    def turn(step: int) -> Any:
        def show(state: dict[str, str], which: str, where: str, page: float) -> list[Any]:
            asked = (page or 1) + step if step else (page or 1)
            return page_of(read_examples(workspace, state["run"]), which, where, asked)

        return guarded(show)

    inputs = [seen, viewer.which, viewer.where, viewer.page]
    first = [seen, viewer.which, viewer.where]

    def from_start(state: dict[str, str], which: str, where: str) -> list[Any]:
        return page_of(read_examples(workspace, state["run"]), which, where, 1)

    gr.on([viewer.which.input, viewer.where.input], guarded(from_start), first, viewer.outputs,
          **QUIET)  # fmt: skip
    viewer.page.submit(turn(0), inputs, viewer.outputs, **QUIET)
    viewer.back.click(turn(-1), inputs, viewer.outputs, **QUIET)
    viewer.forth.click(turn(1), inputs, viewer.outputs, **QUIET)


def read_examples(workspace: Workspace, name: str) -> list[Example] | None:
    """Return the examples of a run; None where a report has none, as the shipped one."""
    if not name or name == SHIPPED:
        return None
    try:
        return examples_in(workspace, open_evaluation(workspace, name))
    except CmcError:  # it was deleted meanwhile
        return []


def page_of(examples: Sequence[Example] | None, which: str, where: str, page: float) -> list[Any]:
    """Return updates for `Viewer.outputs`: one page of the examples of a filter.

    Args:
        examples: of a run; None where there are none to be had.
        which: one of FILTERS.
        where: a measurement as `place` names it, or ALL.
        page: from 1; beyond the last it is the last.
    """
    places = list(dict.fromkeys(place(each) for each in examples or ()))
    where = where if where in places else ALL
    chosen = [each for each in examples or () if where in (ALL, place(each))]
    found = filtered(chosen, which)
    pages = max(1, -(-len(found) // PER_PAGE))
    number = int(min(max(1, page), pages))
    start = (number - 1) * PER_PAGE
    return [
        gr.update(choices=[("all measurements", ALL), *places], value=where),
        number,
        gr.update(interactive=number > 1),
        gr.update(interactive=number < pages),
        page_html(found[start : start + PER_PAGE], start, len(found), examples),
    ]


def place(example: Example) -> str:
    """Return which measurement an example belongs to."""
    how = f" by {example.transfer}" if example.transfer else ""
    return f"{example.controller} on {example.target}{how} at {example.strength:g}"


def page_html(
    page: Sequence[Example], start: int, total: int, examples: Sequence[Example] | None = ()
) -> str:
    """Return one page of examples; every text is escaped."""
    if not page:
        why = "shipped" if examples is None else "filtered" if examples else "none"
        return f'<p class="about">{TEXT[why]}</p>'
    head = f'<p class="about">{start + 1} to {start + len(page)} of {total} examples</p>'
    return head + "".join(map(_example, page))


def _example(example: Example) -> str:
    kind = "win" if example.difference > 0 else "loss" if example.difference < 0 else "even"
    scores = "" if example.score is None else (
        f'<b class="{"good" if kind == "win" else "bad" if kind == "loss" else "even"}">'
        f"{signed(example.difference)}</b>"
    )  # fmt: skip
    reason = f"<p><i>{_text(example.reason)}</i></p>" if example.reason else ""
    expected = (
        f"<p><small>expected</small> {_text(example.expected)}</p>" if example.expected else ""
    )
    return (
        f'<article class="example {kind}"><header><b>{_text(example.question)}</b>'
        f"<small>{_text(place(example))}</small>{scores}</header>"
        f'<div class="sides">{_side("base", example.base, example.base_score)}'
        f"{_side('controlled', example.controlled, example.score)}</div>"
        f"{expected}{reason}</article>"
    )


def _side(name: str, text: str, score: float | None) -> str:
    told = f" · {score:.2f}" if score is not None else ""
    return f"<div><small>{name}{told}</small><p>{_text(text) or '<i>(nothing)</i>'}</p></div>"


def _text(text: str) -> str:
    return html.escape(text if len(text) <= LONGEST else text[: LONGEST - 1] + "…")
