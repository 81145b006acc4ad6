"""Send a stream no faster than a browser draws it."""

import time
from collections.abc import Iterator
from typing import TypeVar

Shown = TypeVar("Shown")
UPDATES_PER_SECOND = 15  # a browser keeps up with about 170; more only costs time


def paced(stream: Iterator[Shown]) -> Iterator[Shown]:
    """Pass on at most `UPDATES_PER_SECOND`, and always the last."""
    due, held = 0.0, []
    for shown in stream:
        held = [shown]
        if time.monotonic() >= due:
            due, held = time.monotonic() + 1 / UPDATES_PER_SECOND, []
            yield shown
    yield from held
