"""Runs on disk: create, list, follow, stop, resume."""

import itertools
import os
import re
import shutil
import signal
import time
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from cmc import settings as settings_module
from cmc.errors import RunError, SettingError
from cmc.settings import TrainSettings, as_plain
from cmc.training.checkpoints import newest_step
from cmc.training.folder import (
    CHECKPOINTS,
    CONTROLLER,
    LOG,
    RECORDS,
    REPORT,
    SETTINGS,
    STATUS,
    append_log,
    is_lock_held,
    read_json,
    read_lines,
    write_json,
)
from cmc.training.job import with_absolute_paths
from cmc.training.process import find_process, start_process

SAFE_NAME = re.compile(r"(?! )[A-Za-z0-9 _.-]{1,64}(?<! )")
LOG_TAIL = 16_384  # bytes
TRAIN = "train"
RUN_PREFIX = "run:"  # names the controller of a run, without telling where its folder is


@dataclass(frozen=True)
class Run:
    """One training or evaluation in one folder; all is read from its files, by whoever asks."""

    folder: Path

    @property
    def name(self) -> str:
        """The folder's name."""
        return self.folder.name

    @property
    def kind(self) -> str:
        """`train`, or the kind of evaluation."""
        return str(read_json(self.folder / SETTINGS).get("kind") or TRAIN)

    def report(self) -> dict[str, Any]:
        """Return the report of a finished evaluation; empty where there is none."""
        return read_json(self.folder / REPORT)

    def settings(self) -> TrainSettings:
        """Return what training was asked for.

        Raises:
            RunError: the settings cannot be read.
        """
        known = {each.name for each in fields(TrainSettings)}
        stored = read_json(self.folder / SETTINGS)
        try:
            if not stored:
                raise SettingError("settings.json is missing or broken")
            if stored.get("kind"):
                raise SettingError(f"it is no training but an evaluation, {stored['kind']}")
            return TrainSettings(**{key: stored[key] for key in stored if key in known})
        except (SettingError, TypeError) as error:
            raise RunError(
                f'the settings of run "{self.name}" cannot be read ({error})',
                hint="Delete the run, or put its settings.json back.",
            ) from error

    def status(self) -> dict[str, Any]:
        """Return where the run stands.

        Keys: `state` (running, finished, stopped, failed or interrupted), `step`, `steps`,
        `message`, `controller` (its folder, or None), `loss_first`, `loss_last`, `held_out`
        (`template` and `controlled`, nats per token, or None), `seconds`, `pid`.
        """
        empty = {"state": "running", "step": 0, "steps": 0, "message": "", "seconds": 0.0}
        empty |= {"loss_first": None, "loss_last": None, "held_out": None, "pid": None}
        status = empty | read_json(self.folder / STATUS)
        controller = self.folder / CONTROLLER
        status["controller"] = str(controller.resolve()) if controller.is_dir() else None
        if status["state"] == "running" and not self.is_running():
            # It may have ended between the two looks.
            status |= read_json(self.folder / STATUS)
            if status["state"] == "running":
                status |= self._interrupted()
        return status

    def records(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the records of the steps after `since`."""
        return read_lines(self.folder / RECORDS, since)

    def log_tail(self, lines: int = 40) -> str:
        """Return the end of the log."""
        try:
            with (self.folder / LOG).open("rb") as file:
                file.seek(max(0, file.seek(0, os.SEEK_END) - LOG_TAIL))
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return "\n".join(text.splitlines()[-lines:])

    def is_running(self) -> bool:
        """Tell whether a process works on this run, or is about to."""
        return is_lock_held(self.folder) or find_process(self.folder) is not None

    def _interrupted(self) -> dict[str, Any]:
        if self.kind == TRAIN:
            step = newest_step(self.folder / CHECKPOINTS)
            kept = f"Nothing before step {step} is lost" if step else "Nothing was saved yet"
        else:
            step = len(self.records())
            kept = f"{step} measurements are kept"
        return {
            "state": "interrupted",
            "step": step,
            "message": f'Run "{self.name}" was interrupted. {kept}. Press Resume to go on.',
        }


def start_training(settings: TrainSettings, home: Path | None = None) -> Run:
    """Start a training that lives on whatever happens to the process that started it.

    Args:
        settings: what to train; `settings.name` names the run, with a number where it is taken.
        home: folder that holds `runs/`; None is the usual one.

    Raises:
        RunError: the name is not safe as a folder's name.
    """
    folder = new_folder(settings.name, home)
    settings = replace(with_absolute_paths(settings), name=folder.name)
    write_json(folder / SETTINGS, as_plain(settings))
    run = Run(folder)
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


def new_folder(name: str, home: Path | None = None) -> Path:
    """Make a folder for a run of this name, with a number behind it where the name is taken.

    Raises:
        RunError: the name is not safe as a folder's name, or no folder can be made.
    """
    _check_name(name)
    runs = _runs_folder(home)
    for number in itertools.count(1):
        suffix = f"-{number}" if number > 1 else ""
        folder = runs / (name[: 64 - len(suffix)] + suffix)
        try:
            runs.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder.mkdir(mode=0o700)
            break
        except OSError as error:
            if not folder.exists():
                raise RunError(
                    f"no run can be made in {runs} ({error.strerror})",
                    hint="Make room there, or set CMC_HOME to another folder.",
                ) from error
    return folder


def resume(run: Run) -> Run:
    """Go on with a stopped, interrupted or failed run from what it has kept.

    Raises:
        RunError: it is running or finished.
    """
    state = run.status()["state"]
    if state in ("running", "finished"):
        raise RunError(f'run "{run.name}" is {state}', hint="Start a new run instead.")
    steps = run.settings().max_steps if run.kind == TRAIN else run.status()["steps"]
    _spawn(run, steps)
    return run


def stop(run: Run) -> None:
    """Ask a run to keep what it has and end; training does so after its current step.

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


def list_runs(home: Path | None = None) -> list[Run]:
    """Return all runs, newest first."""
    found = []
    for path in _runs_folder(home).glob(f"*/{SETTINGS}"):
        if SAFE_NAME.fullmatch(path.parent.name) and not path.parent.name.startswith("."):
            found.append((path.stat().st_mtime_ns, path.parent))
    return [Run(folder) for _, folder in sorted(found, reverse=True)]


def open_run(name: str, home: Path | None = None) -> Run:
    """Return a run by its name.

    Raises:
        RunError: the name is not one a run can have, or there is no such run.
    """
    _check_name(name)
    folder = _runs_folder(home) / name
    if not (folder / SETTINGS).is_file():
        known = ", ".join(run.name for run in list_runs(home)[:8])
        hint = f"Choose one of: {known}." if known else "Start one first."
        raise RunError(f'there is no run "{name}"', hint=hint)
    return Run(folder)


def delete(run: Run) -> None:
    """Remove a run with all it has made.

    Raises:
        RunError: it is running, or its folder cannot be removed.
    """
    if run.is_running():
        raise RunError(f'run "{run.name}" is running', hint="Stop it first.")
    trash = run.folder.with_name(f".deleted-{run.name}-{time.time_ns()}")
    try:
        run.folder.rename(trash)  # at once, so that nobody sees half a run
        shutil.rmtree(trash)
    except OSError as error:
        raise RunError(
            f'run "{run.name}" could not be deleted ({error.strerror})',
            hint="Check the permissions of its folder.",
        ) from error


def _check_name(name: str) -> None:
    if not SAFE_NAME.fullmatch(name) or name.startswith("."):
        raise RunError(
            f'"{name[:80]}" is no name for a run',
            hint="Use 1 to 64 letters, digits, spaces, dots, dashes or underscores.",
        )


def _runs_folder(home: Path | None) -> Path:
    return (home or settings_module.home()) / "runs"


def _spawn(run: Run, steps: int) -> None:
    """Say that the run starts, and start it."""
    status = {"state": "running", "steps": steps, "message": "Starting."}
    write_json(run.folder / STATUS, read_json(run.folder / STATUS) | status)
    append_log(run.folder, "Starting.")
    start_process(run.folder, is_evaluation=run.kind != TRAIN)
