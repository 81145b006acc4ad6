"""A whole evaluation run: measure what is missing, keep the run's folder true."""

import os
import signal
import threading
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from cmc.errors import CmcError
from cmc.evaluation.cells import Progress
from cmc.evaluation.kinds import kind_called, stored_request
from cmc.training.folder import (
    RECORDS,
    REPORT,
    SETTINGS,
    STATUS,
    append_log,
    append_record,
    drop_torn_line,
    lock_held,
    read_json,
    read_lines,
    write_json,
)


class StopAsked(BaseException):
    """Somebody asked this process to stop; no handler of errors may swallow it."""


@dataclass
class _Journal:
    """Writes status, records and log of one run."""

    folder: Path
    done: int
    total: int = 0
    seconds: float = 0.0
    state: str = "running"

    def add(self, progress: Progress) -> None:
        """Keep what one cell found, in a single write: it is there as a whole or not at all."""
        about = {"step": self.done + 1, "key": progress.message}
        append_record(self.folder / RECORDS, about | {"found": progress.found or {}})
        self.done, self.total = self.done + 1, progress.total
        append_log(self.folder, f"{progress.message} is measured.")
        is_last = self.done >= self.total
        now = f"Measuring {progress.then}." if progress.then else f"{progress.message} is measured."
        self.tell("Writing the report." if is_last else now)

    def tell(self, message: str) -> None:
        """Say where the run stands and what it does now, in the status and in the log."""
        append_log(self.folder, message)
        write_json(self.folder / STATUS, {
            "state": self.state, "step": self.done, "steps": self.total, "message": message,
            "seconds": round(self.seconds, 1), "pid": os.getpid(),
        })  # fmt: skip


def run_evaluation(folder: Path) -> Iterator[Progress]:
    """Do the evaluation that `settings.json` in `folder` asks for; yield what is measured.

    Cells that stand in `records.jsonl` are not measured again. SIGTERM and Ctrl-C stop at once;
    the cell being measured is lost, all others are kept. In the end `report.json` is there.

    Raises:
        CmcError: of any kind; `status.json` says so too.
    """
    with lock_held(folder), _stop_signals():
        known, started = read_json(folder / STATUS), time.monotonic()
        drop_torn_line(folder / RECORDS)
        kept = {each["key"]: each["found"] for each in read_lines(folder / RECORDS)}
        journal = _Journal(folder, len(kept), int(known.get("steps") or 0))
        before = float(known.get("seconds") or 0.0)
        try:
            settings = read_json(folder / SETTINGS)
            request = stored_request(settings.get("kind"), settings.get("request"))
            journal.tell("Loading the models.")
            for progress in kind_called(settings["kind"]).evaluate(request, kept):
                journal.seconds = before + time.monotonic() - started
                if progress.report is not None:
                    _finish(journal, progress)
                else:
                    journal.add(progress)
                yield progress
        except (StopAsked, KeyboardInterrupt, GeneratorExit) as stop:
            journal.state = "stopped"
            journal.tell(f"Stopped; {_kept(journal)} kept. Resume goes on from there.")
            if not isinstance(stop, StopAsked):
                raise
        except Exception as error:
            _fail(journal, error)
            raise


def _finish(journal: _Journal, progress: Progress) -> None:
    report = progress.report
    report["seconds"] = round(journal.seconds, 1)  # of all parts of the run
    write_json(journal.folder / REPORT, report)
    if progress.write:
        progress.write(journal.folder)
    journal.total = max(journal.done, progress.total)
    if report.get("incomplete"):
        # Not finished: whoever resumes it gets the rest, and nothing twice.
        why = f" ({report['stopped']})" if report.get("stopped") else ""
        journal.state = "stopped"
        journal.tell(f"The report is there, but {report['incomplete']}{why}. Resume asks again.")
        return
    journal.state = "finished"
    journal.tell("Finished; the report is there.")


def _fail(journal: _Journal, error: Exception) -> None:
    journal.state = "failed"
    if isinstance(error, CmcError):
        message = error.sentence()
    else:
        message = f"Something went wrong on our side ({type(error).__name__}: {error})."
        append_log(journal.folder, "".join(traceback.format_exception(error)))
    journal.tell(f"{message} {_kept(journal).capitalize()} kept.")


def _kept(journal: _Journal) -> str:
    of = f" of {journal.total}" if journal.total else ""
    return f"{journal.done}{of} measurements are"


@contextmanager
def _stop_signals() -> Iterator[None]:
    """Turn SIGTERM into `StopAsked`, where signals can be had."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def ask(number: int, _: FrameType | None) -> None:
        signal.signal(number, signal.SIG_IGN)  # once is enough: what follows is quick
        raise StopAsked

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
