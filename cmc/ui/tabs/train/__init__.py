"""Train: see the data, start a run, follow it from anywhere, stop it and keep its controller."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc.errors import CmcError
from cmc.ui.form import QUIET, Form
from cmc.ui.sentences import status_line
from cmc.ui.tabs.train.choices import TrainChoices, command_line
from cmc.ui.tabs.train.data_pane import build_data_pane, wire_data_pane
from cmc.ui.tabs.train.form import (
    common_fields,
    effort_choice,
    folded_fields,
    transfer_fields,
    wire_form,
)
from cmc.ui.tabs.train.publish import build_publish_pane
from cmc.ui.tabs.train.run_view import build_run_view, wire_run_view
from cmc.workspace import Workspace, trainings

OFF = (
    "Training is switched off on this public Space. Run the app on your own machine, or "
    "duplicate the Space and set <code>ALLOW_PUBLIC_TRAINING=1</code>."
)


@dataclass(frozen=True)
class TrainTab:
    """What the layout needs to bring a run's controller to another tab."""

    use: gr.Button
    seen: gr.State


def build_train_tab(workspace: Workspace, demo: gr.Blocks) -> TrainTab:
    """Lay out the tab and wire it."""
    with gr.Row(equal_height=False, elem_classes="page"):
        with gr.Column(scale=0, min_width=350, elem_classes="panel"):
            fields = common_fields(workspace)
            effort = effort_choice()
            start = gr.Button(
                "Start training", variant="primary", interactive=workspace.may_train,
                elem_id="train-start",
            )  # fmt: skip
            if not workspace.may_train:
                gr.HTML(OFF, padding=False, elem_id="train-off", elem_classes="note")
            with gr.Accordion("Details", open=False, elem_id="train-details"):
                fields |= folded_fields(workspace)
            with gr.Accordion("For other targets", open=False, elem_id="train-transfer"):
                fields |= transfer_fields(workspace)
            with gr.Accordion("The same as a command", open=False, elem_id="train-shell"):
                command = gr.Textbox(
                    "", label="Command", show_label=False, lines=3, max_lines=12,
                    interactive=False, buttons=["copy"], elem_id="train-command",
                )  # fmt: skip
        with (
            gr.Column(scale=1, min_width=420),
            gr.Tabs(selected="progress", elem_id="train-panes") as panes,
        ):
            with gr.Tab("Progress", id="progress"):
                view = build_run_view()
                if workspace.may_train:
                    build_publish_pane(workspace, view.seen)
            with gr.Tab("Data and prompt", id="data") as data_tab:
                pane = build_data_pane()
    fields |= pane.fields
    form = Form(TrainChoices, fields)
    wire_form(fields, effort)
    wire_data_pane(workspace, pane, form, (data_tab.select,))
    _wire_command(workspace, demo, form, command)
    started = _wire_start(workspace, form, start, panes, view)
    wire_run_view(workspace, demo, view, started)
    return TrainTab(view.use, view.seen)


def _wire_start(
    workspace: Workspace, form: Form[TrainChoices], start: gr.Button, panes: gr.Tabs, view: Any
) -> Any:
    def start_training(choices: TrainChoices) -> tuple[str, str, Any]:
        """Start a detached run, or queue it; returns a line with its name."""
        run = trainings.start_training(workspace, choices.settings(workspace))
        return run.name, status_line(run, []), gr.Tabs(selected="progress")

    return start.click(
        form.bind(start_training),
        form.inputs,
        [view.chosen, view.status, panes],
        api_name="train",
        show_progress="hidden",
    )


def _wire_command(
    workspace: Workspace, demo: gr.Blocks, form: Form[TrainChoices], command: gr.Textbox
) -> None:
    """Keep the command up to date with the form."""

    def told(*values: Any) -> str:
        choices = TrainChoices(**dict(zip(form.components, values, strict=True)))
        try:
            settings = choices.settings(workspace, keep=False)
            # Where things lie on a public Space is nobody's business.
            is_local = workspace.mode == "local"
            return command_line(trainings.placed(workspace, settings) if is_local else settings)
        except CmcError as error:
            return error.sentence()

    changes = [each.change for each in form.inputs]
    gr.on([demo.load, *changes], told, form.inputs, command, trigger_mode="always_last", **QUIET)
