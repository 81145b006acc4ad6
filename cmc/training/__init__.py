"""Objectives, template cache, loop, checkpoints."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmc.training.job import run_together, run_training
    from cmc.training.loop import TrainRecord, train_controller

# Imported when first used: whoever only reads runs, or waits for its turn, needs no torch.
_MODULES = {"TrainRecord": "loop", "train_controller": "loop"}
_MODULES |= {"run_together": "job", "run_training": "job"}

__all__ = ["TrainRecord", "run_together", "run_training", "train_controller"]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
