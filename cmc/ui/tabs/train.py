"""Train: start a run, follow it from anywhere, stop it and keep its controller."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from cmc import charts
from cmc.settings import OBJECTIVES, PROMPT_FORMATS, TrainSettings, checked_choice
from cmc.ui.form import PRIVATE, QUIET, Form, guarded
from cmc.ui.run_table import HEADERS, fingerprint, run_table, shown_run
from cmc.ui.sentences import status_line
from cmc.workspace import Workspace, trainings
from cmc.workspace.trainings import PRIOR

SECONDS_BETWEEN_LOOKS = 1.0
SIZES = {"small": (64, 2), "medium": (TrainSettings.hidden_size, TrainSettings.layers)}
SIZES["large"] = (160, 4)
LIKE_PRIOR = "prior"  # the lab's tiny language model goes on learning; it carries over best
TEXT = {
    "data": "A set of the starter lab, or a file of instructions and answers in a common layout.",
    "upload": "Or your own: JSON, CSV or Parquet",
    "objective": "sft learns the answers; all others forget them.",
    "retain": "For forgetting: records whose answers must stay.",
    "none": "No run yet. Start one: it goes on when you close this page.",
    "off": "Training is switched off on this public Space. Run the app on your own machine, or "
    "duplicate the Space and set <code>ALLOW_PUBLIC_TRAINING=1</code>.",
}


@dataclass(frozen=True, kw_only=True)
class TrainChoices:
    """What stands in the Train tab."""

    template: str
    data: str
    upload: str | None = None
    size: str = LIKE_PRIOR
    max_steps: float = TrainSettings.max_steps
    name: str = TrainSettings.name
    objective: str = TrainSettings.objective
    retain: str = TrainSettings.retain
    prompt_format: str = TrainSettings.prompt_format
    init: str = TrainSettings.init
    learning_rate: float = TrainSettings.learning_rate
    batch_size: float = TrainSettings.batch_size
    max_length: float = TrainSettings.max_length
    held_out_fraction: float = TrainSettings.held_out_fraction
    seed: float = TrainSettings.seed

    def settings(self, workspace: Workspace) -> TrainSettings:
        """Return the settings of the run; an uploaded file goes before a named one."""
        data = str(trainings.keep_upload(workspace, self.upload)) if self.upload else self.data
        checked_choice("size", self.size, (LIKE_PRIOR, *SIZES))
        hidden_size, layers = SIZES.get(self.size, SIZES["medium"])
        same = {name: getattr(self, name) or "" for name in ("template", "retain", "name")}
        same["init"] = self.init or (PRIOR if self.size == LIKE_PRIOR else "")
        same |= {name: getattr(self, name) for name in ("objective", "prompt_format")}
        numbers = ("max_steps", "learning_rate", "batch_size", "max_length", "seed")
        same |= {name: getattr(self, name) for name in (*numbers, "held_out_fraction")}
        return TrainSettings(data=data, hidden_size=hidden_size, layers=layers, **same)


@dataclass(frozen=True)
class Shown:
    """The components that show runs."""

    status: gr.HTML
    curve: gr.Plot
    table: gr.Dataframe
    log: gr.Textbox
    stop: gr.Button
    resume: gr.Button
    use: gr.Button
    seen: gr.State  # what the page shows: the chosen run, and a fingerprint of all that is drawn

    def outputs(self) -> list[Any]:
        """Return the components in the order in which `_look` fills them."""
        return [
            self.status, self.curve, self.table, self.log,
            self.stop, self.resume, self.use, self.seen,
        ]  # fmt: skip


@dataclass(frozen=True)
class TrainTab:
    """What the layout needs to bring a run's controller to another tab."""

    use: gr.Button
    seen: gr.State


