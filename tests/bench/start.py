"""How long a person waits for the app: import, first page."""

import subprocess
import sys
import time
from collections.abc import Iterator

from tests.bench.row import Measurement


def measure() -> Iterator[Measurement]:
    """Yield the seconds of a fresh process until the command line helps and the app is built."""
    yield _timed("command line: help", ["-m", "cmc", "--help"], target=2.0)
    code = "from cmc.ui.layout import build_app; from cmc.workspace import Workspace; "
    yield _timed("app built", ["-c", code + "build_app(Workspace())"], target=20.0)


def _timed(name: str, arguments: list[str], target: float) -> Measurement:
    started = time.perf_counter()
    subprocess.run([sys.executable, *arguments], check=True, capture_output=True)
    return Measurement(name=name, value=time.perf_counter() - started, unit="s", target=target)
