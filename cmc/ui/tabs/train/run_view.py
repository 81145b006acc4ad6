"""A run as it goes: status, curve, answers to fixed questions, and the table of all runs."""

from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from cmc import charts
from cmc.runs import ALIVE, Run
from cmc.ui.form import PRIVATE, QUIET, guarded
from cmc.ui.run_table import HEADERS, fingerprint, run_table, shown_run
from cmc.ui.sentences import status_line
from cmc.ui.tabs.train import words
from cmc.workspace import Workspace, trainings

SECONDS_BETWEEN_LOOKS = 1.0
BESIDE_MOST = 5  # runs compared with the shown one
NONE = "No run yet. Start one: it goes on when you close this page."
TO_OWNER = "Shown to the owner only."


@dataclass(frozen=True)
class RunView:
    """The components that show runs; `seen` is the chosen run, and what of it is drawn."""

    queue: gr.HTML
    status: gr.HTML
    curve: gr.Plot
    beside: gr.Dropdown
    stop: gr.Button
    resume: gr.Button
    use: gr.Button
    delete: gr.Button
    confirm: gr.Row
    question: gr.HTML
    really: gr.Button
    keep: gr.Button
    probes: gr.HTML
    table: gr.Dataframe
    log: gr.Textbox
    # Only a person's acts write `chosen`, only looks write `seen`: a look that began before an act
    # and ends after it cannot bring the old run back.
    chosen: gr.State
    seen: gr.State

    def outputs(self) -> list[Any]:
        """Return the components in the order in which `_look` fills them."""
        return [
            self.queue, self.status, self.curve, self.beside, self.probes, self.table, self.log,
            self.stop, self.resume, self.use, self.delete, self.seen,
        ]  # fmt: skip


def build_run_view() -> RunView:
    """Lay out status, curve, probes and table."""
    queue = gr.HTML("", padding=False, visible=False, elem_id="train-queue", elem_classes="note")
    status = gr.HTML(NONE, padding=False, elem_id="train-status", elem_classes="note strong")
    curve = gr.Plot(
        charts.loss_curve(pd.DataFrame()), label="Loss", show_label=False, elem_id="train-curve"
    )
    with gr.Row(elem_classes="actions"):
        stop = gr.Button("Stop and keep", interactive=False, elem_id="train-stop")
        resume = gr.Button("Resume", interactive=False, elem_id="train-resume")
        use = gr.Button("Try in Generate", interactive=False, elem_id="train-use")
        delete = gr.Button(
            "Delete", interactive=False, elem_id="train-delete", elem_classes="quiet"
        )
    with gr.Row(visible=False, elem_classes="actions confirm") as confirm:
        question = gr.HTML("", padding=False, elem_classes="note strong")
        really = gr.Button("Delete", variant="stop", elem_id="train-really")
        keep = gr.Button("Keep", elem_id="train-keep")
    beside = gr.Dropdown(
        [], value=[], multiselect=True, max_choices=BESIDE_MOST, label="Compare with",
        info="Draws the curves of other runs over this one.", visible=False,
        elem_id="train-beside",
    )  # fmt: skip
    probes = gr.HTML(
        words.probe_table([]), padding=False, elem_id="train-probes", elem_classes="note"
    )
    table = gr.Dataframe(
        pd.DataFrame(columns=list(HEADERS)), headers=list(HEADERS), datatype="str",
        interactive=False, label="Runs (click one to see it)", max_height=260, buttons=[],
        elem_id="train-runs",
    )  # fmt: skip
    with gr.Accordion("Log of the run", open=False):
        log = gr.Textbox(
            "", label="Log", show_label=False, lines=6, max_lines=14, interactive=False,
            buttons=["copy"], elem_id="train-log",
        )  # fmt: skip
    seen = gr.State({"run": "", "drawn": ""})
    return RunView(
        queue, status, curve, beside, stop, resume, use, delete, confirm, question, really, keep,
        probes, table, log, gr.State(""), seen,
    )  # fmt: skip


