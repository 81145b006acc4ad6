"""Vocabulary: whether a controller will carry over to a target, and why."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.settings import STARTER_CONTROLLER, STARTER_TARGET, MapRequest
from cmc.ui.form import PRIVATE, Form, errors_as_toasts
from cmc.ui.tabs.vocabulary.compare import ComparePart, build_compare, wire_compare
from cmc.ui.tabs.vocabulary.entries import (
    NO_TOKEN,
    EntriesPart,
    EntryChoices,
    build_entries,
    wire_entries,
)
from cmc.ui.tabs.vocabulary.figures import ChartsPart, build_charts
from cmc.ui.tabs.vocabulary.files import FilesPart, build_files, wire_files
from cmc.ui.tabs.vocabulary.head import FAILED, head_html
from cmc.ui.tabs.vocabulary.override import OverridePart, wire_override
from cmc.ui.tabs.vocabulary.panel import (
    BUILT,
    BuiltChoices,
    PairChoices,
    build_panel,
)
from cmc.ui.tabs.vocabulary.table import whole
from cmc.ui.tabs.vocabulary.text import TextPart, build_text, checked_text, wire_text
from cmc.ui.tabs.vocabulary.versions import version_choices
from cmc.workspace import Workspace
from cmc.workspace.map_versions import versions_of
from cmc.workspace.maps import InspectedMap, inspect_map, measure_text

__all__ = ["build_vocabulary_tab"]


@dataclass(frozen=True)
class VocabularyTab:
    """All parts of the tab, and the map that all of them show."""

    workspace: Workspace
    fields: dict[str, Any]
    shown: gr.State
    head: gr.HTML
    text: TextPart
    entries: EntriesPart
    override: OverridePart
    charts: ChartsPart
    compare: ComparePart
    files: FilesPart

    @property
    def choosing(self) -> list[Any]:
        """Everything that `choose` may set."""
        return [*self.entries.outputs, *self.override.outputs]

    @property
    def outputs(self) -> list[Any]:
        """Everything that `show` may set."""
        parts = (self.entries, self.override, self.charts, self.compare, self.files)
        ours = [each for part in parts for each in part.outputs]
        return list(dict.fromkeys([self.shown, self.head, self.fields["saved"], *ours]))

    def show(self, request: MapRequest, token: int = NO_TOKEN) -> dict[Any, Any]:
        """Return updates that put a map into the tab; text and table follow by themselves."""
        found = inspect_map(self.workspace, request)
        versions = versions_of(self.workspace, found)
        kept = [BUILT, *version_choices(versions)]
        return {
            self.shown: found.request,
            self.head: head_html(found.summary, title_of(found)),
            self.fields["saved"]: gr.Dropdown(choices=kept, value=found.request.saved),
            **self.choose(found, token),
            **self.charts.show(found),
            **self.compare.offer(versions),
            **self.files.offer(versions, found.request.saved),
        }

    def choose(self, found: InspectedMap, token: int) -> dict[Any, Any]:
        """Return updates that explain a token and offer to override it."""
        told = found.explain(token) if 0 <= token < found.target.size else None
        return self.entries.choose(found, told) | self.override.show(self.workspace, found, told)


def build_vocabulary_tab(workspace: Workspace, demo: gr.Blocks) -> gr.Dropdown:
    """Lay out the tab and wire it; return the choice of controller."""
    with gr.Row(equal_height=False, elem_classes="page"):
        with gr.Column(scale=0, min_width=350, elem_classes="panel"):
            fields, inspect = build_panel(workspace)
        with gr.Column(scale=1, min_width=420):
            head = gr.HTML("", padding=False, elem_id="map-health")
            with gr.Tabs(selected="text", elem_id="map-parts") as parts:
                with gr.Tab("Text", id="text"):
                    text = build_text()
                with gr.Tab("Entries", id="entries"):
                    entries, override = build_entries()
                with gr.Tab("Charts", id="charts"):
                    charts = build_charts()
                with gr.Tab("Compare", id="compare"):
                    compare, run = build_compare()
                with gr.Tab("Files", id="files"):
                    files = build_files(workspace)
    shown = gr.State(MapRequest())
    tab = VocabularyTab(
        workspace, fields, shown, head, text, entries, override, charts, compare, files
    )
    wire_compare(workspace, compare, run, shown)
    made = [*_wire_panel(tab, demo, inspect), *_wire_making(tab)]
    wire_text(workspace, text, shown, made)
    _wire_choosing(tab, parts, made)
    gr.api(_endpoint(workspace), api_name="map")
    return fields["controller"]


def title_of(found: InspectedMap) -> str:
    """Return what is looked at: the version, or how the map was built."""
    how = "as published" if found.map.parity else found.map.transfer
    return f"{found.request.saved} ({how})" if found.request.saved else how


def _wire_panel(tab: VocabularyTab, demo: gr.Blocks, inspect: gr.Button) -> list[Any]:
    """Connect what chooses a map; return the events after which another is shown."""
    chosen, built = Form(PairChoices, tab.fields), Form(BuiltChoices, tab.fields)

    def show(choices: PairChoices) -> dict[Any, Any]:
        return tab.show(choices.request())

    # Who changes one side and then the other means the last.
    waiting: dict[str, Any] = {"show_progress": "minimal", "trigger_mode": "always_last"} | PRIVATE
    pair = [tab.fields[name].input for name in ("controller", "target", "transfer", "parity")]
    at_once = {"show_progress": "hidden"} | PRIVATE
    events = [
        inspect.click(chosen.bind(show), chosen.inputs, tab.outputs, **waiting),
        tab.fields["saved"].input(chosen.bind(show), chosen.inputs, tab.outputs, **waiting),
        gr.on(pair, built.bind(show), built.inputs, tab.outputs, **waiting),
        demo.load(built.bind(show), built.inputs, tab.outputs, **at_once),
    ]
    for event in events:
        event.failure(lambda: FAILED, None, tab.head, **at_once)
    return events


def _wire_making(tab: VocabularyTab) -> list[Any]:
    """Connect what makes versions; return the events after which another map is shown."""
    states = {"shown": tab.shown, "token": tab.entries.fields["token"]}
    overridden = wire_override(tab.workspace, tab.override, states, tab.show, tab.outputs)
    return [overridden, *wire_files(tab.workspace, tab.files, tab.shown, tab.show, tab.outputs)]


def _wire_choosing(tab: VocabularyTab, parts: gr.Tabs, changes: list[Any]) -> None:
    """Connect tokens that are clicked: in the table, and in a text or a comparison."""
    form = Form(EntryChoices, {"shown": tab.shown})

    def jump(choices: EntryChoices, data: Mapping[str, Any]) -> dict[Any, Any]:
        if "token" not in data:
            return {parts: gr.skip()}
        found = inspect_map(tab.workspace, choices.shown)
        told = tab.choose(found, whole(data["token"], NO_TOKEN))
        return {parts: gr.Tabs(selected="entries")} | told

    wire_entries(tab.workspace, tab.entries, tab.shown, tab.choose, tab.choosing, changes)
    at_once: dict[str, Any] = {"show_progress": "hidden"} | PRIVATE
    for listed in (tab.text.spans, tab.compare.table):
        listed.click(form.bind_event(jump), form.inputs, [parts, *tab.choosing], **at_once)


def _endpoint(workspace: Workspace) -> Callable[..., dict[str, Any]]:
    """Return what the public API offers of this tab."""

    def measured(
        controller: str = STARTER_CONTROLLER,
        target: str = STARTER_TARGET,
        transfer: str = "auto",
        parity: bool = False,
        saved: str = "",
        text: str = "",
    ) -> dict[str, Any]:
        """Measure the vocab map of a pair: ids and mass by kind, grade, languages, fan-in, roles.

        With a text, `text` holds what the map carries of it.
        """
        with errors_as_toasts():
            choices = PairChoices(
                controller=controller, target=target, transfer=transfer, parity=parity, saved=saved
            )
            found = inspect_map(workspace, choices.request())
            told = {"controller": controller, "target": target, **found.summary}
            return told | ({"text": measure_text(found, checked_text(text))} if text else {})

    return measured
