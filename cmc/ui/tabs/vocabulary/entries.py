"""Entries: the map as a table to search and sort, and why a token is mapped as it is."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gradio as gr

from cmc.settings import MapRequest
from cmc.settings.vocabulary import ENTRY_COLUMNS, ENTRY_KINDS, EntryQuery
from cmc.ui.form import PRIVATE, Form
from cmc.ui.tabs.vocabulary.explained import explanation_html
from cmc.ui.tabs.vocabulary.override import NO_TOKEN, OverridePart, build_override
from cmc.ui.tabs.vocabulary.table import (
    ON_CLICK,
    kind_cell,
    number_cell,
    page_of,
    row_html,
    sorting_heads,
    table_html,
    token_cell,
    whole,
)
from cmc.vocab import Explanation
from cmc.workspace import Workspace
from cmc.workspace.maps import InspectedMap, find_entries, inspect_map

HEADS = {
    "id": "id",
    "token": "target",
    "bytes": "bytes",
    "kind": "kind",
    "controller id": "controller",
    "distance": "distance",
    "fan-in": "fan-in",
}
# Columns of which the highest values are what one looks for.
HIGHEST_FIRST = ("bytes", "distance", "fan-in")


@dataclass(frozen=True, kw_only=True)
class EntryChoices:
    """The map that is shown, and what of it is listed."""

    shown: MapRequest = field(default_factory=MapRequest)
    kind: str = "all"
    wanted: str = ""
    order: str = "id"  # a column, with a minus before it for the highest first
    page: float | None = 1
    token: int = NO_TOKEN

    def query(self) -> EntryQuery:
        """Return which entries to list."""
        return EntryQuery(
            kind=self.kind,
            wanted=self.wanted or "",
            sort=self.order.removeprefix("-"),
            descending=self.order.startswith("-"),
        )


@dataclass(frozen=True)
class EntriesPart:
    """The components of the sub-tab."""

    fields: dict[str, Any]
    table: gr.HTML
    explained: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """Everything that `choose` sets."""
        return [self.fields["token"], self.explained]

    def show(self, found: InspectedMap, choices: EntryChoices) -> dict[Any, Any]:
        """Return the wanted page of the entries that are searched for."""
        query = choices.query()
        page = page_of(find_entries(found, query), choices.page)
        heads = sorting_heads(HEADS, query.sort, query.descending)
        rows = (_row(found, each, choices.token) for each in page.ids)
        shown = table_html(heads, rows, page, "Entries of the vocab map")
        return {self.table: shown, self.fields["page"]: page.number}

    def choose(self, found: InspectedMap, told: Explanation | None) -> dict[Any, Any]:
        """Return why a token is mapped as it is; nothing where no token is chosen."""
        return {
            self.fields["token"]: told.token_id if told else NO_TOKEN,
            self.explained: explanation_html(found, told),
        }


def build_entries() -> tuple[EntriesPart, OverridePart]:
    """Lay out search and table, and beside them what is told of a token and how to override it."""
    fields: dict[str, Any] = {"order": gr.State("id"), "token": gr.State(NO_TOKEN)}
    with gr.Row(equal_height=True):
        fields["wanted"] = gr.Textbox(
            "", label="Search", placeholder="part of a token, or #id", scale=2, elem_id="map-search"
        )
        fields["kind"] = gr.Dropdown(
            list(ENTRY_KINDS), value="all", label="Kind", min_width=120, elem_id="map-kind"
        )
        fields["page"] = gr.Number(
            1, precision=0, minimum=1, label="Page", min_width=90, elem_id="map-page"
        )
    with gr.Row(equal_height=False, elem_classes="beside"):
        with gr.Column(scale=5, min_width=380):
            table = gr.HTML(
                "", padding=False, js_on_load=ON_CLICK, label="Entries", elem_id="map-table"
            )
        with gr.Column(scale=3, min_width=270):
            explained = gr.HTML(
                explanation_html(None, None), padding=False, label="Why", elem_id="map-why"
            )
            override = build_override()
    return EntriesPart(fields, table, explained), override


def wire_entries(
    workspace: Workspace,
    part: EntriesPart,
    shown: gr.State,
    choose: Callable[[InspectedMap, int], dict[Any, Any]],
    chosen_outputs: list[Any],
    changes: Sequence[Any],
) -> None:
    """Connect search, heads, pager and rows.

    Args:
        workspace: whose maps are shown.
        part: the sub-tab.
        shown: the map that is shown.
        choose: returns updates that tell of a token.
        chosen_outputs: what `choose` may set.
        changes: the events after which another map is shown; search, order and page stay.
    """
    form = Form(EntryChoices, {"shown": shown} | part.fields)
    table_outputs = [part.table, part.fields["page"]]

    def first_page(choices: EntryChoices) -> dict[Any, Any]:
        found = inspect_map(workspace, choices.shown)
        return part.show(found, replace(choices, page=1))

    def wanted_page(choices: EntryChoices) -> dict[Any, Any]:
        return part.show(inspect_map(workspace, choices.shown), choices)

    def clicked(choices: EntryChoices, data: Mapping[str, Any]) -> dict[Any, Any]:
        found = inspect_map(workspace, choices.shown)
        if "token" in data:
            return choose(found, whole(data["token"], NO_TOKEN))
        if "sort" in data:
            order = next_order(choices.order, str(data["sort"]))
            turned = replace(choices, order=order, page=1)
            return {part.fields["order"]: order} | part.show(found, turned)
        return part.show(found, replace(choices, page=data.get("page")))

    quiet: dict[str, Any] = {"show_progress": "hidden", "trigger_mode": "always_last"} | PRIVATE
    searched = [part.fields["kind"].input, part.fields["wanted"].change]
    gr.on(searched, form.bind(first_page), form.inputs, table_outputs, **quiet)
    for turned in (part.fields["page"].input, *(each.success for each in changes)):
        turned(form.bind(wanted_page), form.inputs, table_outputs, **quiet)
    outputs = [*table_outputs, part.fields["order"], *chosen_outputs]
    part.table.click(form.bind_event(clicked), form.inputs, outputs, **quiet)


def next_order(order: str, column: str) -> str:
    """Return the order after a click on a head: once more turns it round."""
    if column not in ENTRY_COLUMNS:
        return order
    if order == column:
        return f"-{column}"
    if order == f"-{column}":
        return column
    return f"-{column}" if column in HIGHEST_FIRST else column


def _row(found: InspectedMap, token_id: int, chosen: int) -> str:
    """Return one entry as a row."""
    other = int(found.map.ids[token_id])
    mapped = found.mapped_name(token_id)
    cells = (
        token_cell(found.pair.target_names[token_id]),
        number_cell(int(found.pair.lengths[token_id])),
        kind_cell(found.map.kind_of(token_id).word),
        token_cell(mapped, str(other)) if other >= 0 else "<td></td>",
        number_cell(int(found.distances[token_id])),
        number_cell(int(found.served[token_id]), least=1),
    )
    return row_html(token_id, cells, chosen)
