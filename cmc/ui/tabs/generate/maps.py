"""A kept vocab map to follow instead of the built one, offered where the transfer follows maps."""

from typing import Any

import gradio as gr

from cmc.ui.form import QUIET
from cmc.ui.tabs.vocabulary.versions import version_choices
from cmc.workspace import Workspace
from cmc.workspace.map_versions import maps_to_follow

BUILT = ("built now", "")
FOLLOWS = "pm-mined"
# What is chosen means nothing to another transfer, and would only be refused there.
CLEARED = f"(transfer, chosen) => transfer === '{FOLLOWS}' ? chosen : ''"


def build_map_choice() -> gr.Dropdown:
    """Return the choice of a kept map, hidden until the transfer follows one."""
    return gr.Dropdown(
        [BUILT],
        value="",
        label="Vocab map",
        info="Built now, or one that was kept in the Vocabulary tab.",
        allow_custom_value=True,  # whatever a link names; using it tells what is wrong
        visible=False,
        elem_id="vocab-map",
    )


def shown_map(chosen: str, transfer: str) -> Any:
    """Return an update that shows a chosen map."""
    return gr.Dropdown(value=chosen, visible=bool(chosen) or transfer == FOLLOWS)


def wire_map_choice(workspace: Workspace, fields: dict[str, Any], tab: gr.Tab) -> None:
    """Offer the maps of the pairs on the desk, anew whenever these may have changed.

    Args:
        workspace: whose store keeps maps.
        fields: the components of the tab, by the fields of `GenerateChoices`.
        tab: offers anew when it opens: a map may have been kept in another tab.
    """
    transfer, choice, target = (fields[name] for name in ("transfer", "vocab_map", "target"))
    names = [each for name, each in fields.items() if name.endswith("controller")]

    def offer(how: str, chosen: str, steered: str, *controllers: str) -> Any:
        if how != FOLLOWS:
            return gr.Dropdown(visible=bool(chosen))
        versions = maps_to_follow(workspace, steered or "", list(filter(None, controllers)))
        return gr.Dropdown(choices=[BUILT, *version_choices(versions)], visible=True)

    transfer.input(None, [transfer, choice], choice, js=CLEARED, **QUIET)
    changes = [each.change for each in (transfer, choice, target, *names)]
    inputs = [transfer, choice, target, *names]
    # One change may cause another; what stands there last decides.
    latest: dict[str, Any] = QUIET | {"trigger_mode": "always_last"}
    gr.on([tab.select, *changes], offer, inputs, choice, **latest)
