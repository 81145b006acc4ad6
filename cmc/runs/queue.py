"""One job at a time: who is in progress, who waits, and whose turn it is."""

import contextlib
import fcntl
import os
import signal
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from cmc.errors import RunError
from cmc.runs.run import Run
from cmc.training.folder import SETTINGS, STATUS, append_log, read_json, take_lock, write_json
from cmc.training.process import note_process

TICKET = "ticket.json"  # in a run's folder: when it asked for its turn
_TURN = ".turn"  # beside the runs' folders; held by the one whose turn it is
_DOOR = "door"  # in a run's folder; held by whoever starts or deletes it, for a moment
LOOK_EVERY = 0.3  # seconds between two looks at the queue


def take_ticket(folder: Path) -> None:
    """Put a run at the end of the queue."""
    write_json(folder / TICKET, {"ns": time.time_ns()})


def queue_in(runs_folder: Path) -> list[Run]:
    """Return the runs on which a process works or waits to, in the order of their turns.

    The system knows which of them live: a killed process leaves the queue by dying, and a
    restart of the app changes nothing. A run that somebody follows in a terminal has not
    queued, and comes before all that have.
    """
    found = (Run(path.parent) for path in runs_folder.glob(f"*/{SETTINGS}"))
    alive = [run for run in found if not run.name.startswith(".") and run.is_running()]
    return sorted(alive, key=_place)


def ahead_of(run: Run) -> list[Run]:
    """Return the runs in progress or queued before `run`."""
    mine = _place(run)
    return [
        each
        for each in queue_in(run.folder.parent)
        if each.name != run.name and _place(each) < mine
    ]


def waits_for(ahead: Sequence[Run]) -> str:
    """Say for whom a run waits."""
    others = len(ahead) - 1
    more = f" and {others} more" if others else ""
    return f'Waits for "{ahead[0].name}"{more}; it starts by itself.'


@contextlib.contextmanager
def turn(folder: Path) -> Iterator[None]:
    """Wait until no other run of this home is in progress or was queued before, then hold the turn.

    The turn goes to the next when the block ends or the process dies. While it waits, the run's
    status is `queued`; SIGTERM and Ctrl-C take it out of the queue.

    Args:
        folder: the run's folder; a ticket is taken where it has none.

    Raises:
        KeyboardInterrupt: it was taken out of the queue.
    """
    run = Run(folder.resolve())
    run.folder.mkdir(parents=True, exist_ok=True)
    note_process(run.folder, os.getpid())
    if not (run.folder / TICKET).is_file():
        take_ticket(run.folder)
    with (run.folder.parent / _TURN).open("a") as file:
        _wait(run, file.fileno())
        yield


@contextlib.contextmanager
def alone(run: Run) -> Iterator[None]:
    """Let one process at a time start, resume or delete a run.

    Raises:
        RunError: the run was deleted.
    """
    door = run.folder / _DOOR
    with contextlib.ExitStack() as stack:
        try:
            file = stack.enter_context(door.open("a"))
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            # Another run may have taken the name of one that was deleted while we waited.
            is_there = os.path.samestat(os.fstat(file.fileno()), door.stat())
        except FileNotFoundError:
            is_there = False
        if not is_there:
            raise RunError(f'run "{run.name}" was deleted', hint="Choose another run.")
        yield


def _place(run: Run) -> tuple[int, str]:
    ticket = read_json(run.folder / TICKET).get("ns")
    return (ticket if isinstance(ticket, int) else 0, run.name)


def _wait(run: Run, handle: int) -> None:
    """Return when the turn is ours; tell in the status for whom we wait."""
    told = ""
    with _interrupted_by_sigterm():
        try:
            while (ahead := ahead_of(run)) or not take_lock(handle):
                message = waits_for(ahead) if ahead else "Its turn comes next."
                if message != told:
                    _tell(run, "queued", message)
                    told = message
                time.sleep(LOOK_EVERY)
        except KeyboardInterrupt:
            _tell(run, "stopped", "Taken out of the queue before its turn; Resume queues it again.")
            raise
    _tell(run, "running", "Starting.")


def _tell(run: Run, state: str, message: str) -> None:
    told = {"state": state, "message": message, "pid": os.getpid()}
    write_json(run.folder / STATUS, read_json(run.folder / STATUS) | told)
    append_log(run.folder, message)


@contextlib.contextmanager
def _interrupted_by_sigterm() -> Iterator[None]:
    """Turn SIGTERM into what Ctrl-C is, where signals can be had."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)
