"""One run as its folder tells: settings, status, records, log."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from cmc.errors import RunError, SettingError
from cmc.settings import TrainSettings
from cmc.training.folder import (
    CHECKPOINTS,
    CONTROLLER,
    LOG,
    PROBES,
    RECORDS,
    REPORT,
    SETTINGS,
    STATUS,
    is_lock_held,
    read_json,
    read_lines,
)
from cmc.training.process import find_process, is_being_started

LOG_TAIL = 16_384  # bytes
TRAIN = "train"
RUN_PREFIX = "run:"  # names the controller of a run, without telling where its folder is
ALIVE = ("running", "queued")  # states in which a process works on a run, or waits to


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

        Keys: `state` (queued, running, finished, stopped, failed or interrupted), `step`, `steps`,
        `message`, `controller` (its folder, or None), `loss_first`, `loss_last`, `held_out`
        (`template` and `controlled`, nats per token, or None), `seconds`, `pid`.
        """
        empty = {"state": "running", "step": 0, "steps": 0, "message": "", "seconds": 0.0}
        empty |= {"loss_first": None, "loss_last": None, "held_out": None, "pid": None}
        status = empty | read_json(self.folder / STATUS)
        controller = self.folder / CONTROLLER
        status["controller"] = str(controller.resolve()) if controller.is_dir() else None
        if status["state"] in ALIVE and not self.is_running():
            # It may have ended between the two looks.
            status |= read_json(self.folder / STATUS)
            if status["state"] in ALIVE:
                status |= self._interrupted()
        return status

    def records(self, since: int = 0) -> list[dict[str, Any]]:
        """Return the records of the steps after `since`."""
        return read_lines(self.folder / RECORDS, since)

    def probes(self) -> list[dict[str, Any]]:
        """Return what was said at fixed prompts as training went on, oldest first."""
        return read_lines(self.folder / PROBES)

    def saved_step(self) -> int:
        """Return the step of the newest checkpoint; 0 where there is none."""
        from cmc.training.checkpoints import newest_step  # imports torch

        return newest_step(self.folder / CHECKPOINTS)

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
        """Tell whether a process works on this run, waits for its turn, or is about to."""
        has_process = is_lock_held(self.folder) or find_process(self.folder) is not None
        return has_process or is_being_started(self.folder)

    def _interrupted(self) -> dict[str, Any]:
        if self.kind == TRAIN:
            step = self.saved_step()
            kept = f"Nothing before step {step} is lost" if step else "Nothing was saved yet"
        else:
            step = len(self.records())
            kept = f"{step} measurements are kept"
        return {
            "state": "interrupted",
            "step": step,
            "message": f'Run "{self.name}" was interrupted. {kept}. Press Resume to go on.',
        }
