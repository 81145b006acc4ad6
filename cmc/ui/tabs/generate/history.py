"""What was generated in this visit, newest first; a click brings it back."""

import html
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import gradio as gr

from cmc.ui.form import QUIET
from cmc.ui.tabs.generate.heat import ON_CLICK
from cmc.ui.tabs.generate.panes import Panes, Result, shown_values
from cmc.workspace import Workspace
from cmc.workspace.result import result_data

MOST = 30  # results; the oldest go first
WHOLE = 5  # results that keep the likeliest tokens of every place; these take most memory
LONGEST = 160  # characters of a text in the list
EMPTY = "What you generate is listed here until you leave the page."


@dataclass(frozen=True)
class Visit:
    """The list that is shown, and what it holds."""

    shown: gr.HTML
    results: gr.State


def build_history() -> Visit:
    """Lay out the folded list."""
    with gr.Accordion("This visit", open=False, elem_id="visit"):
        listed = gr.HTML(
            history_html([]), label="This visit", js_on_load=ON_CLICK, elem_id="history"
        )
    return Visit(listed, gr.State([]))


def wire_history(
    workspace: Workspace, visit: Visit, tab: Any, panes: Panes, ends: Sequence[Any]
) -> None:
    """Connect the list.

    Args:
        workspace: knows what controllers recommend.
        visit: the list.
        tab: the `GenerateTab` whose fields a click sets.
        panes: what shows a result.
        ends: triggers of the ends of generations.
    """

    def remember(results: list[Result], result: Result | None) -> tuple[Any, Any, Any]:
        if result is None:
            return gr.skip(), gr.skip(), gr.skip()
        kept = remembered(results, result)
        return kept, history_html(kept), result_data(result.choices.request(), result.shown)

    def bring_back(results: list[Result], event: gr.EventData) -> dict[Any, Any]:
        at = (event._data or {}).get("at")
        if not isinstance(at, int) or not 0 <= at < len(results):
            return {panes.identity: gr.skip()}
        result = results[at]
        values = shown_values(result.choices, replace(result.shown, is_finished=True))
        fields = tab.shown(workspace, asdict(result.choices))
        return fields | dict(zip(panes.outputs, values, strict=True))

    for end in ends:
        end(
            remember,
            [visit.results, panes.result],
            [visit.results, visit.shown, panes.data],
            **QUIET,
        )
    visit.shown.click(bring_back, visit.results, [*tab.outputs, *panes.outputs], **QUIET)


def remembered(history: Sequence[Result], result: Result) -> list[Result]:
    """Return the history with a result on top; the same result is not kept twice."""
    others = [each for each in history if each != result]
    kept = [result, *others][:MOST]
    return [*kept[:WHOLE], *(_thinned(each) for each in kept[WHOLE:])]


def history_html(history: Sequence[Result]) -> str:
    """Return the results as buttons; every text is escaped."""
    if not history:
        return f'<p class="heat-empty">{EMPTY}</p>'
    return f'<div class="history">{"".join(map(_entry, range(len(history)), history))}</div>'


def _thinned(result: Result) -> Result:
    """Return a result without what stood first before and after at every token."""
    tokens = tuple(replace(each, before=(), after=()) for each in result.shown.tokens)
    return replace(result, shown=replace(result.shown, tokens=tokens))


def _entry(at: int, result: Result) -> str:
    """Return one result as a button of three short lines."""
    choices = result.choices
    desk = ", ".join(
        f"{each.controller} {'muted' if each.muted else f'at {each.strength:g}'}"
        for each in choices.channels()
    )
    about = " · ".join(filter(None, (choices.target, desk, choices.vocab_map)))
    if choices.temperature:
        about += f" · temperature {choices.temperature:g}, seed {choices.seed}"
    return (
        f'<button type="button" data-at="{at}"><b>{_short(choices.prompt)}</b>'
        f"<span>{_short(result.shown.controlled)}</span><small>{_short(about)}</small></button>"
    )


def _short(text: str) -> str:
    """Return the beginning of a text, escaped."""
    flat = " ".join(text.split())
    return html.escape(flat if len(flat) <= LONGEST else flat[: LONGEST - 1] + "…")
