"""Where an evaluation is shown: its state, report, examples, comparison, origin and log."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import gradio as gr
import pandas as pd

from cmc import charts
from cmc.runs import ALIVE, Run
from cmc.ui.run_table import fingerprint, shown_run
from cmc.ui.tabs.evaluate.compare import Comparing, build_comparing, choices_to_compare
from cmc.ui.tabs.evaluate.examples import ALL, Viewer, build_viewer, page_of, read_examples
from cmc.ui.tabs.evaluate.figures import figures_of
from cmc.ui.tabs.evaluate.files import Files
from cmc.ui.tabs.evaluate.provenance import provenance_html
from cmc.ui.tabs.evaluate.report import TEXT, headline, table_html
from cmc.ui.tabs.evaluate.run_list import HEADERS, progress_html, run_rows
from cmc.workspace import Workspace
from cmc.workspace.offers import evaluation_runs
from cmc.workspace.reports import SHIPPED, readable, repetition, report_of

NOTHING_SEEN = {"run": "", "list": "", "status": "", "report": "", "compared": ""}


@dataclass(frozen=True)
class View:
    """The components that show evaluations."""

    status: gr.HTML
    stop: gr.Button
    resume: gr.Button
    repeat: gr.Button
    delete: gr.Button
    headline: gr.HTML
    chart: gr.Plot
    second: gr.Plot
    table: gr.HTML
    files: Sequence[gr.DownloadButton]
    viewer: Viewer
    comparing: Comparing
    provenance: gr.HTML
    log: gr.Textbox
    runs: gr.Dataframe
    # Only a person's acts write `chosen`, only looks write `seen`: a look that began before an act
    # and ends after it cannot bring the old run back.
    chosen: gr.State  # name of the run to show; empty leaves it to the look
    seen: gr.State  # what the page shows, with a fingerprint of every part that is drawn

    @property
    def of_status(self) -> list[Any]:
        """What changes whenever a run goes on."""
        return [self.status, self.stop, self.resume, self.repeat, self.delete, self.log]

    @property
    def of_report(self) -> list[Any]:
        """What changes with every measurement."""
        return [self.headline, self.chart, self.second, self.table, *self.files, self.provenance,
                *self.viewer.outputs]  # fmt: skip

    @property
    def outputs(self) -> list[Any]:
        """Everything that `Looker` fills, in its order."""
        return [*self.of_status, *self.of_report, *self.comparing.outputs, self.runs, self.seen]

    @property
    def inputs(self) -> list[Any]:
        """What `Looker` reads: which run is shown, and which page of its examples."""
        return [self.chosen, self.seen, self.viewer.which, self.viewer.where, self.viewer.page]


def build_view() -> View:
    """Lay out status, report and the table of evaluations."""
    status = gr.HTML("", padding=False, elem_id="evaluate-status", elem_classes="note strong")
    with gr.Row(elem_classes="actions"):
        buttons = [
            gr.Button(name, visible=False, elem_id=f"evaluate-{name.lower()}")
            for name in ("Stop", "Resume", "Repeat", "Delete")
        ]
    with gr.Tabs(elem_id="evaluate-parts"):
        with gr.Tab("Report", id="report"):
            said = gr.HTML("", padding=False, elem_id="evaluate-headline")
            chart = gr.Plot(show_label=False, label="Chart", elem_id="evaluate-chart")
            second = gr.Plot(show_label=False, label="Second chart", visible=False,
                             elem_id="evaluate-second-chart")  # fmt: skip
            figures = gr.HTML("", padding=False, elem_id="evaluate-table")
            with gr.Row(elem_classes="actions"):
                files = [
                    gr.DownloadButton(label, interactive=False, elem_id=f"as-{name}")
                    for label, name in (("Download CSV", "csv"), ("Download JSON", "json"),
                                        ("For LLM Comparator", "comparator"))
                ]  # fmt: skip
        with gr.Tab("Examples", id="examples"):
            viewer = build_viewer()
        with gr.Tab("Compare", id="compare"):
            comparing = build_comparing()
        with gr.Tab("Provenance", id="provenance"):
            provenance = gr.HTML("", padding=False, elem_id="evaluate-provenance")
        with gr.Tab("Log", id="log"):
            log = gr.Textbox(
                "", label="Log", show_label=False, lines=6, max_lines=14, interactive=False,
                buttons=["copy"], elem_id="evaluate-log",
            )  # fmt: skip
    runs = gr.Dataframe(
        pd.DataFrame(columns=list(HEADERS)), headers=list(HEADERS), datatype="str",
        interactive=False, label="Evaluations (click one to see it)", max_height=260, buttons=[],
        column_widths=["17%", "13%", "14%", "8%", "26%", "22%"], wrap=True,
        elem_id="evaluate-runs",
    )  # fmt: skip
    return View(status, *buttons, said, chart, second, figures, files, viewer, comparing,
                provenance, log, runs, gr.State(""), gr.State(dict(NOTHING_SEEN)))  # fmt: skip


class Looker:
    """Reads the folders of evaluations, and returns what of the page has changed."""

    def __init__(self, workspace: Workspace, view: View) -> None:
        self._workspace = workspace
        self._counts = [len(view.of_status), len(view.of_report), len(view.comparing.outputs), 1]
        self._files = Files()

    def __call__(
        self, chosen: str, seen: dict[str, str], which: str, where: str, page: float
    ) -> list[Any]:
        """Return updates for `View.outputs`; parts that are as they were are skipped."""
        runs = evaluation_runs(self._workspace)
        wanted = chosen or seen["run"]
        shown = None if wanted == SHIPPED else shown_run(runs, wanted)
        name = shown.name if shown else SHIPPED
        state = shown.status() if shown else {}
        drawn = {
            "run": name,
            "list": fingerprint(runs, None),
            "status": fingerprint([], shown) if shown else SHIPPED,
            "report": f"{name}@{state.get('step')}@{state.get('state')}",
            "compared": f"{name}@{state.get('state')}",
        }
        if name != seen["run"]:
            where, page = ALL, 1
        parts = (
            ("status", lambda: self._status(shown, state)),
            ("report", lambda: self._report(shown, which, where, page)),
            ("compared", lambda: choices_to_compare(self._workspace, name)),
            ("list", lambda: [self._list(runs)]),
        )
        found: list[Any] = []
        for (part, look), count in zip(parts, self._counts, strict=True):
            is_same = drawn[part] == seen.get(part) and name == seen["run"]
            found += [gr.skip()] * count if is_same else look()
        return [*found, drawn]

    def _status(self, run: Run | None, status: Mapping[str, Any]) -> list[Any]:
        if run is None:
            line = TEXT["shipped" if self._workspace.report() else "absent"]
            return [line, *[gr.Button(visible=False)] * 4, ""]
        state = status.get("state")
        is_over = state in ("stopped", "interrupted", "failed")
        is_local = self._workspace.mode == "local"
        return [
            progress_html(run, repetition(self._workspace, run)),
            gr.Button(visible=state in ALIVE),
            gr.Button(visible=is_over),
            gr.Button(visible=state == "finished"),
            gr.Button(visible=is_local and state not in ALIVE),
            run.log_tail() if is_local else "Shown to the owner only.",
        ]

    def _report(self, run: Run | None, which: str, where: str, page: float) -> list[Any]:
        workspace = self._workspace
        report = report_of(workspace, run) if run else workspace.report() or {}
        examples = read_examples(workspace, run.name) if run else None
        figures = figures_of(report, workspace.about_models())
        if report.get("is_partial") and not report.get("rows"):
            figures = [charts.waiting("The chart comes with the report.")]
        return [
            headline(report),
            figures[0],
            gr.Plot(figures[1] if len(figures) > 1 else None, visible=len(figures) > 1),
            table_html(report),
            *self._downloads(run, report, examples or []),
            provenance_html(report),
            *page_of(examples, which, where, page),
        ]

    def _downloads(
        self, run: Run | None, report: Mapping[str, Any], examples: Sequence[Any]
    ) -> list[Any]:
        if not report or report.get("is_partial"):
            return [gr.DownloadButton(interactive=False)] * 3
        name = run.name if run else "starter lab"
        # At home the report keeps the places in it, so that the command line can repeat it.
        whole = run.report() if run and self._workspace.mode == "local" else report
        paths = self._files.written(name, whole, examples)
        return [gr.DownloadButton(value=path, interactive=bool(path)) for path in paths]

    def _list(self, runs: Sequence[Run]) -> pd.DataFrame:
        workspace = self._workspace
        has_shipped = workspace.report() is not None
        return run_rows(runs, lambda value: readable(workspace, value), has_shipped)
