"""What a report was made from: models, controllers, maps, data, seeds, libraries."""

import hashlib
import platform
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch

from cmc.controller import Controller
from cmc.data import Record, fingerprint_records
from cmc.errors import CmcError
from cmc.generation import ControlledModel
from cmc.models import MODEL_FILES, LanguageModel, find_folder
from cmc.settings import home
from cmc.store import Store, pinned
from cmc.store.maps import load_map, maps_of_pair
from cmc.vocab import VocabMap, Vocabulary

LIBRARIES = ("torch", "transformers", "tokenizers", "numpy")
_CHUNK = 1 << 20


def provenance(request: Any, data: dict[str, Sequence[Record]], **parts: Any) -> dict[str, Any]:
    """Return what a report needs to be believed and repeated.

    Args:
        request: what was asked for; with the kind of the report all that repeating needs.
        data: records by the name of their source.
        parts: `models`, `controllers` and `maps`, as the functions below describe them.
    """
    return {
        "request": asdict(request),
        "data": {name: fingerprint_records(records) for name, records in data.items()},
        **parts,
        "seed": 0,  # everything here is greedy; intervals that draw, draw from seed 0
        "libraries": {name: version(name) for name in LIBRARIES},
        "python": platform.python_version(),
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }


def describe_models(models: Iterable[LanguageModel]) -> dict[str, Any]:
    """Return what each is and whether it reads questions in a chat template, by name."""
    return {
        each.name: {
            "revision": each.revision,
            "vocabulary": each.vocabulary.fingerprint,
            "weights": weights_hash(each.name, "models"),
            "has_chat_template": bool(each.vocabulary.tokenizer.chat_template),
        }
        for each in models
    }


def describe_controllers(controllers: dict[str, Controller]) -> dict[str, Any]:
    """Return the hash of the weights and what `controller.json` says of the origin, by name."""
    kept = ("objective", "template", "data", "parent")
    return {
        name: {
            "vocabulary": each.vocabulary.fingerprint,
            "version": pinned(name),
            "weights": weights_hash(each.name, "controllers"),
            **{key: each.settings.get(key) for key in kept},
        }
        for name, each in controllers.items()
    }


def describe_maps(names: Sequence[str], model: ControlledModel) -> dict[str, Any]:
    """Return what carries each controller's shift to a target, by controller, target and transfer.

    `map` is the sha256 of what the map says of every token, `version` the kept version of the
    store that says the same. `cover` has no map: both are None, and the vocabularies say it all.

    Args:
        names: of the controllers, in the model's order.
        model: target and controllers.
    """
    found = {}
    for name, controller, carrier in zip(names, model.controllers, model.carriers, strict=True):
        pair = controller.vocabulary, model.target.vocabulary
        made = map_hash(carrier) if isinstance(carrier, VocabMap) else None
        found[f"{name} on {model.target.name} by {carrier.transfer}"] = {
            "transfer": carrier.transfer,
            "controller_vocabulary": pair[0].fingerprint,
            "target_vocabulary": pair[1].fingerprint,
            "map": made,
            "version": made and _map_version(made, *pair),
        }
    return found


def map_hash(vocab_map: VocabMap) -> str:
    """Return the sha256 of the controller's token and the kind of match of every target token."""
    digest = hashlib.sha256()
    for part in (vocab_map.ids, vocab_map.kinds):
        digest.update(part.astype("<i8").tobytes())
    return digest.hexdigest()


def _map_version(made: str, controller: Vocabulary, target: Vocabulary) -> str | None:
    store = Store(home())
    for each in maps_of_pair(store, controller, target):
        try:
            kept = load_map(each.reference, controller, target, store)
        except CmcError:  # a damaged version is none that was used
            continue
        if map_hash(kept) == made:
            return each.reference
    return None


def weights_hash(name: str, lab_kind: str) -> str | None:
    """Return the sha256 of all safetensors of a model; None where it is not one of a folder."""
    if not (name.startswith("lab:") or Path(name).expanduser().is_dir()):
        return None  # of the Hub: its revision says as much
    folder, _ = find_folder(name, lab_kind=lab_kind, allow_patterns=MODEL_FILES)
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*.safetensors")):
        digest.update(str(path.relative_to(folder)).encode())
        with path.open("rb") as file:
            while chunk := file.read(_CHUNK):
                digest.update(chunk)
    return digest.hexdigest()
