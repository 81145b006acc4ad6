"""The data before training: prompt, columns, first rows, lengths, repeats, leaks."""

from dataclasses import dataclass
from typing import Any

import gradio as gr

from cmc import charts
from cmc.data import chat_prompt, prompt_text
from cmc.models import load_vocabulary
from cmc.settings import CHAT, PROMPT_FORMATS
from cmc.ui.form import PRIVATE, Form, guarded
from cmc.ui.tabs.train import words
from cmc.ui.tabs.train.choices import TrainChoices
from cmc.workspace import Workspace, trainings

PROMPT = "qa"  # what the lab's controllers were trained with
EMPTY = "Press <b>Look at the data</b> to see what a training would learn from."
EXPLAINED = (
    "What the models read; <code>{instruction}</code>, <code>{input}</code> and at its end "
    "<code>{output}</code> are filled in. Edit it to make your own: the controller keeps it and "
    "uses it wherever it goes. <i>qa</i> is the starter lab's, <i>alpaca</i> the published one; "
    "<i>chat</i> writes out the template's own chat template."
)


@dataclass(frozen=True)
class DataPane:
    """The components that show the data."""

    prompt_format: gr.Dropdown
    prompt: gr.Textbox
    look: gr.Button
    summary: gr.HTML
    warnings: gr.HTML
    lengths: gr.Plot
    rows: gr.HTML

    @property
    def fields(self) -> dict[str, Any]:
        """Return what belongs to the form."""
        return {"prompt_format": self.prompt_format, "prompt": self.prompt}


def build_data_pane() -> DataPane:
    """Lay out prompt and preview."""
    with gr.Row(equal_height=False, elem_classes="prompt-row"):
        prompt_format = gr.Dropdown(
            [*PROMPT_FORMATS, CHAT],
            value=PROMPT,
            label="Prompt",
            min_width=170,
            scale=0,
            elem_id="train-format",
        )
        prompt = gr.Textbox(
            prompt_text(PROMPT), label="The prompt as a text", lines=3, max_lines=12, scale=1,
            elem_id="train-prompt",
        )  # fmt: skip
    gr.HTML(EXPLAINED, padding=False, elem_classes="note faint")
    with gr.Row(elem_classes="actions"):
        look = gr.Button("Look at the data", elem_id="data-look")
    summary = gr.HTML(EMPTY, padding=False, elem_id="data-summary", elem_classes="note strong")
    warnings = gr.HTML("", padding=False, elem_id="data-warnings", elem_classes="note")
    lengths = gr.Plot(
        charts.length_histogram([], 0), label="Lengths", show_label=False, elem_id="data-lengths"
    )
    rows = gr.HTML("", padding=False, elem_id="data-rows")
    return DataPane(prompt_format, prompt, look, summary, warnings, lengths, rows)


def wire_data_pane(
    workspace: Workspace,
    pane: DataPane,
    form: Form[TrainChoices],
    openers: tuple[Any, ...],
) -> None:
    """Show the data on `openers`, and write out the prompt that is chosen.

    Args:
        workspace: where names and uploads are looked up.
        pane: what is filled.
        form: what is looked at.
        openers: events that ask for a look, besides the pane's own button.
    """

    def look(choices: TrainChoices) -> list[Any]:
        """Show what a training would learn from."""
        settings = choices.settings(workspace, keep=workspace.may_train)
        preview = trainings.preview_training(workspace, settings)
        return [
            words.data_summary(preview),
            words.warnings(preview),
            charts.length_histogram(preview.lengths, preview.limit),
            words.row_table(preview.rows),
        ]

    def written_out(name: str, template: str) -> str:
        if name == CHAT:
            workspace.check_offered(template, workspace.names_of_templates())
            return chat_prompt(load_vocabulary(template))
        return prompt_text(name)

    shown = [pane.summary, pane.warnings, pane.lengths, pane.rows]
    for opener in (pane.look.click, *openers):
        opener(
            form.bind(look),
            form.inputs,
            shown,
            show_progress="minimal",
            show_progress_on=pane.summary,  # an error would mark every output
            **PRIVATE,
        )
    template = form.components["template"]
    pane.prompt_format.input(
        guarded(written_out), [pane.prompt_format, template], pane.prompt, **PRIVATE
    )
