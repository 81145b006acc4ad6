"""Train: start a run, follow it from anywhere, stop it and keep its controller."""

import html
import math
import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from cmc import charts
from cmc.errors import SettingError
from cmc.runs import Run
from cmc.settings import OBJECTIVES, PROMPT_FORMATS, TrainSettings
from cmc.ui.form import PRIVATE, QUIET, Form, guarded
from cmc.workspace import LAB_DATA, RUN_PREFIX, Workspace

SECONDS_BETWEEN_LOOKS = 1.0
RUNS_SHOWN = 50
HEADERS = ("run", "state", "step", "objective", "data", "template")
STATE_SIGNS = {
    "running": "● running",
    "finished": "✓ finished",
    "stopped": "■ stopped",
    "failed": "✕ failed",
    "interrupted": "◌ interrupted",
}
SIZES = {"small": (64, 2), "medium": (TrainSettings.hidden_size, TrainSettings.layers)}
SIZES["large"] = (160, 4)
TEXT = {
    "data": "A set of the starter lab, or a file: instruction, output and, optionally, input.",
    "upload": "Or your own: JSON or JSONL",
    "size": "Of a new controller: " + ", ".join(f"{n} {h}×{k}" for n, (h, k) in SIZES.items()),
    "init": "A controller or model to start from; empty makes a small new one.",
    "retain": "For npo: records whose answers must stay.",
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
    size: str = "medium"
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
        data = str(workspace.keep_upload(self.upload)) if self.upload else self.data
        if self.size not in SIZES:
            raise SettingError(f'size is "{self.size}"', hint=f"Choose {', '.join(SIZES)}.")
        hidden_size, layers = SIZES[self.size]
        same = {name: getattr(self, name) or "" for name in ("template", "init", "retain", "name")}
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
    stop: gr.Button
    resume: gr.Button
    use: gr.Button
    seen: gr.State  # what the page shows: the chosen run, and a fingerprint of all that is drawn

    def outputs(self) -> list[Any]:
        """Return the components in the order in which `_look` fills them."""
        return [
            self.status, self.curve, self.table, self.stop, self.resume, self.use, self.seen,
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


def status_line(run: Run, records: Sequence[Mapping[str, Any]]) -> str:
    """Return `step 120/400 · 3.1 steps/s · ETA 1m05s · loss 2.31 · …`, safe as HTML."""
    status = run.status()
    state = str(status.get("state", ""))
    parts = [f"<b>{html.escape(run.name)}</b>", STATE_SIGNS.get(state, html.escape(state))]
    step, steps = int(status.get("step") or 0), int(status.get("steps") or 0)
    parts.append(f"step {step}/{steps}" if steps else "starting")
    rate = steps_per_second(records)
    if rate and state == "running":
        parts += [f"{rate:.1f} it/s", f"ETA {duration((steps - step) / rate)}"]
    parts += _losses(records)
    lines = [" · ".join(parts)]
    if status.get("message"):
        lines.append(html.escape(str(status["message"])))
    if status.get("controller") and state != "running":
        name = html.escape(RUN_PREFIX + run.name)
        lines.append(f"Its controller is <code>{name}</code>; choose it in Generate.")
    return "<br>".join(lines)


def steps_per_second(records: Sequence[Mapping[str, Any]]) -> float:
    """Return the speed over the last fifty steps; 0 where it cannot be told."""
    last = [record for record in records[-50:] if record.get("seconds") is not None]
    if len(last) < 2:
        return 0.0
    passed = float(last[-1]["seconds"]) - float(last[0]["seconds"])
    return (last[-1]["step"] - last[0]["step"]) / passed if passed > 0 else 0.0


def duration(seconds: float) -> str:
    """Return seconds as `1m05s`, `2h03m` or `42s`."""
    whole = max(0, math.ceil(seconds))
    if whole >= 3600:
        return f"{whole // 3600}h{whole % 3600 // 60:02d}m"
    return f"{whole // 60}m{whole % 60:02d}s" if whole >= 60 else f"{whole}s"


def run_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row of text per run."""
    rows = []
    for run in runs[:RUNS_SHOWN]:
        status, settings = run.status(), run.settings()
        state = str(status.get("state", ""))
        step = f"{status.get('step') or 0}/{status.get('steps') or '?'}"
        kept = (_field(settings, name) for name in ("objective", "data", "template"))
        rows.append([run.name, STATE_SIGNS.get(state, state), step, *(_short(v) for v in kept)])
    return pd.DataFrame(rows, columns=list(HEADERS), dtype=str)


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
        list(LAB_DATA),
        value=TrainSettings.data,
        label="Data",
        info=TEXT["data"],
        allow_custom_value=is_open,
        elem_id="train-data",
    )
    fields["upload"] = gr.File(
        label=TEXT["upload"],
        file_types=[".json", ".jsonl"],
        type="filepath",
        height=96,
        elem_id="train-upload",
    )
    fields["size"] = gr.Radio(
        list(SIZES), value="medium", label="Size", info=TEXT["size"], elem_id="train-size"
    )
    fields["max_steps"] = gr.Number(
        TrainSettings.max_steps, precision=0, label="Steps", elem_id="train-steps"
    )
    with gr.Accordion("Details", open=False, elem_id="train-details"):
        fields |= _details()
    return fields


def _details() -> dict[str, Any]:
    """Lay out what is rarely changed; every default comes from `TrainSettings`."""
    default = TrainSettings()
    return {
        "name": gr.Textbox(default.name, label="Name of the run", elem_id="train-name"),
        "objective": gr.Radio(
            list(OBJECTIVES), value=default.objective, label="Objective", elem_id="train-objective"
        ),
        "retain": gr.Textbox(
            default.retain, label="Retain", info=TEXT["retain"], elem_id="train-retain"
        ),
        "prompt_format": gr.Dropdown(
            list(PROMPT_FORMATS),
            value="qa",
            label="Prompt format",
            info="qa is the starter lab's; alpaca the published one.",
            elem_id="train-format",
        ),
        "init": gr.Textbox(default.init, label="Start from", info=TEXT["init"], elem_id="init"),
        "learning_rate": gr.Number(default.learning_rate, label="Learning rate", elem_id="rate"),
        "batch_size": gr.Number(default.batch_size, precision=0, label="Batch size"),
        "max_length": gr.Number(default.max_length, precision=0, label="Longest example (tokens)"),
        "held_out_fraction": gr.Slider(
            0, 0.5, default.held_out_fraction, step=0.01, label="Held-out share"
        ),
        "seed": gr.Number(default.seed, precision=0, label="Seed"),
    }


def _run_view() -> Shown:
    """Lay out status, curve and table."""
    status = gr.HTML(TEXT["none"], padding=False, elem_id="train-status", elem_classes="note strong")
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
    return Shown(status, curve, table, stop, resume, use, gr.State({"run": "", "drawn": ""}))


def _wire(
    workspace: Workspace,
    demo: gr.Blocks,
    form: Form[TrainChoices],
    start: gr.Button,
    shown: Shown,
) -> None:
    """Connect the buttons to runs, and the page to whatever the runs' folders say."""
    look, seen, outputs = _looker(workspace), shown.seen, shown.outputs()

    def start_training(choices: TrainChoices) -> dict[str, str]:
        """Start a detached run and show it."""
        run = workspace.start_training(choices.settings(workspace))
        return {"run": run.name, "drawn": ""}

    def stop_training(state: dict[str, str]) -> dict[str, str]:
        workspace.stop_training(state["run"])
        return state | {"drawn": ""}

    def resume_training(state: dict[str, str]) -> dict[str, str]:
        return {"run": workspace.resume_training(state["run"]).name, "drawn": ""}

    def choose(event: gr.SelectData) -> dict[str, str]:
        return {"run": str(event.row_value[0]), "drawn": ""}

    private: dict[str, Any] = {"show_progress": "hidden"} | PRIVATE
    started = start.click(form.bind(start_training), form.inputs, seen, api_name="train", **private)
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
        shown = _shown_run(runs, seen["run"])
        drawn = _fingerprint(runs, shown)
        if drawn == seen["drawn"] or shown is None:
            return [gr.skip()] * 7
        records = shown.records()
        status = shown.status()
        state, controller = status.get("state"), bool(status.get("controller"))
        may = workspace.may_train
        return [
            status_line(shown, records),
            charts.loss_curve(pd.DataFrame(records)),
            run_table(runs),
            gr.Button(interactive=may and state == "running"),
            gr.Button(interactive=may and state in ("stopped", "interrupted", "failed")),
            gr.Button(interactive=controller),
            {"run": shown.name, "drawn": drawn},
        ]

    return look


def _shown_run(runs: Sequence[Run], name: str) -> Run | None:
    """Return the chosen run, else the one that is running, else the newest."""
    by_name = {run.name: run for run in runs}
    if name in by_name:
        return by_name[name]
    running = (run for run in runs if run.status().get("state") == "running")
    return next(running, runs[0] if runs else None)


def _fingerprint(runs: Sequence[Run], shown: Run | None) -> str:
    """Return a text that changes whenever the page must be drawn again."""
    states = [f"{run.name}:{run.status().get('state')}" for run in runs[:RUNS_SHOWN]]
    if shown is not None:
        status = shown.status()
        waiting = int(time.time()) if status.get("state") == "running" else 0
        states.append(f"{shown.name}@{status.get('step')}:{status.get('message')}:{waiting // 5}")
    return "|".join(states)


def _losses(records: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return the newest loss, and the newest held-out pair."""
    parts = [f"loss {records[-1]['loss']:.2f}"] if records else []
    measured = [record for record in records if record.get("held_out_controlled") is not None]
    if measured:
        last = measured[-1]
        base = last.get("held_out_template")
        beside = f" (base {base:.2f})" if base is not None else ""
        parts.append(f"held out {last['held_out_controlled']:.2f}{beside}")
    return parts


def _field(settings: Any, name: str) -> str:
    """Return one setting of a run, whether it is kept as a dataclass or as a dictionary."""
    value = settings.get(name, "") if isinstance(settings, Mapping) else getattr(settings, name, "")
    return str(value)


def _short(text: str) -> str:
    """Return the end of a path that is too long for a cell."""
    return re.sub(r"^.*/(?=[^/]+$)", "…/", text) if len(text) > 28 else text
