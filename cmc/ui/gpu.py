"""Borrow the accelerator of a ZeroGPU Space where there is one."""

from collections.abc import Callable
from typing import TypeVar

Work = TypeVar("Work", bound=Callable)

SECONDS = 60  # asked for per call; more than a visitor's allowance fails at once


def lent_gpu(work: Work) -> Work:
    """Return `work` with a GPU lent for its duration; everywhere else unchanged."""
    try:
        import spaces
    except ImportError:
        return work
    return spaces.GPU(duration=SECONDS)(work)
