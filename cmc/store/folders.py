"""Folders that are whole or absent, with the hash of every file in them."""

import contextlib
import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cmc.errors import StoreError

_LOCK = ".lock"


def hashes_of(folder: Path) -> dict[str, str]:
    """Return the SHA-256 of every file below `folder`, by its path there."""
    hashes = {}
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            with path.open("rb") as file:
                name = path.relative_to(folder).as_posix()
                hashes[name] = hashlib.file_digest(file, "sha256").hexdigest()
    return hashes


def digest_of(content: Any) -> str:
    """Return the SHA-256 of what JSON can hold, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def copy_flushed(source: Path, target: Path) -> None:
    """Copy a folder's files, links as what they lead to, and make sure they are on the disk."""
    # Contents only: modes and dates of the source say nothing about the copy.
    shutil.copytree(source, target, copy_function=shutil.copyfile)
    for path in (*target.rglob("*"), target):
        flush(path)


def write_flushed(path: Path, content: Mapping[str, Any]) -> None:
    """Replace a JSON file; a reader, or a machine that fails, has the old or the new one."""
    aside = path.with_name(f".tmp-{path.name}-{os.getpid()}")
    aside.write_text(json.dumps(content, indent=1, ensure_ascii=False), encoding="utf-8")
    flush(aside)
    aside.replace(path)
    flush(path.parent)


def flush(path: Path) -> None:
    """Make sure that a file's content, or a folder's list of files, is on the disk."""
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Let one process at a time change a folder; what a killed one left half done is removed.

    Raises:
        StoreError: the disk refused.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        with (folder / _LOCK).open("a") as file:
            fcntl.flock(file.fileno(), fcntl.LOCK_EX)
            for left in folder.glob(".tmp-*"):
                shutil.rmtree(left) if left.is_dir() else left.unlink()
            yield
    except OSError as error:
        raise StoreError(
            f"{folder} could not be changed ({error.strerror or error})",
            hint="Make room or check the permissions; the versions there are intact.",
        ) from error
