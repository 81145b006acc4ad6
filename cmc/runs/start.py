"""Start, resume, stop and delete runs."""

import os
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmc.errors import RunError
from cmc.runs.folders import new_folder
from cmc.runs.queue import ahead_of, alone, take_ticket, waits_for
from cmc.runs.run import ALIVE, TRAIN, Run
from cmc.settings import TrainSettings, as_plain
from cmc.training.folder import SETTINGS, STATUS, append_log, read_json, write_json
from cmc.training.process import find_process, start_process

LEAVING_SECONDS = 20  # a process with many libraries takes its time to end


def start_training(settings: TrainSettings, home: Path | None = None) -> Run:
    """Start a training that lives on whatever happens to the process that started it.

    Args:
        settings: what to train; `settings.name` names the run, with a number where it is taken.
        home: folder that holds `runs/`; None is the usual one.

    Raises:
        RunError: the name is not safe as a folder's name.
    """
    from cmc.training.job import with_absolute_paths  # imports torch
    from cmc.training.preview import with_prompt_text

    settings = with_prompt_text(with_absolute_paths(settings))
    folder = new_folder(settings.name, home)
    settings = replace(settings, name=folder.name)
    write_json(folder / SETTINGS, as_plain(settings))
    run = Run(folder)
    with alone(run):
        _spawn(run, settings.max_steps)
    return run


def start_evaluation(kind: str, request: Any, *, name: str = "", home: Path | None = None) -> Run:
    """Start an evaluation that lives on whatever happens to the process that started it.

    Args:
        kind: a name of `cmc.evaluation.KINDS`.
        request: what to measure; a dataclass of that kind.
        name: of the run, by default its kind; with a number where it is taken.
        home: folder that holds `runs/`; None is the usual one.

    Raises:
        RunError: the name is not safe as a folder's name.
    """
    run = new_evaluation(kind, request, name=name, home=home)
    with alone(run):
        _spawn(run, 0)
    return run


def new_evaluation(kind: str, request: Any, *, name: str = "", home: Path | None = None) -> Run:
    """Make the folder of an evaluation, and start nothing; see `start_evaluation`."""
    folder = new_folder(name or kind, home)
    write_json(folder / SETTINGS, stored(kind, request, folder.name))
    return Run(folder)


def stored(kind: str, request: Any, name: str) -> dict[str, Any]:
    """Return what the settings of an evaluation hold."""
    return {"kind": kind, "name": name, "request": as_plain(request)}


def resume(run: Run) -> Run:
    """Go on with a stopped, interrupted or failed run from what it has kept.

    Raises:
        RunError: it is running, queued, finished or deleted.
    """
    with alone(run):  # of two who resume it at once, one does
        status = run.status()
        if status["state"] in (*ALIVE, "finished"):
            raise RunError(
                f'run "{run.name}" is {status["state"]}', hint="Start a new run instead."
            )
        steps = run.settings().max_steps if run.kind == TRAIN else status["steps"]
        _spawn(run, steps)
    return run


def stop(run: Run) -> None:
    """Ask a run to keep what it has and end; one that is queued leaves the queue.

    Training ends after its current step.

    Raises:
        RunError: it is not running.
    """
    if not run.is_running():
        raise RunError(
            f'run "{run.name}" is not running but {run.status()["state"]}',
            hint="There is nothing to stop.",
        )
    process = find_process(run.folder)
    pid = process.pid if process else run.status()["pid"]
    if pid:
        # A process that ended meanwhile is what we wanted.
        try:
            os.kill(pid, signal.SIGTERM)
        except ProcessLookupError:
            return


def delete(run: Run) -> None:
    """Remove a run with all it has made.

    Raises:
        RunError: it is running or queued, was deleted before, or its folder cannot be removed.
    """
    with alone(run):
        if _stays(run):
            state = run.status()["state"]
            raise RunError(f'run "{run.name}" is {state}', hint="Stop it first.")
        trash = run.folder.with_name(f".deleted-{run.name}-{time.time_ns()}")
        try:
            run.folder.rename(trash)  # at once, so that nobody sees half a run
            shutil.rmtree(trash)
        except OSError as error:
            raise RunError(
                f'run "{run.name}" could not be deleted ({error.strerror})',
                hint="Check the permissions of its folder.",
            ) from error


def _stays(run: Run) -> bool:
    """Tell whether a run goes on; a process that has said its last word is given time to leave."""
    last = time.monotonic() + LEAVING_SECONDS
    while run.is_running():
        if run.status()["state"] in ALIVE or time.monotonic() > last:
            return True
        time.sleep(0.05)
    return False


def _spawn(run: Run, steps: int) -> None:
    """Put the run at the end of the queue and start its process, which waits for its turn."""
    take_ticket(run.folder)
    ahead = ahead_of(run)
    told = {"state": "queued", "message": waits_for(ahead)} if ahead else {"state": "running"}
    status = {"message": "Starting.", "steps": steps} | told
    write_json(run.folder / STATUS, read_json(run.folder / STATUS) | status)
    append_log(run.folder, status["message"])
    start_process(run.folder, is_evaluation=run.kind != TRAIN)
