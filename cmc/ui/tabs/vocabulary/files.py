"""Files: keep a map as a version, label it, go back; take it along, bring one in."""

import html
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import gradio as gr

from cmc.settings import MapRequest
from cmc.store import Version
from cmc.ui.form import PRIVATE, Form
from cmc.ui.tabs.vocabulary.acts import ACTS, Act, FileChoices
from cmc.ui.tabs.vocabulary.versions import version_choices, versions_html
from cmc.workspace import Workspace
from cmc.workspace.map_versions import FORMATS, may_keep, write_map
from cmc.workspace.maps import inspect_map

NAMES = {"safetensors": "safetensors", "csv": "CSV", "json": "JSON"}
READ_ONLY = (
    "This public Space keeps no versions of maps and takes none in: run the app on your own "
    "machine, or duplicate the Space. Exporting works here too."
)
ABOUT = (
    "A map is imported as published (JSON: a list of controller ids, or tokens by name) or as it "
    "was exported here. Saved with a label, it can be found and gone back to."
)
# The hidden button has the file by the time the page has drawn it.
DOWNLOAD = """async () => {
  await new Promise(done => setTimeout(done, 150));
  document.querySelector('#map-file')?.click();
}"""


@dataclass(frozen=True)
class FilesPart:
    """The components of the sub-tab."""

    versions: gr.HTML
    fields: dict[str, Any]
    buttons: dict[str, gr.Button]
    file: gr.DownloadButton

    @property
    def outputs(self) -> list[Any]:
        """Everything that `offer` sets."""
        return [self.versions, self.fields["version"]]

    def offer(self, versions: list[Version], shown: str) -> dict[Any, Any]:
        """List the versions of a pair."""
        newest = versions[-1].reference if versions else None
        chosen = shown if shown in [each.reference for each in versions] else newest
        return {
            self.versions: versions_html(versions, shown),
            self.fields["version"]: gr.Dropdown(choices=version_choices(versions), value=chosen),
        }


def build_files(workspace: Workspace) -> FilesPart:
    """Lay out export, import, the list of versions and what can be done with them."""
    is_open = may_keep(workspace)
    fields: dict[str, Any] = {}
    buttons: dict[str, gr.Button] = {}
    with gr.Row(elem_classes="actions"):
        buttons["save"] = gr.Button(
            "Save this map", variant="primary", visible=is_open, elem_id="map-save"
        )
        fields["upload"] = gr.UploadButton(
            "Import a map", file_types=[".json", ".safetensors"], visible=is_open,
            elem_id="map-import",
        )  # fmt: skip
        for each in FORMATS:
            buttons[each] = gr.Button(f"Export {NAMES[each]}", elem_id=f"map-export-{each}")
    file = gr.DownloadButton("File", visible="hidden", elem_id="map-file")
    gr.HTML(ABOUT if is_open else READ_ONLY, padding=False, elem_classes="told")
    versions = gr.HTML(
        versions_html([], ""), padding=False, label="Versions", elem_id="map-versions"
    )
    with gr.Row(equal_height=True, visible=is_open):
        fields["label"] = gr.Textbox(
            "", label="Label", placeholder="such as approved", max_lines=1, elem_id="map-label"
        )
        fields["version"] = gr.Dropdown([], label="Version", elem_id="map-version", scale=2)
    with gr.Row(visible=is_open, elem_classes="actions"):
        buttons["label"] = gr.Button("Set label", elem_id="map-set-label")
        buttons["rollback"] = gr.Button("Roll label back", elem_id="map-rollback")
        buttons["open"] = gr.Button("Show version", elem_id="map-open")
    return FilesPart(versions, fields, buttons, file)


def wire_files(
    workspace: Workspace,
    part: FilesPart,
    shown: gr.State,
    show: Callable[[MapRequest], dict[Any, Any]],
    outputs: list[Any],
) -> list[Any]:
    """Connect the buttons; return the events after which another map is shown.

    Args:
        workspace: whose store keeps the versions.
        part: the sub-tab.
        shown: the map that is shown.
        show: returns updates that show a map, and no token of it, everywhere in the tab.
        outputs: what `show` may set.
    """
    form = Form(FileChoices, {"shown": shown} | part.fields)

    def doing(act: Act) -> Callable[[FileChoices], dict[Any, Any]]:
        def do(choices: FileChoices) -> dict[Any, Any]:
            said, request = act(workspace, choices)
            updates = show(request)
            gr.Info(html.escape(said))
            return updates

        return do

    _wire_export(workspace, part, shown)
    waiting: dict[str, Any] = {"show_progress": "minimal"} | PRIVATE
    triggers = {name: part.buttons[name].click for name in ACTS if name in part.buttons}
    triggers["import"] = part.fields["upload"].upload
    return [
        trigger(form.bind(doing(ACTS[name])), form.inputs, outputs, **waiting)
        for name, trigger in triggers.items()
    ]


def _wire_export(workspace: Workspace, part: FilesPart, shown: gr.State) -> None:
    """Connect a button for every format: the file is written, then the page saves it."""
    form = Form(FileChoices, {"shown": shown})

    def writing(file_format: str) -> Callable[[FileChoices], Iterator[str]]:
        def write(choices: FileChoices) -> Iterator[str]:
            found = inspect_map(workspace, choices.shown)
            # Gradio has its own copy of what was yielded when it comes back for more.
            with tempfile.TemporaryDirectory(prefix="cmc-map-") as folder:
                yield str(write_map(found, file_format, Path(folder)))

        return write

    for each in FORMATS:
        made = part.buttons[each].click(
            form.bind(writing(each)), form.inputs, part.file, show_progress="minimal", **PRIVATE
        )
        made.success(None, None, None, js=DOWNLOAD, **PRIVATE)
