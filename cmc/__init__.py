"""The public names, nothing else."""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from cmc.controller import Controller, load_controller, random_controller
    from cmc.errors import CmcError
    from cmc.generation import ControlledModel, Row
    from cmc.models import LanguageModel, load_language_model, load_vocabulary
    from cmc.settings import CoverSettings, Loading, Sampling, TrainSettings, TransferRequest
    from cmc.vocab import VocabMap, Vocabulary, build_map

# A name is imported when it is first used: `python -m cmc --help` needs no torch.
_MODULES = {
    "CmcError": "errors",
    "ControlledModel": "generation",
    "Controller": "controller",
    "CoverSettings": "settings",
    "LanguageModel": "models",
    "Loading": "settings",
    "Row": "generation",
    "Sampling": "settings",
    "TrainSettings": "settings",
    "TransferRequest": "settings",
    "VocabMap": "vocab",
    "Vocabulary": "vocab",
    "build_map": "vocab",
    "load_controller": "controller",
    "load_language_model": "models",
    "load_vocabulary": "models",
    "random_controller": "controller",
}

__all__ = [
    "CmcError",
    "ControlledModel",
    "Controller",
    "CoverSettings",
    "LanguageModel",
    "Loading",
    "Row",
    "Sampling",
    "TrainSettings",
    "TransferRequest",
    "VocabMap",
    "Vocabulary",
    "build_map",
    "load_controller",
    "load_language_model",
    "load_vocabulary",
    "random_controller",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)
