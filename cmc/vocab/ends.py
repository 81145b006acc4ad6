"""Which ids end a text, as the settings beside a tokenizer name them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmc.errors import ModelError

# The first of these that names any is right: a controller's own manifest, what a model generates
# with, its configuration, and in that the part of a model that reads pictures too.
PLACES = (
    ("controller.json", ("eos_ids",)),
    ("generation_config.json", ("eos_token_id",)),
    ("config.json", ("eos_token_id",)),
    ("config.json", ("text_config", "eos_token_id")),
)

LARGEST = 16 << 20  # bytes of a file; it is read where the app runs


def stored_eos_ids(folder: Path, name: str) -> list[int]:
    """Return the ids that end a text or a turn by the settings in a folder; may be empty.

    Args:
        folder: of a model, a controller or a tokenizer.
        name: what a person called it.

    Raises:
        ModelError: one of the files is damaged, or names no ids.
    """
    for file, keys in PLACES:
        if not (folder / file).is_file():
            continue
        found: Any = _read_settings(folder / file, name)
        for key in keys:
            found = found.get(key) if isinstance(found, Mapping) else None
        ids = found if isinstance(found, list) else [] if found is None else [found]
        if any(type(each) is not int for each in ids):
            raise ModelError(
                f"{keys[-1]} in {file} of {name} is {str(found)[:40]}, which is no id",
                hint="Correct the file, or copy or download the whole model again.",
            )
        if ids:
            return [*ids]
    return []


def _read_settings(path: Path, name: str) -> Mapping[str, Any]:
    try:
        is_small = path.stat().st_size <= LARGEST
        stored = json.loads(path.read_text("utf-8")) if is_small else None
    except (OSError, ValueError, RecursionError):
        stored = None
    if not isinstance(stored, dict):
        raise ModelError(
            f"{path.name} of {name} is damaged", hint="Copy or download the whole model again."
        )
    return stored
