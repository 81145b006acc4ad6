"""Vocabulary: how well a controller's tokens cover a target's."""

import html
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc import charts
from cmc.settings import STARTER_CONTROLLER, STARTER_TARGET, TRANSFERS, MapRequest
from cmc.ui import tokens
from cmc.ui.form import PRIVATE, Form
from cmc.ui.sentences import labelled_targets
from cmc.workspace import Workspace
from cmc.workspace.maps import InspectedMap, inspect_map

MAP_TEXT = "Anna Kovac lives in Oslo and works as a painter."
KIND_NAMES = {
    "exact": "same bytes",
    "prefix": "starts with",
    "extension": "starts",
    "composed": "several tokens",
    "role": "same role",
    "none": "nothing alike",
}
TEXT = {
    "parity": "Compare raw token strings, as the published map does, instead of the bytes they "
    "stand for.",
    "note": "Spaces are shown as <b>·</b>, line ends as <b>⏎</b>. <b>pm-mined</b> maps token to "
    "token; <b>cover</b> spells each target token with the controller's own.",
}


@dataclass(frozen=True, kw_only=True)
class VocabularyChoices:
    """What stands in the Vocabulary tab."""

    controller: str = STARTER_CONTROLLER
    target: str = STARTER_TARGET
    transfer: str = "auto"
    parity: bool = False
    text: str = MAP_TEXT
    kind: str = "all"
    wanted: str = ""
    page: float = 1

    def request(self) -> MapRequest:
        """Return what to build."""
        return MapRequest(
            controller=self.controller,
            target=self.target,
            transfer=self.transfer,
            parity=self.parity,
        )


def build_vocabulary_tab(workspace: Workspace, demo: gr.Blocks) -> gr.Dropdown:
    """Lay out the tab and wire it; return the choice of controller."""
    with gr.Row(equal_height=False, elem_classes="page"):
        with gr.Column(scale=0, min_width=350, elem_classes="panel"):
            fields = _pair(workspace)
            inspect = gr.Button("Inspect", variant="primary", elem_id="inspect")
            gr.HTML(TEXT["note"], padding=False, elem_classes="note faint")
        with gr.Column(scale=1, min_width=420):
            health = gr.HTML("", padding=False, elem_id="map-health")
            shares = gr.Plot(show_label=False, label="Coverage", elem_id="map-shares")
            fields["text"] = gr.Textbox(
                MAP_TEXT, label="A text, tokenized both ways", max_lines=4, elem_id="map-text"
            )
            aligned = gr.HTML("", padding=False, elem_id="map-aligned")
            table, count = _entries(fields)
    form = Form(VocabularyChoices, fields)
    _wire(workspace, demo, form, inspect, [health, shares, aligned, table, count, fields["page"]])
    return fields["controller"]


def health_html(summary: Mapping[str, Any]) -> str:
    """Return the counts of a map as tiles, safe as HTML."""
    tiles = []
    for kind in tokens.KINDS:
        count, mass = summary["ids"].get(kind, 0), summary["mass"].get(kind)
        share = f"{100 * mass:.1f} % of text" if mass is not None else ""
        tiles.append(
            f'<div class="tile kind-{kind}"><span>{kind}</span><b>{count:,}</b>'
            f"<i>{KIND_NAMES[kind]}</i><i>{share}</i></div>"
        )
    total = sum(summary["ids"].get(kind, 0) for kind in tokens.KINDS)
    parts = [f"<b>{summary['transfer']}</b>", f"{total:,} target tokens"]
    parts += [f"grade <b>{summary['grade']}</b>", html.escape(summary["advice"])]
    head = f"<p>{' · '.join(parts)}</p>"
    return f'{head}<div class="tiles">{"".join(tiles)}</div>'


def shares_of(summary: Mapping[str, Any]) -> dict[str, dict[str, float]]:
    """Return counts by id and by mass, named as the chart shows them."""
    both = {"running text": summary["mass"], "vocabulary": summary["ids"]}
    return {
        name: {kind: float(counts.get(kind) or 0) for kind in tokens.KINDS}
        for name, counts in both.items()
    }


def _pair(workspace: Workspace) -> dict[str, Any]:
    """Lay out the choice of controller and target."""
    is_open = workspace.mode == "local"
    return {
        "controller": gr.Dropdown(
            workspace.names_of_controllers(),
            value=STARTER_CONTROLLER,
            label="Controller",
            allow_custom_value=is_open,
            elem_id="map-controller",
        ),
        "target": gr.Dropdown(
            labelled_targets(workspace),
            value=STARTER_TARGET,
            label="Target",
            allow_custom_value=is_open,
            elem_id="map-target",
        ),
        "transfer": gr.Dropdown(
            list(TRANSFERS), value="auto", label="Transfer", elem_id="map-transfer"
        ),
        "parity": gr.Checkbox(
            False, label="As published (parity)", info=TEXT["parity"], elem_id="map-parity"
        ),
    }


