"""Evaluate: does a controller do on other targets what it does on its template?"""

import csv
import html
import json
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import gradio as gr
import pandas as pd

from cmc import charts
from cmc.evaluation import Answer, TransferProgress
from cmc.settings import SLIDER_RANGE, STARTER_CONTROLLER, TRANSFERS, TransferRequest
from cmc.ui.form import GPU, QUIET, Form
from cmc.ui.gpu import lent_gpu
from cmc.workspace import Workspace

HEADERS = ("target", "transfer", "strength", "exact match", "95 % interval", "n", "alone", "effect")
ANSWERS_SHOWN = 100
ANSWER_HEADERS = ("", "question", "expected", "said")
TEXT = {
    "targets": "None chosen means all of the lab.",
    "transfers": "None chosen means all that fit.",
    "shipped": "This report shipped with the starter lab.",
    "absent": "No report has been shipped yet. Press Evaluate to make one: every target answers "
    "held-out questions alone and under control.",
    "effect": "<b>effect</b> is the recovered effect: (controlled - alone) on this target divided "
    "by the same difference on the template. 1.00 means that nothing was lost on the way. "
    "<b>alone</b> is the target without control; a diamond marks the target itself fully "
    "fine-tuned on the same instructions.",
}


@dataclass(frozen=True, kw_only=True)
class EvaluateChoices:
    """What stands in the Evaluate tab."""

    controller: str = STARTER_CONTROLLER
    targets: list[str] = field(default_factory=list)
    transfers: list[str] = field(default_factory=list)
    strength: float = TransferRequest.strength
    questions: float = 50

    def request(self) -> TransferRequest:
        """Return what to evaluate."""
        return TransferRequest(
            controller=self.controller,
            targets=tuple(self.targets or ()),
            transfers=tuple(self.transfers or ()),
            strength=self.strength,
            limit=self.questions,
        )


def build_evaluate_tab(workspace: Workspace, demo: gr.Blocks) -> gr.Dropdown:
    """Lay out the tab and wire it; return the choice of controller."""
    with gr.Row(equal_height=False, elem_classes="page"):
        with gr.Column(scale=0, min_width=350, elem_classes="panel"):
            fields = _fields(workspace)
            with gr.Row(elem_classes="actions"):
                run = gr.Button("Evaluate", variant="primary", elem_id="evaluate")
                stop = gr.Button("Stop", elem_id="evaluate-stop")
        with gr.Column(scale=1, min_width=420):
            progress = gr.HTML(
                "", padding=False, elem_id="evaluate-progress", elem_classes="note strong"
            )
            chart = gr.Plot(show_label=False, label="Exact match", elem_id="evaluate-chart")
            table = _table()
            gr.HTML(TEXT["effect"], padding=False, elem_classes="note faint")
            with gr.Row(elem_classes="actions"):
                files = [
                    gr.DownloadButton(f"Download {kind}", interactive=False, elem_id=f"as-{kind}")
                    for kind in ("csv", "json")
                ]
            with gr.Accordion("Answers of the last measurement", open=False):
                answers = gr.Dataframe(
                    headers=list(ANSWER_HEADERS),
                    datatype="str",
                    interactive=False,
                    wrap=True,
                    show_label=False,
                    label="Answers",
                    buttons=["copy"],
                    elem_id="evaluate-answers",
                )
    outputs = [progress, chart, table, *files]
    form = Form(EvaluateChoices, fields)
    evaluate = lent_gpu(workspace.evaluate)

    def run_evaluation(choices: EvaluateChoices) -> Iterator[Any]:
        """Evaluate a controller on targets; the last answer is the report."""
        yield from _followed(evaluate(choices.request()), workspace.about_models())

    def show_shipped() -> list[Any]:
        return shown_report(workspace.report(), TEXT["shipped"], workspace.about_models())

    common: dict[str, Any] = {"show_progress": "hidden"} | GPU
    started = run.click(
        form.bind(run_evaluation), form.inputs, [*outputs, answers], api_name="evaluate", **common
    )
    stop.click(None, cancels=started, **QUIET)
    demo.load(show_shipped, None, outputs, **QUIET)
    return fields["controller"]


def shown_report(
    report: Mapping[str, Any] | None, line: str, about: Mapping[str, Mapping[str, Any]]
) -> list[Any]:
    """Return progress line, chart, table and the two downloads for a report, or for none.

    Args:
        report: of a transfer evaluation.
        line: what to say above it, safe as HTML.
        about: what the lab says about its models; the chart marks their fine-tuned scores.
    """
    if not report:
        empty = pd.DataFrame(columns=list(HEADERS))
        off = gr.DownloadButton(interactive=False)
        return [TEXT["absent"], charts.transfer_bars([], {}), empty, off, off]
    files = [gr.DownloadButton(value=str(path), interactive=True) for path in written_files(report)]
    rows = [
        {**row, "finetuned": about.get(row["target"], {}).get("finetuned_score")}
        for row in report["rows"]
    ]
    chart = charts.transfer_bars(rows, report.get("template") or {})
    return [line, chart, report_table(report), *files]


