"""Evaluations as rows of text, and where the shown one stands: done, time left, what it does."""

import html
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cmc.evaluation.examples import rows_of
from cmc.runs import Run
from cmc.ui.run_table import RUNS_SHOWN
from cmc.ui.sentences import STATE_SIGNS, duration
from cmc.ui.tabs.evaluate.choices import told
from cmc.workspace.reports import SHIPPED, asked_of

HEADERS = ("evaluation", "kind", "state", "done", "what", "found")
LONGEST = 60  # characters of a cell
SAME = {
    True: '<span class="good">Repeated: the same numbers and texts as {run} ✓</span>',
    False: '<span class="bad">Repeated: other numbers than {run}.</span> {why}',
    None: "Repeats {run}, which is no longer there.",
}


def run_rows(runs: Sequence[Run], readable: Any, has_shipped: bool) -> pd.DataFrame:
    """Return one row of text per evaluation, newest first, the shipped report last.

    Args:
        runs: the evaluations.
        readable: returns JSON with names a person knows.
        has_shipped: whether a report came with the lab.
    """
    rows = []
    for run in runs[:RUNS_SHOWN]:
        status = run.status()
        state = str(status.get("state", ""))
        done = f"{status.get('step') or 0}/{status.get('steps') or '?'}"
        asked = readable(asked_of(run))
        found = summary(readable(run.report()))
        label, sign = told(run.kind).label, STATE_SIGNS.get(state, state)
        rows.append([run.name, label, sign, done, _cut(subject(asked)), _cut(found)])
    if has_shipped:
        rows.append([SHIPPED, "Transfer", STATE_SIGNS["finished"], "", "lab:instruct", ""])
    return pd.DataFrame(rows, columns=list(HEADERS), dtype=str)


def subject(asked: Mapping[str, Any]) -> str:
    """Return in a few words what was asked for: which controllers on which targets."""
    controllers = asked.get("controllers") or [asked.get("controller") or ""]
    targets = asked.get("targets") or [asked.get("target") or "all of the lab"]
    what = ", ".join(map(str, controllers)) + " on " + ", ".join(map(str, targets))
    name = str(asked.get("metric") or asked.get("suite") or "").rpartition("/")[2]
    return f"{what} · {name.replace('_', ' ')}" if name else what


def summary(report: Mapping[str, Any]) -> str:
    """Return what a report found, as short as a cell of a table."""
    if not report:
        return ""
    if report.get("recommendations"):
        found = [each["strength"] for each in report["recommendations"]]
        return "recommends " + ", ".join("none" if each is None else f"{each:g}" for each in found)
    if "verdict" in report:
        return str(report["verdict"])
    if "passed" in report:
        return f"{report['passed']} passed, {report['failed']} failed"
    if report.get("win_rate") is not None:
        return f"win rate {report['win_rate']:.1f} %"
    if report.get("model_utility_of_present") is not None:
        return f"model utility {report['model_utility_of_present']:.3f}"
    if report.get("kind") == "forgetting":
        return ", ".join(f"{row['method']} {row['reached']}" for row in rows_of(report))
    best = [row for row in rows_of(report) if row.get("exact_match") is not None]
    return ", ".join(f"{row['exact_match']:.2f} by {row['transfer']}" for row in best)


def progress_html(run: Run, repeated: Mapping[str, Any] | None = None) -> str:
    """Return where a run stands, with a bar while it is not finished; safe as HTML.

    Args:
        run: the evaluation.
        repeated: what came of it where it repeats another one.
    """
    status = run.status()
    state = str(status.get("state", ""))
    step, steps = int(status.get("step") or 0), int(status.get("steps") or 0)
    parts = [f"<b>{html.escape(run.name)}</b>", STATE_SIGNS.get(state, html.escape(state))]
    if steps or state == "running":
        parts.append(f"{step} of {steps} measured" if steps else "starting")
    if state == "running" and (left := seconds_left(status, run)) is not None:
        parts.append(f"about {duration(left)} left")
    elif state == "finished":
        parts.append(f"in {duration(float(status.get('seconds') or 0))}")
    lines = [" · ".join(parts)]
    if state != "finished":
        share = 100 * step / steps if steps else 0
        lines.append(
            f'<div class="progress" role="progressbar" aria-valuenow="{share:.0f}" '
            f'aria-valuemin="0" aria-valuemax="100"><i style="width:{share:.1f}%"></i></div>'
        )
        lines.append(f"<span>{html.escape(str(status.get('message') or ''))}</span>")
    if repeated:
        lines.append(_repeated(repeated))
    return "<br>".join(lines).replace("<br><div", "<div").replace("</div><br>", "</div>")


def seconds_left(status: Mapping[str, Any], run: Run) -> float | None:
    """Return the time until the end at the pace so far; None before anything is measured."""
    step, steps = int(status.get("step") or 0), int(status.get("steps") or 0)
    seconds = float(status.get("seconds") or 0)
    if not step or not steps or not seconds:
        return None
    try:
        passed = time.time() - (run.folder / "status.json").stat().st_mtime
    except OSError:
        passed = 0.0
    return max(0.0, seconds / step * (steps - step) - passed)


def _repeated(found: Mapping[str, Any]) -> str:
    changed = "; ".join([*found["differences"][:2], *found["changed"][:2]])
    run = f"<b>{html.escape(found['run'])}</b>"
    return SAME[found["same"]].format(run=run, why=html.escape(_cut(changed, 300)))


def _cut(text: str, most: int = LONGEST) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"
