"""Start the process that does a run, and find it again."""

import os
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import psutil

from cmc.errors import SettingError
from cmc.settings import JudgeSettings
from cmc.training.folder import LOG, SETTINGS, read_json, write_json

# The folder comes behind both.
COMMAND = (sys.executable, "-m", "cmc", "train", "--queue", "--run")
EVALUATION_COMMAND = (sys.executable, "-m", "cmc", "evaluate", "resume", "--queue")
PROCESS = "process.json"
# What a training process may know of its parent: where things are and how to compute. Tokens
# and other secrets stay behind; a Hub token that was stored by logging in is still found.
PASSED_ON = (
    "CMC_HOME", "CMC_LAB", "CUDA_VISIBLE_DEVICES", "HF_HOME", "HF_HUB_CACHE", "HF_HUB_OFFLINE",
    "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "MKL_NUM_THREADS", "OMP_NUM_THREADS",
    "OMP_WAIT_POLICY", "PATH", "TEMP", "TMPDIR", "TRANSFORMERS_OFFLINE", "VIRTUAL_ENV",
    "XDG_CACHE_HOME",
)  # fmt: skip
# What a judge that is asked over the network needs besides its key.
NETWORK = ("HTTPS_PROXY", "HTTP_PROXY", "NO_PROXY", "SSL_CERT_FILE")


def start_process(folder: Path, *, is_evaluation: bool = False) -> None:
    """Start the process of a run, detached: it lives on when we end, and writes to the log."""
    command = EVALUATION_COMMAND if is_evaluation else COMMAND
    environment = training_environment(_needed(folder))
    own = psutil.Process()
    starter = {"starter": own.pid, "starter_created": own.create_time()}
    write_json(folder / PROCESS, starter)  # until the child has a number, the run is not dead
    with (folder / LOG).open("ab") as log:
        process = subprocess.Popen(
            [*command, str(folder.resolve())],
            cwd=folder,
            # Names of versions mean those of the home the run lies in.
            env=environment | {"CMC_HOME": str(folder.resolve().parents[1])},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            close_fds=True,
        )
    note_process(folder, process.pid)
    # Somebody must take note of its end, or it stays in the process table as long as we live.
    threading.Thread(target=process.wait, daemon=True).start()


def note_process(folder: Path, pid: int) -> None:
    """Write down which process works on a run, or waits to."""
    try:
        created = psutil.Process(pid).create_time()
    except psutil.Error:  # it has ended already
        created = None
    write_json(folder / PROCESS, {"pid": pid, "created": created})


def find_process(folder: Path) -> psutil.Process | None:
    """Return the process that was started for a run, if that very one still lives."""
    return _living(read_json(folder / PROCESS), "pid", "created")


def is_being_started(folder: Path) -> bool:
    """Tell whether somebody is just about to start the process of a run."""
    return _living(read_json(folder / PROCESS), "starter", "starter_created") is not None


def _living(known: dict[str, Any], pid: str, created: str) -> psutil.Process | None:
    try:
        process = psutil.Process(known[pid])
        is_same = process.create_time() == known[created]
        return process if is_same and process.status() != psutil.STATUS_ZOMBIE else None
    except (KeyError, TypeError, ValueError, psutil.Error):
        return None


def _needed(folder: Path) -> tuple[str, ...]:
    """Return the variables that a run's judge needs; none where nobody is asked over the net."""
    asked = read_json(folder / SETTINGS).get("request")
    judging = asked.get("judging") if isinstance(asked, dict) else None
    try:
        secrets = JudgeSettings(**judging).secrets if judging else ()
    except (SettingError, TypeError):  # the run itself will say so
        return ()
    return (*secrets, *NETWORK) if secrets else ()


def training_environment(more: Sequence[str] = ()) -> dict[str, str]:
    """Return what the process of a run gets to know, this package's place included.

    Args:
        more: variables that this very run needs.
    """
    kept = {name: os.environ[name] for name in (*PASSED_ON, *more) if name in os.environ}
    root = str(Path(__file__).resolve().parents[2])
    paths = [root, *filter(None, os.environ.get("PYTHONPATH", "").split(os.pathsep))]
    # One core stays free for the app, and idle threads do not spin: with as many busy threads
    # as cores, app and training slow each other down up to tenfold.
    calm = {
        "OMP_NUM_THREADS": str(max(1, (os.cpu_count() or 1) - 1)),
        "OMP_WAIT_POLICY": "PASSIVE",
    }
    return calm | kept | {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
