"""The form of the Train tab: the common case in view, the rest folded."""

from typing import Any

import gradio as gr

from cmc.data.files import SUFFIXES
from cmc.settings import ON_DATA_ALONE, TrainSettings
from cmc.ui.form import QUIET
from cmc.ui.tabs.train.choices import (
    EFFORTS,
    LIKE_PRIOR,
    SIZES,
    lab_set,
    objective_choices,
)
from cmc.workspace import Workspace

TEXT = {
    "template": "The frozen model beside which the controller learns.",
    "data": "A set of the starter lab, a file or folder, or a Hub id (owner/name:config:split).",
    "local": "A set of the starter lab, or upload your own below.",
    "upload": "Or your own: JSON, CSV or Parquet",
    "retain": "Records whose answers must stay.",
    "effort": ", ".join(f"{steps:,}" for steps in EFFORTS.values()) + " steps",
}


def common_fields(workspace: Workspace) -> dict[str, Any]:
    """Lay out the common choices; every default comes from `TrainSettings`."""
    is_open = workspace.mode == "local"
    names = workspace.names_of_data()
    fields: dict[str, Any] = {}
    fields["template"] = gr.Dropdown(
        workspace.names_of_templates(), value=TrainSettings.template, label="Template",
        info=TEXT["template"], allow_custom_value=is_open, elem_id="train-template",
    )  # fmt: skip
    fields["data"] = gr.Dropdown(
        names, value=TrainSettings.data, label="Data", info=TEXT["data" if is_open else "local"],
        allow_custom_value=is_open, elem_id="train-data",
    )  # fmt: skip
    fields["upload"] = gr.File(
        label=TEXT["upload"], file_types=list(SUFFIXES),
        type="filepath", height=72, elem_id="train-upload",
    )  # fmt: skip
    fields["objective"] = gr.Dropdown(
        objective_choices(), value=TrainSettings.objective, label="Objective",
        elem_id="train-objective",
    )  # fmt: skip
    fields["retain"] = gr.Dropdown(
        [("none", ""), *names], value=TrainSettings.retain, label="Retain", info=TEXT["retain"],
        allow_custom_value=is_open, visible=False, elem_id="train-retain",
    )  # fmt: skip
    sizes = [
        (f"{name}, {layers} layers of {width}", name) for name, (width, layers) in SIZES.items()
    ]
    fields["size"] = gr.Dropdown(
        [("as the lab's prior", LIKE_PRIOR), *sizes], value=LIKE_PRIOR,
        label="Size of the controller", elem_id="train-size",
    )  # fmt: skip
    return fields


def effort_choice() -> gr.Radio:
    """Return the one choice that sets the steps."""
    return gr.Radio(
        list(EFFORTS), value="normal", label="Effort", info=TEXT["effort"], elem_id="train-effort"
    )


def folded_fields(workspace: Workspace) -> dict[str, Any]:
    """Lay out what is rarely changed."""
    default = TrainSettings()
    is_open = workspace.mode == "local"
    return {
        "name": gr.Textbox(default.name, label="Name of the run", elem_id="train-name"),
        "max_steps": gr.Number(
            default.max_steps, precision=0, label="Steps", elem_id="train-steps"
        ),
        "init": gr.Dropdown(
            [("as the size says", ""), *workspace.names_of_controllers()], value=default.init,
            label="Start from", allow_custom_value=is_open, elem_id="train-init",
        ),
        "columns": gr.Textbox(
            default.columns, label="Columns", placeholder="instruction=question, output=answer",
            info="Where yours have other names.", elem_id="train-columns",
        ),
        "learning_rate": gr.Number(default.learning_rate, label="Learning rate", elem_id="rate"),
        "batch_size": gr.Number(default.batch_size, precision=0, label="Batch size"),
        "accumulation": gr.Number(
            default.accumulation, precision=0, label="Parts of a batch",
            info="Computed one after the other: less memory, the same loss.",
        ),
        "max_length": gr.Number(
            default.max_length, precision=0, label="Longest example (tokens)",
            elem_id="train-length",
        ),
        "held_out_fraction": gr.Slider(
            0, 0.5, default.held_out_fraction, step=0.01, label="Held-out share"
        ),
        "patience": gr.Number(
            default.patience, precision=0, label="Patience",
            info="Ends after so many measurements without a lower held-out loss; 0: never.",
        ),
        "seed": gr.Number(default.seed, precision=0, label="Seed"),
    }  # fmt: skip


def transfer_fields(workspace: Workspace) -> dict[str, Any]:
    """Lay out what is meant for how a controller does on other targets."""
    default = TrainSettings()
    is_open = workspace.mode == "local"
    return {
        "watch": gr.Dropdown(
            [("none", ""), *workspace.names_of_targets()], value=default.watch,
            label="Watched target", info="Its loss under control is measured along the way; "
            "with patience, it decides when to end.",
            allow_custom_value=is_open, elem_id="train-watch",
        ),
        "second_template": gr.Dropdown(
            [("none", ""), *workspace.names_of_targets()], value=default.second_template,
            label="Second template", info="Of the same vocabulary; the two take turns. Holds "
            "better above strength 1.",
            allow_custom_value=is_open, elem_id="train-second",
        ),
        "strength_low": gr.Number(
            default.strength_low, label="Least strength drawn", elem_id="train-low",
            info="Each example is learned at a strength drawn between the two.",
        ),
        "strength_high": gr.Number(
            default.strength_high, label="Greatest strength drawn", elem_id="train-high",
        ),
        "restraint": gr.Number(
            default.restraint, label="Restraint", elem_id="train-restraint",
            info="Weight of staying near the template; costs effect at low strengths.",
        ),
        "noise": gr.Number(
            default.noise, label="Noise", elem_id="train-noise",
            info="On the template's features, in parts of their spread.",
        ),
    }  # fmt: skip


def wire_form(fields: dict[str, Any], effort: gr.Radio) -> None:
    """Let effort set the steps, and the objective bring what it needs."""

    def steps(chosen: str) -> int:
        return EFFORTS[chosen]

    def for_objective(objective: str, data: str) -> list[Any]:
        needs_retain = objective not in ON_DATA_ALONE
        wanted = lab_set(objective, data)
        if wanted is None:
            return [gr.skip(), gr.Dropdown(visible=needs_retain), *[gr.skip()] * 3]
        data, retain, prompt_format, rate = wanted
        shown = gr.Dropdown(value=retain if needs_retain else "", visible=needs_retain)
        return [data, shown, prompt_format, "", rate]

    effort.input(steps, effort, fields["max_steps"], **QUIET)
    names = ("data", "retain", "prompt_format", "prompt", "learning_rate")
    fields["objective"].input(
        for_objective,
        [fields["objective"], fields["data"]],
        [fields[name] for name in names],
        **QUIET,
    )
