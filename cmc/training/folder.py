"""The files of a run's folder: settings, status, records, log, lock."""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cmc.errors import RunError

SETTINGS, STATUS, RECORDS, LOG = "settings.json", "status.json", "records.jsonl", "log.txt"
PROBES = "probes.jsonl"
CHECKPOINTS, CONTROLLER, REPORT = "checkpoints", "controller", "report.json"
_LOCK = "lock"
_PATIENCE = 1.0  # seconds; a reader that asks whether the lock is held holds it for a moment


def write_json(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file so that a reader sees the old or the new one, never half of it."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    aside.replace(path)


def read_json(path: Path) -> dict[str, Any]:
    """Return a JSON object, or an empty one where there is none that can be read."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return content if isinstance(content, dict) else {}


def append_record(path: Path, record: Mapping[str, Any]) -> None:
    """Add one line in a single write, so that lines never mix."""
    handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        os.write(handle, json.dumps(record).encode() + b"\n")
    finally:
        os.close(handle)


def read_lines(path: Path, since: int = 0) -> list[dict[str, Any]]:
    """Return the records of steps after `since`; a torn last line is left out."""
    try:
        lines = path.read_bytes().split(b"\n")
    except FileNotFoundError:
        return []
    records: list[dict[str, Any]] = []
    for line in reversed(lines):
        try:
            record = json.loads(line)
            step = record["step"]
        except (ValueError, KeyError, TypeError):
            continue
        if step <= since:
            break
        records.append(record)
    return records[::-1]


def drop_torn_line(path: Path) -> None:
    """Remove what a killed process wrote of a last line, so that the next is a line of its own."""
    try:
        content = path.read_bytes()
    except FileNotFoundError:
        return
    if content and not content.endswith(b"\n"):
        os.truncate(path, content.rfind(b"\n") + 1)


def drop_lines_from(path: Path, step: int) -> None:
    """Remove the records of `step` and later, and a torn last line; they come again."""
    kept = [record for record in read_lines(path) if record["step"] < step]
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    aside.write_text("".join(json.dumps(record) + "\n" for record in kept))
    aside.replace(path)


def flush_tree(folder: Path) -> None:
    """Make sure that everything in a folder is on the disk."""
    for path in (*folder.rglob("*"), folder):
        handle = os.open(path, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def append_log(folder: Path, text: str) -> None:
    """Add a line with the time to the run's log."""
    with (folder / LOG).open("a", encoding="utf-8") as file:
        file.write(f"{time.strftime('%Y-%m-%d %H:%M:%S')} {text}\n")


@contextlib.contextmanager
def lock_held(folder: Path) -> Iterator[None]:
    """Hold the lock that says "this run is in progress"; the system frees it when we die.

    Raises:
        RunError: another process holds it.
    """
    with (folder / _LOCK).open("a") as file:
        deadline = time.monotonic() + _PATIENCE
        while not take_lock(file.fileno()):
            if time.monotonic() > deadline:
                raise RunError(
                    f'run "{folder.name}" is already running',
                    hint="Wait for it, or stop it first.",
                )
            time.sleep(0.02)
        yield


def is_lock_held(folder: Path) -> bool:
    """Tell whether a process works on this run just now."""
    try:
        with (folder / _LOCK).open("a") as file:
            return not take_lock(file.fileno())
    except OSError:
        return False


def take_lock(handle: int) -> bool:
    """Try to take the lock; closing the file gives it back."""
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
