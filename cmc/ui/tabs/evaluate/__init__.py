"""Evaluate: start evaluations, follow them from anywhere, read and compare what they found."""

from typing import Any

import gradio as gr

from cmc.ui.form import QUIET
from cmc.ui.tabs.evaluate.actions import add_api, wire_actions, wire_start
from cmc.ui.tabs.evaluate.choices import told
from cmc.ui.tabs.evaluate.compare import wire_comparing
from cmc.ui.tabs.evaluate.examples import wire_viewer
from cmc.ui.tabs.evaluate.fields import build_form, shown_fields
from cmc.ui.tabs.evaluate.view import Looker, build_view
from cmc.workspace import Workspace
from cmc.workspace.offers import PUBLIC_ANSWERS

SECONDS_BETWEEN_LOOKS = 1.0
PUBLIC = (
    f"On this public Space an evaluation gives up to {PUBLIC_ANSWERS} answers, of what is listed "
    "here; everybody sees it, and one runs at a time."
)

__all__ = ["build_evaluate_tab"]


def build_evaluate_tab(workspace: Workspace, demo: gr.Blocks) -> list[gr.Dropdown]:
    """Lay out the tab and wire it; return the choices of controllers."""
    with gr.Row(equal_height=False, elem_classes="page"):
        with gr.Column(scale=0, min_width=350, elem_classes="panel"):
            form = build_form(workspace)
            if workspace.mode != "local":
                gr.HTML(PUBLIC, padding=False, elem_classes="note")
        with gr.Column(scale=1, min_width=420):
            view = build_view()

    def show(chosen: str) -> list[Any]:
        return [told(chosen).about, *shown_fields(chosen, form.components).values()]

    form.kind.input(show, form.kind, [form.about, *form.components.values()], **QUIET)
    events = [wire_start(workspace, form, view), *wire_actions(workspace, view)]
    look = Looker(workspace, view)
    for event in events:
        event.success(look, view.inputs, view.outputs, **QUIET)
    demo.load(look, view.inputs, view.outputs, **QUIET)
    gr.Timer(SECONDS_BETWEEN_LOOKS).tick(look, view.inputs, view.outputs, **QUIET)
    wire_viewer(workspace, view.viewer, view.seen)
    wire_comparing(workspace, view.comparing, view.seen)
    add_api(workspace)
    return [form.components[each] for each in ("controller", "controllers")]
