"""Runs as rows of text, and which of them to show."""

import re
import time
from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd

from cmc.errors import CmcError
from cmc.runs import ALIVE, Run
from cmc.settings import as_plain
from cmc.ui.sentences import STATE_SIGNS

RUNS_SHOWN = 50
HEADERS = ("run", "state", "step", "objective", "data", "template")


def run_table(runs: Sequence[Run]) -> pd.DataFrame:
    """Return one row of text per run."""
    rows = []
    for run in runs[:RUNS_SHOWN]:
        status, settings = run.status(), _settings_of(run)
        state = str(status.get("state", ""))
        step = f"{status.get('step') or 0}/{status.get('steps') or '?'}"
        kept = (str(settings.get(name, "")) for name in ("objective", "data", "template"))
        rows.append([run.name, STATE_SIGNS.get(state, state), step, *(_short(v) for v in kept)])
    return pd.DataFrame(rows, columns=list(HEADERS), dtype=str)


def shown_run(runs: Sequence[Run], name: str) -> Run | None:
    """Return the chosen run, else the one that is running, else the newest."""
    by_name = {run.name: run for run in runs}
    if name in by_name:
        return by_name[name]
    running = (run for run in runs if run.status().get("state") == "running")
    return next(running, runs[0] if runs else None)


def fingerprint(runs: Sequence[Run], shown: Run | None) -> str:
    """Return a text that changes whenever the page must be drawn again."""
    states = [f"{run.name}:{run.status().get('state')}" for run in runs[:RUNS_SHOWN]]
    if shown is not None:
        status = shown.status()
        waiting = int(time.time()) if status.get("state") in ALIVE else 0
        states.append(f"{shown.name}@{status.get('step')}:{status.get('message')}:{waiting // 5}")
    return "|".join(states)


def _settings_of(run: Run) -> Mapping[str, Any]:
    """Return the settings of a run; nothing where they cannot be read."""
    try:
        return as_plain(run.settings())
    except CmcError:
        return {}


def _short(text: str) -> str:
    """Return the end of a path that is too long for a cell."""
    return re.sub(r"^.*/(?=[^/]+$)", "…/", text) if len(text) > 28 else text
