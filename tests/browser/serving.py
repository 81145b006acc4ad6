"""Serve the app in a process of its own, for a browser to look at."""

import os
import re
import shutil
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CHROMIUM = (
    os.environ.get("CMC_CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
)
START_SECONDS = 90
ANSWER_MS = 30_000  # how long a page waits before a test fails


@contextmanager
def served(home: Path) -> Iterator[str]:
    """Yield the address of an app that keeps its runs in `home`, on a port it chooses."""
    places = {"CMC_HOME": str(home), "HF_HUB_OFFLINE": "1", "PYTHONUNBUFFERED": "1"}
    log = home / "app.log"
    with log.open("w") as out:
        server = subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=os.environ | places, stdout=out, stderr=out
        )
    try:
        yield _address(server, log)
    finally:
        server.terminate()
        server.wait(timeout=20)


def _address(server: subprocess.Popen, log: Path) -> str:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline:
        found = re.search(r"http://127\.0\.0\.1:\d+", log.read_text())
        if found:
            urllib.request.urlopen(f"{found.group()}/config").close()
            return found.group()
        assert server.poll() is None, log.read_text()
        time.sleep(0.2)
    raise TimeoutError(log.read_text())