def wire_run_view(workspace: Workspace, demo: gr.Blocks, view: RunView, started: Any) -> None:
    """Connect the buttons to runs, and the page to whatever the runs' folders say."""
    look, inputs = _looker(workspace), [view.chosen, view.seen, view.beside]

    def stop(state: dict[str, str]) -> str:
        trainings.stop_training(workspace, state["run"])
        return state["run"]

    def resume(state: dict[str, str]) -> str:
        return trainings.resume_training(workspace, state["run"]).name

    def choose(event: gr.SelectData) -> str:
        return str(event.row_value[0])

    private: dict[str, Any] = {"show_progress": "hidden"} | PRIVATE
    events = (
        started,
        view.stop.click(guarded(stop), view.seen, view.chosen, **private),
        view.resume.click(guarded(resume), view.seen, view.chosen, **private),
        view.table.select(choose, None, view.chosen, **private),
        _wire_delete(workspace, view),
    )
    for event in events:
        event.success(look, inputs, view.outputs(), **QUIET)
    view.beside.input(look, inputs, view.outputs(), **QUIET)
    demo.load(look, inputs, view.outputs(), **QUIET)
    gr.Timer(SECONDS_BETWEEN_LOOKS).tick(look, inputs, view.outputs(), **QUIET)


def _wire_delete(workspace: Workspace, view: RunView) -> Any:
    """Ask before a run is deleted; return the event of its deletion."""

    def ask(state: dict[str, str]) -> list[Any]:
        question = f"Delete <b>{words.escaped(state['run'])}</b> with its controller and its log?"
        return [gr.Row(visible=True), f"{question} Versions in the store stay."]

    def delete(state: dict[str, str]) -> list[Any]:
        trainings.delete_training(workspace, state["run"])
        return ["", gr.Row(visible=False)]

    private: dict[str, Any] = {"show_progress": "hidden"} | PRIVATE
    view.delete.click(ask, view.seen, [view.confirm, view.question], **private)
    view.keep.click(lambda: gr.Row(visible=False), None, view.confirm, **private)
    return view.really.click(guarded(delete), view.seen, [view.chosen, view.confirm], **private)


def _looker(workspace: Workspace) -> Any:
    """Return the reader that runs on load and once a second; it sends only what changed."""

    def look(chosen: str, seen: dict[str, str], beside: list[str]) -> list[Any]:
        runs = workspace.all_runs()
        shown, queue = shown_run(runs, chosen or seen["run"]), trainings.queue(workspace)
        drawn = f"{fingerprint(runs, shown)}|{words.queue_line(queue, '')}|{beside}"
        if drawn == seen["drawn"] and (shown is None or shown.name == seen["run"]):
            return [gr.skip()] * 12
        if shown is None:
            return _nothing(drawn)
        line, records = words.queue_line(queue, shown.name), shown.records()
        others = [run.name for run in runs if run.name != shown.name]
        drawn_over = [run for run in runs if run.name in (beside or ()) and run.name in others]
        is_gone = len(drawn_over) < len(beside or ())
        still_beside = {"value": [run.name for run in drawn_over]} if is_gone else {}
        return [
            gr.HTML(line, visible=bool(line)),
            status_line(shown, records),
            _curve(shown.name, records, drawn_over),
            # What is no longer offered may not stay chosen, or every later look is refused.
            gr.Dropdown(choices=others, visible=bool(others), **still_beside),
            words.probe_table(shown.probes()),
            run_table(runs),
            shown.log_tail() if workspace.mode == "local" else TO_OWNER,
            *_buttons(workspace, shown),
            {"run": shown.name, "drawn": drawn},
        ]

    return look


def _curve(name: str, records: list[dict[str, Any]], others: list[Run]) -> Any:
    own = pd.DataFrame(records)
    if not others:
        return charts.loss_curve(own)
    frames = {run.name: pd.DataFrame(run.records()) for run in others}
    return charts.compared_curves({name: own} | frames)


def _buttons(workspace: Workspace, shown: Run) -> list[gr.Button]:
    """Return Stop, Resume, Use and Delete as they may be pressed now."""
    status, may = shown.status(), workspace.may_train
    state, is_alive = status["state"], status["state"] in ALIVE
    to_stop = "Leave the queue" if state == "queued" else "Stop and keep"
    return [
        gr.Button(to_stop, interactive=may and is_alive),
        gr.Button(interactive=may and state in ("stopped", "interrupted", "failed")),
        gr.Button(interactive=bool(status["controller"])),
        gr.Button(interactive=workspace.mode == "local" and not is_alive),
    ]


def _nothing(drawn: str) -> list[Any]:
    """Return what is shown where there is no run, such as when the last one was deleted."""
    off = [gr.Button(interactive=False) for _ in range(4)]
    empty = pd.DataFrame(columns=list(HEADERS))
    return [
        gr.HTML("", visible=False), NONE, charts.loss_curve(pd.DataFrame()),
        gr.Dropdown(choices=[], value=[], visible=False),
        words.probe_table([]), empty, "", *off, {"run": "", "drawn": drawn},
    ]  # fmt: skip