def report_table(report: Mapping[str, Any]) -> pd.DataFrame:
    """Return the rows of a report as text, the template first."""
    rows = [_row(row) for row in report["rows"]]
    template = report.get("template") or {}
    if template:
        about = {"target": template.get("name", "template"), "transfer": "same"}
        rows.insert(0, _row(about | dict(template)))
    return pd.DataFrame(rows, columns=list(HEADERS), dtype=str)


def written_files(report: Mapping[str, Any]) -> list[Path]:
    """Write a report as CSV and JSON into a folder of its own; return both paths."""
    folder = Path(tempfile.mkdtemp(prefix="cmc-report-"))
    table, whole = folder / "transfer.csv", folder / "transfer.json"
    names = list(dict.fromkeys(name for row in report["rows"] for name in row))
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, names)
        writer.writeheader()
        writer.writerows({name: _cell(row.get(name)) for name in names} for row in report["rows"])
    whole.write_text(json.dumps(report, indent=1), encoding="utf-8")
    return [table, whole]


def progress_line(progress: TransferProgress) -> str:
    """Return how far an evaluation is; safe as HTML."""
    return f"{progress.done}/{progress.total} · {html.escape(progress.message)}"


def answer_table(answers: Sequence[Answer]) -> pd.DataFrame:
    """Return the first answers of a measurement as text."""
    rows = [
        ["✓" if answer.is_exact else "✕", answer.question, answer.expected, answer.text]
        for answer in answers[:ANSWERS_SHOWN]
    ]
    return pd.DataFrame(rows, columns=list(ANSWER_HEADERS), dtype=str)


def _followed(
    steps: Iterator[TransferProgress], about: Mapping[str, Mapping[str, Any]]
) -> Iterator[list[Any]]:
    """Show every measurement of an evaluation, and its report at the end."""
    kept = [gr.skip()] * 4
    yield ["Loading the models ...", *kept, gr.skip()]
    for progress in steps:
        if progress.report is not None:
            line = f"Done in {progress.report['seconds']:.0f} s."
            yield [*shown_report(progress.report, line, about), gr.skip()]
        else:
            yield [progress_line(progress), *kept, answer_table(progress.answers)]


def _fields(workspace: Workspace) -> dict[str, Any]:
    """Lay out what to evaluate."""
    low, high = SLIDER_RANGE
    return {
        "controller": gr.Dropdown(
            workspace.names_of_controllers(),
            value=STARTER_CONTROLLER,
            label="Controller",
            allow_custom_value=workspace.mode == "local",
            elem_id="evaluate-controller",
        ),
        "targets": gr.CheckboxGroup(
            workspace.names_of_targets()[:-1],
            label="Targets",
            info=TEXT["targets"],
            elem_id="evaluate-targets",
        ),
        "transfers": gr.CheckboxGroup(
            [name for name in TRANSFERS if name != "auto"],
            label="Transfers",
            info=TEXT["transfers"],
            elem_id="evaluate-transfers",
        ),
        "strength": gr.Slider(
            low, high, 1.0, step=0.05, label="Strength", elem_id="evaluate-strength"
        ),
        "questions": gr.Slider(
            10, 400, EvaluateChoices.questions, step=10, label="Questions",
            info="Held out: never trained on.", elem_id="evaluate-questions",
        ),
    }  # fmt: skip


def _table() -> gr.Dataframe:
    """Return the table of the report."""
    return gr.Dataframe(
        headers=list(HEADERS),
        datatype="str",
        interactive=False,
        label="Transfer",
        buttons=["copy"],
        elem_id="evaluate-table",
    )


def _row(row: Mapping[str, Any]) -> list[str]:
    """Return one row of a report as text."""
    interval = f"{row['low']:.2f} to {row['high']:.2f}" if row.get("low") is not None else ""
    return [
        str(row.get("target", "")),
        str(row.get("transfer", "")),
        _two(row.get("strength")),
        _two(row.get("exact_match")),
        interval,
        str(row.get("n", "")),
        _two(row.get("base")),
        _two(row.get("recovered_effect")),
    ]


def _two(value: Any) -> str:
    """Return a number with two decimals, or nothing."""
    return f"{value:.2f}" if isinstance(value, int | float) else ""


def _cell(value: Any) -> Any:
    """Return a value that a spreadsheet does not take for a formula."""
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@" else value
