"""Which map is looked at: controller, target, transfer, built now or a kept version."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.settings import STARTER_CONTROLLER, STARTER_TARGET, TRANSFERS, MapRequest
from cmc.ui.sentences import labelled_targets
from cmc.workspace import Workspace

BUILT = ("built now", "")
TEXT = {
    "parity": "Compare raw token strings, as the published map does, instead of the bytes they "
    "stand for.",
    "note": "Spaces are shown as <b>·</b>, line ends as <b>⏎</b>. <b>pm-mined</b> maps token to "
    "token; <b>cover</b> spells each target token with the controller's own.",
    "folder": "Also a folder with a tokenizer, or a Hub id.",
}


@dataclass(frozen=True, kw_only=True)
class PairChoices:
    """What stands in the left panel."""

    controller: str = STARTER_CONTROLLER
    target: str = STARTER_TARGET
    transfer: str = "auto"
    parity: bool = False
    saved: str = ""

    def request(self) -> MapRequest:
        """Return which map to look at; raises `SettingError` where the choices do not fit."""
        return MapRequest(
            controller=(self.controller or "").strip(),
            target=(self.target or "").strip(),
            transfer=self.transfer,
            parity=bool(self.parity),
            saved=self.saved or "",
        )


@dataclass(frozen=True, kw_only=True)
class BuiltChoices(PairChoices):
    """The same for a map that is built, whatever version was looked at before."""

    def request(self) -> MapRequest:
        """Return which map to build."""
        return PairChoices(
            controller=self.controller,
            target=self.target,
            transfer=self.transfer,
            parity=self.parity,
        ).request()


def build_panel(workspace: Workspace) -> tuple[dict[str, Any], gr.Button]:
    """Lay out the choices, by the fields of `PairChoices`, and the button."""
    is_open = workspace.mode == "local"
    fields = {
        "controller": gr.Dropdown(
            workspace.names_of_controllers(), value=STARTER_CONTROLLER, label="Controller",
            info=TEXT["folder"] if is_open else None, allow_custom_value=is_open,
            elem_id="map-controller",
        ),
        "target": gr.Dropdown(
            labelled_targets(workspace), value=STARTER_TARGET, label="Target",
            allow_custom_value=is_open, elem_id="map-target",
        ),
        "transfer": gr.Dropdown(
            list(TRANSFERS), value="auto", label="Transfer", elem_id="map-transfer"
        ),
        "parity": gr.Checkbox(
            False, label="As published (parity)", info=TEXT["parity"], elem_id="map-parity"
        ),
        "saved": gr.Dropdown(
            [BUILT], value="", label="Map", info="Built now, or a kept version of this pair.",
            elem_id="map-saved",
        ),
    }  # fmt: skip
    inspect = gr.Button("Inspect", variant="primary", elem_id="inspect")
    gr.HTML(TEXT["note"], padding=False, elem_classes="note faint")
    return fields, inspect
