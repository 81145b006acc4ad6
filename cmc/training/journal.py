"""What a running training tells: records, status, log; and whether it was asked to stop."""

import contextlib
import os
import signal
import threading
import time
import traceback
from dataclasses import asdict, dataclass, field
from pathlib import Path
from types import FrameType
from typing import Any

import torch
from accelerate import PartialState

from cmc.errors import CmcError
from cmc.settings import TrainSettings
from cmc.training.folder import (
    CONTROLLER,
    RECORDS,
    STATUS,
    append_log,
    append_record,
    drop_lines_from,
    read_json,
    read_lines,
    write_json,
)
from cmc.training.loop import TrainRecord

STATUS_EVERY = 0.5  # seconds


@dataclass
class Journal:
    """Writes records and status of one run."""

    folder: Path
    settings: TrainSettings
    is_writing: bool
    state: str = "running"
    step: int = 0
    message: str = ""
    seconds: float = 0.0
    results: dict[str, Any] = field(default_factory=dict)
    _written: float = 0.0
    _is_begun: bool = False

    def add(self, record: TrainRecord) -> None:
        """Keep one record; tell its message, if it has one."""
        if not self.is_writing:
            self.step = record.step
            return
        if not self._is_begun:
            # A killed process may have written records past its last checkpoint.
            drop_lines_from(self.folder / RECORDS, record.step)
            self._is_begun, self.message = True, ""
        append_record(self.folder / RECORDS, asdict(record))
        self.step, self.seconds = record.step, record.seconds
        if record.message:
            self.tell(record.message)
        elif time.monotonic() - self._written > STATUS_EVERY:
            self._write()

    def measure(self, *, is_finished: bool) -> None:
        """Gather first and last loss and the held-out losses of the controller that is kept.

        With patience a training that is finished keeps the best weights, a stopped one the last.
        """
        records = read_lines(self.folder / RECORDS)
        if not records:
            return
        self.results = {"loss_first": records[0]["loss"], "loss_last": records[-1]["loss"]}
        watched = "held_out_target" if self.settings.watch else "held_out_controlled"
        measured = [each for each in records if each.get(watched) is not None]
        if measured:
            kept = measured[-1]
            if self.settings.patience and is_finished:
                kept = min(measured, key=lambda each: each[watched])
            self.results["held_out"] = {
                "template": kept["held_out_template"],
                "controlled": kept["held_out_controlled"],
                "step": kept["step"],
            }
            if self.settings.watch:
                self.results["held_out"]["target"] = kept["held_out_target"]

    def last_words(self) -> str:
        """Return what a finished run says; the weights of the least held-out loss may be kept."""
        held_out = self.results.get("held_out")
        if not (self.settings.patience and held_out):
            return f"Finished after {self.step:,} steps; the controller is saved."
        how = "Finished" if self.step >= self.settings.max_steps else "Stopped early"
        return (
            f"{how} after {self.step:,} steps; the controller of step {held_out['step']:,}, "
            "which has the least held-out loss, is saved."
        )

    def tell(self, message: str) -> None:
        """Set what the run has to say, in the status and in the log."""
        self.message = message
        if self.is_writing:
            append_log(self.folder, message)
            self._write()

    def fail(self, error: Exception) -> None:
        """Say what went wrong; an error nobody foresaw goes to the log with its trace."""
        self.state = "failed"
        if isinstance(error, CmcError):
            message = error.sentence()
        else:
            message = f"Something went wrong on our side ({type(error).__name__}: {error})."
            if self.is_writing:
                append_log(self.folder, "".join(traceback.format_exception(error)))
        if (self.folder / CONTROLLER).is_dir():
            about = read_json(self.folder / CONTROLLER / "controller.json")
            message += f" The controller of step {about.get('metrics', {}).get('steps')} is saved."
        # On a full disk not even this can be written; whoever asked is told all the same.
        with contextlib.suppress(OSError):
            self.tell(message)

    def _write(self) -> None:
        controller = self.folder / CONTROLLER
        status = {
            "state": self.state,
            "step": self.step,
            "steps": self.settings.max_steps,
            "message": self.message,
            "controller": str(controller.resolve()) if controller.is_dir() else None,
            "pid": os.getpid(),
            "seconds": self.seconds,
            "loss_first": None,
            "loss_last": None,
            "held_out": None,
        }
        write_json(self.folder / STATUS, status | self.results)
        self._written = time.monotonic()


class StopSignals:
    """Turns SIGTERM and Ctrl-C into a question the loop can ask; a second one is as usual."""

    def __init__(self) -> None:
        self._asked = False
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignals":
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                self._before[number] = signal.signal(number, self._ask)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def is_asked(self) -> bool:
        """Tell whether a stop was asked for, in any of the processes that train together."""
        state = PartialState()
        if state.num_processes == 1:
            return self._asked
        asked = torch.tensor(int(self._asked), device=state.device)
        torch.distributed.all_reduce(asked)
        return bool(asked.item())

    def _ask(self, number: int, _: FrameType | None) -> None:
        self._asked = True
        signal.signal(number, self._before[number])
