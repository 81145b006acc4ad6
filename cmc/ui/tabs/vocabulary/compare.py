"""Compare: two transfers, or two versions of a map: entries gained, lost and changed."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from cmc.settings import MapRequest
from cmc.store import Version
from cmc.ui.form import PRIVATE, Form
from cmc.ui.tabs.vocabulary.differences import (
    CHANGES,
    counts_html,
    differences_html,
    listed,
)
from cmc.ui.tabs.vocabulary.table import ON_CLICK, page_of
from cmc.ui.tabs.vocabulary.versions import version_choices
from cmc.workspace import Workspace
from cmc.workspace.maps import ComparedMaps, compare_maps

BUILT = {
    "built: pm-mined": "=pm-mined",
    "built: cover": "=cover",
    "built: as published": "=parity",
}
HINT = "Choose two maps of this pair: what the second has otherwise than the first is listed here."


@dataclass(frozen=True, kw_only=True)
class CompareChoices:
    """The map that is shown, the two that are compared, and what of it is listed."""

    shown: MapRequest = field(default_factory=MapRequest)
    first: str = "=pm-mined"
    second: str = "=cover"
    change: str = "all"
    page: float | None = 1

    def requests(self) -> tuple[MapRequest, MapRequest]:
        """Return the two maps as requests for the pair that is shown."""
        return request_of(self.shown, self.first), request_of(self.shown, self.second)


@dataclass(frozen=True)
class ComparePart:
    """The components of the sub-tab."""

    fields: dict[str, Any]
    counts: gr.HTML
    table: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """Everything that `show` and `offer` set."""
        return [*self.fields.values(), self.counts, self.table]

    def show(self, found: ComparedMaps, choices: CompareChoices) -> dict[Any, Any]:
        """Return counts and one page of the entries that differ."""
        page = page_of(listed(found, choices.change), choices.page)
        return {
            self.counts: counts_html(found),
            self.table: differences_html(found, page),
            self.fields["page"]: page.number,
        }

    def offer(self, versions: list[Version]) -> dict[Any, Any]:
        """Return what there is to compare for a pair, and no comparison yet."""
        choices = [*BUILT.items(), *version_choices(versions)]
        first = versions[-2].reference if len(versions) > 1 else CompareChoices.first
        second = versions[-1].reference if len(versions) > 1 else CompareChoices.second
        return {
            self.fields["first"]: gr.Dropdown(choices=choices, value=first),
            self.fields["second"]: gr.Dropdown(choices=choices, value=second),
            self.counts: f'<p class="empty">{HINT}</p>',
            self.table: "",
        }


def build_compare() -> tuple[ComparePart, gr.Button]:
    """Lay out the two choices, the button, counts and table."""
    offered = list(BUILT.items())
    fields: dict[str, Any] = {}
    with gr.Row(elem_classes="actions low"):
        fields["first"] = gr.Dropdown(
            offered, value=CompareChoices.first, label="First", elem_id="compare-first"
        )
        fields["second"] = gr.Dropdown(
            offered, value=CompareChoices.second, label="Second", elem_id="compare-second"
        )
        run = gr.Button("Compare", elem_id="map-compare")
    counts = gr.HTML(
        f'<p class="empty">{HINT}</p>', padding=False, label="Counts", elem_id="compare-counts"
    )
    with gr.Row(equal_height=True):
        fields["change"] = gr.Radio(
            list(CHANGES), value="all", label="List", elem_id="compare-change", scale=3
        )
        fields["page"] = gr.Number(
            1, precision=0, minimum=1, label="Page", min_width=90, elem_id="compare-page"
        )
    table = gr.HTML(
        "", padding=False, js_on_load=ON_CLICK, label="Differences", elem_id="compare-table"
    )
    return ComparePart(fields, counts, table), run


def wire_compare(workspace: Workspace, part: ComparePart, run: gr.Button, shown: gr.State) -> Any:
    """Connect the button, the filter and the pager."""
    form = Form(CompareChoices, {"shown": shown} | part.fields)
    outputs = [part.counts, part.table, part.fields["page"]]

    def compare(choices: CompareChoices) -> dict[Any, Any]:
        return part.show(compare_maps(workspace, *choices.requests()), replace(choices, page=1))

    def turn(choices: CompareChoices) -> dict[Any, Any]:
        return part.show(compare_maps(workspace, *choices.requests()), choices)

    def clicked(choices: CompareChoices, data: Mapping[str, Any]) -> dict[Any, Any]:
        if "page" not in data:
            return {part.table: gr.skip()}
        return turn(replace(choices, page=data["page"]))

    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"} | PRIVATE
    chosen = [run.click, part.fields["first"].input, part.fields["second"].input]
    gr.on(chosen, form.bind(compare), form.inputs, outputs, show_progress="minimal", **PRIVATE)
    part.fields["change"].input(form.bind(compare), form.inputs, outputs, **quiet)
    part.fields["page"].input(form.bind(turn), form.inputs, outputs, **quiet)
    part.table.click(form.bind_event(clicked), form.inputs, outputs, **quiet)


def request_of(shown: MapRequest, chosen: str) -> MapRequest:
    """Return the request of one of the offered maps for the pair that is shown."""
    pair = {"controller": shown.controller, "target": shown.target}
    if chosen == "=parity":
        return MapRequest(**pair, parity=True)
    if chosen.startswith("="):
        return MapRequest(**pair, transfer=chosen[1:])
    return MapRequest(**pair, saved=chosen)
