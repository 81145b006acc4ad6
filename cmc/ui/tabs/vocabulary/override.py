"""Override: let a target token mean another controller token, as a new version of the map."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import gradio as gr

from cmc.errors import DataError
from cmc.settings import MapRequest
from cmc.ui.form import PRIVATE, Form
from cmc.ui.tabs.vocabulary.versions import saved_request
from cmc.vocab import Explanation
from cmc.vocab.visible import VISIBLE
from cmc.workspace import Workspace
from cmc.workspace.map_versions import may_keep, override_entry
from cmc.workspace.maps import InspectedMap, inspect_map

NO_TOKEN = -1  # while none is chosen
NONE = "#-1"
BY_ID = re.compile(r"#\s*(-1|\d{1,9})")
NO_VERSIONS = "This public Space keeps no versions of maps: run the app on your own machine."
COVER = (
    "<b>cover</b> spells every token anew and follows no map. Choose <b>pm-mined</b> to override."
)
CHOOSE = "Choose a token in the table first."


@dataclass(frozen=True, kw_only=True)
class OverrideChoices:
    """The map that is shown, the chosen token, and what it shall mean."""

    shown: MapRequest = field(default_factory=MapRequest)
    token: int = NO_TOKEN
    instead: str | None = None
    reason: str = ""


@dataclass(frozen=True)
class OverridePart:
    """The components of the form."""

    instead: gr.Dropdown
    reason: gr.Textbox
    save: gr.Button
    note: gr.HTML

    @property
    def outputs(self) -> list[Any]:
        """Everything that `show` sets."""
        return [self.instead, self.reason, self.save, self.note]

    def show(
        self, workspace: Workspace, found: InspectedMap, told: Explanation | None
    ) -> dict[Any, Any]:
        """Offer the candidates of a token, or say why nothing can be overridden."""
        note = _hindrance(workspace, found, told)
        choices = [] if note else [*_candidates(found, told), ("no controller token", NONE)]
        is_open = not note
        return {
            self.instead: gr.Dropdown(choices=choices, value=None, visible=is_open),
            self.reason: gr.Textbox("", visible=is_open),
            self.save: gr.Button(visible=is_open),
            self.note: gr.HTML(note, visible=not is_open),
        }


def build_override() -> OverridePart:
    """Lay out the form, closed until a token is chosen."""
    with gr.Accordion("Override", open=False, elem_id="map-override"):
        note = gr.HTML(CHOOSE, padding=False, elem_id="map-override-note", elem_classes="note")
        instead = gr.Dropdown(
            [], label="Shall mean", info="A candidate, #id, or a controller token as text.",
            allow_custom_value=True, visible=False, elem_id="map-instead",
        )  # fmt: skip
        reason = gr.Textbox(
            "", label="Reason", placeholder="told with the version", visible=False,
            max_lines=3, elem_id="map-reason",
        )  # fmt: skip
        save = gr.Button("Save as new version", visible=False, elem_id="map-override-save")
    return OverridePart(instead, reason, save, note)


def wire_override(
    workspace: Workspace,
    part: OverridePart,
    fields: dict[str, Any],
    show: Callable[[MapRequest, int], dict[Any, Any]],
    outputs: list[Any],
) -> Any:
    """Connect the button; return the event after which the new version is shown.

    Args:
        workspace: whose store keeps the version.
        part: the form.
        fields: the states `shown` and `token`.
        show: returns updates that show a map and one of its tokens everywhere in the tab.
        outputs: what `show` may set.
    """
    form = Form(OverrideChoices, fields | {"instead": part.instead, "reason": part.reason})

    def save(choices: OverrideChoices) -> dict[Any, Any]:
        found = inspect_map(workspace, choices.shown)
        if choices.token < 0:
            raise DataError("no token is chosen", hint=CHOOSE)
        other = controller_token(found, choices.instead)
        version = override_entry(workspace, choices.shown, choices.token, other, choices.reason)
        gr.Info(f"Kept as {version.reference}; it is shown now.")
        return show(saved_request(choices.shown, version), choices.token)

    return part.save.click(
        form.bind(save), form.inputs, outputs, show_progress="minimal", **PRIVATE
    )


def controller_token(found: InspectedMap, named: str | None) -> int:
    """Return the controller id that a person named, -1 for none.

    Raises:
        DataError: nothing is named, or the controller has no such token.
    """
    named = str(named or "")
    if not named.strip():
        raise DataError("no controller token is named", hint="Choose one, or type #ID.")
    if match := BY_ID.fullmatch(named.strip()):
        return int(match[1])  # whether it is in range is checked where it is used
    names = found.pair.controller_names
    wanted = named.translate(VISIBLE)
    if wanted not in names:
        raise DataError(
            f'the controller has no token "{named[:40]}"',
            hint="Choose a candidate, type #ID, or a token as it is shown, a space as ·.",
        )
    return names.index(wanted)


def _hindrance(workspace: Workspace, found: InspectedMap, told: Explanation | None) -> str:
    """Return why no entry can be overridden, as HTML; "" where one can."""
    if not may_keep(workspace):
        return NO_VERSIONS
    if found.map.transfer == "cover":
        return COVER
    return "" if told else CHOOSE


def _candidates(found: InspectedMap, told: Explanation) -> list[tuple[str, str]]:
    """Return label and value of a token's candidates."""
    names = found.pair.controller_names
    return [
        (f"{names[each.token_id]} #{each.token_id} {each.kind.word}", f"#{each.token_id}")
        for each in told.candidates
        if each.token_id != int(found.map.ids[told.token_id])
    ]
