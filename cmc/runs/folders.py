"""The folders of all runs: make one, list them, open one by its name."""

import contextlib
import itertools
import re
from pathlib import Path

from cmc import settings as settings_module
from cmc.errors import RunError
from cmc.runs.run import Run
from cmc.training.folder import SETTINGS

SAFE_NAME = re.compile(r"(?! )[A-Za-z0-9 _.-]{1,64}(?<! )")


def new_folder(name: str, home: Path | None = None) -> Path:
    """Make a folder for a run of this name, with a number behind it where the name is taken.

    Raises:
        RunError: the name is not safe as a folder's name, or no folder can be made.
    """
    _check_name(name)
    runs = runs_folder(home)
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


def list_runs(home: Path | None = None) -> list[Run]:
    """Return all runs, newest first."""
    found = []
    for path in runs_folder(home).glob(f"*/{SETTINGS}"):
        if SAFE_NAME.fullmatch(path.parent.name) and not path.parent.name.startswith("."):
            with contextlib.suppress(FileNotFoundError):  # deleted meanwhile
                found.append((path.stat().st_mtime_ns, path.parent))
    return [Run(folder) for _, folder in sorted(found, reverse=True)]


def open_run(name: str, home: Path | None = None) -> Run:
    """Return a run by its name.

    Raises:
        RunError: the name is not one a run can have, or there is no such run.
    """
    _check_name(name)
    folder = runs_folder(home) / name
    if not (folder / SETTINGS).is_file():
        known = ", ".join(run.name for run in list_runs(home)[:8])
        hint = f"Choose one of: {known}." if known else "Start one first."
        raise RunError(f'there is no run "{name}"', hint=hint)
    return Run(folder)


def runs_folder(home: Path | None) -> Path:
    """Return the folder that holds all runs of a home; None is the usual one."""
    return (home or settings_module.home()) / "runs"


def _check_name(name: str) -> None:
    if not SAFE_NAME.fullmatch(name) or name.startswith("."):
        raise RunError(
            f'"{name[:80]}" is no name for a run',
            hint="Use 1 to 64 letters, digits, spaces, dots, dashes or underscores.",
        )