def build_train_tab(workspace: Workspace, demo: gr.Blocks) -> TrainTab:
    """Lay out the tab and wire it."""
    with gr.Row(equal_height=False, elem_classes="page"):
        with gr.Column(scale=0, min_width=350, elem_classes="panel"):
            fields = _fields(workspace)
            start = gr.Button(
                "Start training",
                variant="primary",
                interactive=workspace.may_train,
                elem_id="train-start",
            )
            if not workspace.may_train:
                gr.HTML(TEXT["off"], padding=False, elem_id="train-off", elem_classes="note")
        with gr.Column(scale=1, min_width=420):
            shown = _run_view()
    _wire(workspace, demo, Form(TrainChoices, fields), start, shown)
    return TrainTab(shown.use, shown.seen)


def _fields(workspace: Workspace) -> dict[str, Any]:
    """Lay out the common choices, and the rest folded."""
    is_open = workspace.mode == "local"
    fields: dict[str, Any] = {}
    fields["template"] = gr.Dropdown(
        workspace.names_of_templates(),
        value=TrainSettings.template,
        label="Template",
        info="The frozen model beside which the controller learns.",
        allow_custom_value=is_open,
        elem_id="train-template",
    )
    fields["data"] = gr.Dropdown(
        workspace.names_of_data(),
        value=TrainSettings.data,
        label="Data",
        info=TEXT["data"],
        allow_custom_value=is_open,
        elem_id="train-data",
    )
    fields["upload"] = gr.File(
        label=TEXT["upload"],
        file_types=[".json", ".jsonl", ".csv", ".tsv", ".parquet"],
        type="filepath",
        height=72,
        elem_id="train-upload",
    )
    with gr.Row():
        fields["size"] = gr.Dropdown(
            [("lab's prior", LIKE_PRIOR), *((f"{n}, {w}x{d}", n) for n, (w, d) in SIZES.items())],
            value=LIKE_PRIOR,
            label="Size",
            min_width=140,
            elem_id="train-size",
        )
        fields["max_steps"] = gr.Number(
            TrainSettings.max_steps,
            precision=0,
            label="Steps",
            min_width=100,
            elem_id="train-steps",
        )
    with gr.Accordion("Details", open=False, elem_id="train-details"):
        fields |= _details(workspace)
    return fields


def _details(workspace: Workspace) -> dict[str, Any]:
    """Lay out what is rarely changed; every default comes from `TrainSettings`."""
    default = TrainSettings()
    is_open = workspace.mode == "local"
    return {
        "name": gr.Textbox(default.name, label="Name of the run", elem_id="train-name"),
        "objective": gr.Dropdown(
            list(OBJECTIVES), value=default.objective, label="Objective", info=TEXT["objective"],
            elem_id="train-objective",
        ),
        "retain": gr.Dropdown(
            [("none", ""), *workspace.names_of_data()], value=default.retain, label="Retain",
            info=TEXT["retain"], allow_custom_value=is_open, elem_id="train-retain",
        ),
        "prompt_format": gr.Dropdown(
            list(PROMPT_FORMATS), value="qa", label="Prompt format",
            info="qa is the starter lab's; alpaca the published one.", elem_id="train-format",
        ),
        "init": gr.Dropdown(
            [("as the size says", ""), *workspace.names_of_controllers()], value=default.init,
            label="Start from", allow_custom_value=is_open, elem_id="train-init",
        ),
        "learning_rate": gr.Number(default.learning_rate, label="Learning rate", elem_id="rate"),
        "batch_size": gr.Number(default.batch_size, precision=0, label="Batch size"),
        "max_length": gr.Number(default.max_length, precision=0, label="Longest example (tokens)"),
        "held_out_fraction": gr.Slider(
            0, 0.5, default.held_out_fraction, step=0.01, label="Held-out share"
        ),
        "seed": gr.Number(default.seed, precision=0, label="Seed"),
    }  # fmt: skip


