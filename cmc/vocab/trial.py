"""Try a stranger's tokenizer in a process of its own before this one reads it.

Damaged or hostile tokenizer files can hang, fill the memory, or end the process that reads them;
the other process may, this one never does.
"""

import json
import os
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

from cmc.errors import TokenizerError
from cmc.settings import lab_folder

MEMORY = 900 << 20  # bytes the other process may take
SECONDS = 8  # of processor time; older formats take 3 of them for the library that reads them
CLOCK = 60  # seconds by the clock: on a busy machine a process gets little of its time
LARGEST = 64 << 20  # bytes of tokenizer.json
LARGEST_OTHER = 16 << 20  # bytes of any other file
PATTERNS = ("*token*", "*config.json", "vocab*", "merges.txt", "*.model", "chat_template.jinja")
HINT = "Choose a folder with a valid tokenizer.json."


def try_tokenizer(folder: Path, name: str) -> list[str]:
    """Read a tokenizer where it can do no harm, unless it comes with the lab; remember the result.

    Returns:
        The token strings with which the chat template ends an answer; empty where it has none.

    Raises:
        TokenizerError: the files are damaged, too large, too slow or contradict themselves.
    """
    folder = folder.resolve()
    if folder.is_relative_to(lab_folder().resolve()):
        return []
    found = {file for pattern in PATTERNS for file in folder.glob(pattern)}
    files = sorted(file for file in found if not file.is_dir())
    for file in files:
        if not file.is_file():  # to read a pipe is to wait for ever
            raise _unreadable(name, f"{file.name} is no file")
        if file.stat().st_size > (LARGEST if file.name == "tokenizer.json" else LARGEST_OTHER):
            raise TokenizerError(
                f"{file.name} of {name} has {file.stat().st_size >> 20:,} MB, more than any "
                "tokenizer needs",
                hint=HINT,
            )
    state = tuple((file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files)
    try:
        found = _tried(folder, state)
    except subprocess.TimeoutExpired as error:
        raise _unreadable(name, f"reading it takes more than {error.timeout:.0f} s") from None
    if "error" in found:
        raise _unreadable(name, found["error"])
    return found["turn_ends"]


def _unreadable(name: str, why: str) -> TokenizerError:
    return TokenizerError(f"the tokenizer of {name} cannot be read ({why})", hint=HINT)


@lru_cache(maxsize=64)
def _tried(folder: Path, state: tuple[tuple[str, int, int], ...]) -> dict[str, Any]:
    """Return what the other process found; `state` is what makes a changed folder be tried anew."""
    del state
    script = Path(__file__).with_name("trial_process.py")
    command = [sys.executable, "-I", str(script), str(folder), str(MEMORY), str(SECONDS)]
    # One thread: the limits are per process, and many stacks would count as memory.
    single = {"TOKENIZERS_PARALLELISM": "false", "RAYON_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    offline = {"HF_HUB_OFFLINE": "1", "USE_TORCH": "0"}
    done = subprocess.run(
        command, capture_output=True, timeout=CLOCK, env=os.environ | single | offline,
        stdin=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        return json.loads(done.stdout.splitlines()[-1])
    except (IndexError, ValueError):
        if done.returncode in (-24, -9):  # SIGXCPU, and SIGKILL behind it
            raise subprocess.TimeoutExpired(command, SECONDS) from None
        if b"memory allocation" in done.stderr:
            return {"error": "reading it takes too much memory"}
        return {"error": f"it ended the process that read it, with {done.returncode}"}