def _entries(fields: dict[str, Any]) -> tuple[gr.Dataframe, gr.HTML]:
    """Lay out the searchable, paged table of map entries."""
    with gr.Row(equal_height=True):
        fields["kind"] = gr.Dropdown(
            ["all", *tokens.KINDS], value="all", label="Kind", min_width=120, elem_id="map-kind"
        )
        fields["wanted"] = gr.Textbox(
            "", label="Search a token", placeholder="part of a token", scale=2, elem_id="map-search"
        )
        fields["page"] = gr.Number(
            1, precision=0, minimum=1, label="Page", min_width=90, elem_id="map-page"
        )
    count = gr.HTML("", padding=False, elem_id="map-count", elem_classes="note faint")
    table = gr.Dataframe(
        headers=list(tokens.COLUMNS),
        datatype="str",
        interactive=False,
        label="Entries of the vocab map",
        max_height=420,
        buttons=["copy"],
        elem_id="map-table",
    )
    return table, count


def _wire(
    workspace: Workspace,
    demo: gr.Blocks,
    form: Form[VocabularyChoices],
    inspect: gr.Button,
    outputs: list[Any],
) -> None:
    """Connect the button, the text and the table to one reader of the map."""
    health, shares, aligned, table, count, page = outputs
    fields = form.components

    def show_map(choices: VocabularyChoices) -> dict[Any, Any]:
        """Measure the map of a pair: health, one text both ways, the first page of entries."""
        found = inspect_map(workspace, choices.request())
        shown = {health: health_html(found.summary)}
        shown[shares] = charts.kind_shares(shares_of(found.summary))
        return shown | _text_of(found, choices, aligned) | _page_of(found, choices, outputs[3:], 1)

    def show_text(choices: VocabularyChoices) -> dict[Any, Any]:
        return _text_of(inspect_map(workspace, choices.request()), choices, aligned)

    def show_first_page(choices: VocabularyChoices) -> dict[Any, Any]:
        return _page_of(inspect_map(workspace, choices.request()), choices, outputs[3:], 1)

    def show_page(choices: VocabularyChoices) -> dict[Any, Any]:
        wanted = int(choices.page or 1)
        return _page_of(inspect_map(workspace, choices.request()), choices, outputs[3:], wanted)

    quiet: dict[str, Any] = {"show_progress": "hidden"} | PRIVATE
    inspect.click(
        form.bind(show_map), form.inputs, outputs, api_name="map", show_progress="minimal"
    )
    changed = [fields[name].input for name in ("controller", "target", "transfer", "parity")]
    gr.on(changed, form.bind(show_map), form.inputs, outputs, show_progress="minimal", **PRIVATE)
    demo.load(form.bind(show_map), form.inputs, outputs, **quiet)
    late: dict[str, Any] = {"trigger_mode": "always_last"} | quiet
    fields["text"].change(form.bind(show_text), form.inputs, aligned, **late)
    searched = [fields["kind"].input, fields["wanted"].change]
    gr.on(searched, form.bind(show_first_page), form.inputs, [table, count, page], **late)
    page.input(form.bind(show_page), form.inputs, [table, count, page], **late)


def _text_of(found: InspectedMap, choices: VocabularyChoices, aligned: gr.HTML) -> dict[Any, Any]:
    """Return the typed text, tokenized both ways."""
    text = (choices.text or "")[:2000]
    pieces = tokens.aligned_text(text, found.controller, found.target, found.map) if text else []
    return {aligned: tokens.pieces_html(pieces)}


def _page_of(
    found: InspectedMap, choices: VocabularyChoices, outputs: list[Any], page: int
) -> dict[Any, Any]:
    """Return one page of the entries that are searched for."""
    table, count, page_box = outputs
    rows = tokens.map_rows(
        found.map, found.controller, found.target, choices.kind, choices.wanted or ""
    )
    pages = tokens.page_count(rows)
    page = min(max(1, page), pages)
    shown = tokens.map_page(found.map, found.controller, found.target, rows, page)
    line = f"{len(rows):,} entries · page {page} of {pages}"
    return {table: shown, count: line, page_box: page}