def _run_view() -> Shown:
    """Lay out status, curve and table."""
    status = gr.HTML(
        TEXT["none"], padding=False, elem_id="train-status", elem_classes="note strong"
    )
    curve = gr.Plot(
        charts.loss_curve(pd.DataFrame()), label="Loss", show_label=False, elem_id="train-curve"
    )
    with gr.Row(elem_classes="actions"):
        stop = gr.Button("Stop and keep", interactive=False, elem_id="train-stop")
        resume = gr.Button("Resume", interactive=False, elem_id="train-resume")
        use = gr.Button("Try in Generate", interactive=False, elem_id="train-use")
    table = gr.Dataframe(
        pd.DataFrame(columns=list(HEADERS)),
        headers=list(HEADERS),
        datatype="str",
        interactive=False,
        label="Runs (click one to see it)",
        max_height=260,
        buttons=[],
        elem_id="train-runs",
    )
    with gr.Accordion("Log of the run", open=False):
        log = gr.Textbox(
            "",
            label="Log",
            show_label=False,
            lines=6,
            max_lines=14,
            interactive=False,
            buttons=["copy"],
            elem_id="train-log",
        )
    return Shown(status, curve, table, log, stop, resume, use, gr.State({"run": "", "drawn": ""}))


def _wire(
    workspace: Workspace,
    demo: gr.Blocks,
    form: Form[TrainChoices],
    start: gr.Button,
    shown: Shown,
) -> None:
    """Connect the buttons to runs, and the page to whatever the runs' folders say."""
    look, seen, outputs = _looker(workspace), shown.seen, shown.outputs()

    def start_training(choices: TrainChoices) -> tuple[dict[str, str], str]:
        """Start a detached run; returns a line with its name."""
        run = trainings.start_training(workspace, choices.settings(workspace))
        return {"run": run.name, "drawn": ""}, status_line(run, [])

    def stop_training(state: dict[str, str]) -> dict[str, str]:
        trainings.stop_training(workspace, state["run"])
        return state | {"drawn": ""}

    def resume_training(state: dict[str, str]) -> dict[str, str]:
        return {"run": trainings.resume_training(workspace, state["run"]).name, "drawn": ""}

    def choose(event: gr.SelectData) -> dict[str, str]:
        return {"run": str(event.row_value[0]), "drawn": ""}

    private: dict[str, Any] = {"show_progress": "hidden"} | PRIVATE
    started = start.click(
        form.bind(start_training),
        form.inputs,
        [seen, shown.status],
        api_name="train",
        show_progress="hidden",
    )
    stopped = shown.stop.click(guarded(stop_training), seen, seen, **private)
    resumed = shown.resume.click(guarded(resume_training), seen, seen, **private)
    chosen = shown.table.select(choose, None, seen, **private)
    for event in (started, stopped, resumed, chosen):
        event.success(look, seen, outputs, **QUIET)
    demo.load(look, seen, outputs, **QUIET)
    gr.Timer(SECONDS_BETWEEN_LOOKS).tick(look, seen, outputs, **QUIET)


def _looker(workspace: Workspace) -> Any:
    """Return the reader that runs on load and once a second; it sends only what changed."""

    def look(seen: dict[str, str]) -> list[Any]:
        runs = workspace.all_runs()
        shown = shown_run(runs, seen["run"])
        drawn = fingerprint(runs, shown)
        if drawn == seen["drawn"] or shown is None:
            return [gr.skip()] * 8
        records = shown.records()
        status = shown.status()
        state, controller = status.get("state"), bool(status.get("controller"))
        may = workspace.may_train
        return [
            status_line(shown, records),
            charts.loss_curve(pd.DataFrame(records)),
            run_table(runs),
            shown.log_tail() if workspace.mode == "local" else "Shown to the owner only.",
            gr.Button(interactive=may and state in ("queued", "running")),
            gr.Button(interactive=may and state in ("stopped", "interrupted", "failed")),
            gr.Button(interactive=controller),
            {"run": shown.name, "drawn": drawn},
        ]

    return look
