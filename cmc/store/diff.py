"""What two versions differ in: files, settings, weights."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from torch import Tensor

from cmc.store.folders import hashes_of

MOST_TENSORS = 200  # told one by one


def diff_folders(before: Path, after: Path) -> dict[str, Any]:
    """Compare two folders of files.

    Returns:
        `files` (`gained`, `lost`, `changed`: paths); `settings`, by JSON file and then by dotted
        key the two values (null where there is none); `tensors`, by safetensors file and then by
        tensor `{changed, of, largest}`: how many numbers differ, of how many, and by how much at
        most (null where shapes differ or one is missing).
    """
    old, new = hashes_of(before), hashes_of(after)
    changed = sorted(name for name in old.keys() & new.keys() if old[name] != new[name])
    found: dict[str, Any] = {
        "files": {
            "gained": sorted(new.keys() - old.keys()),
            "lost": sorted(old.keys() - new.keys()),
            "changed": changed,
        },
        "settings": {},
        "tensors": {},
    }
    for name in changed:
        if name.endswith(".json") and (differing := _settings(before / name, after / name)):
            found["settings"][name] = differing
        elif name.endswith(".safetensors"):
            found["tensors"][name] = dict(_tensors(before / name, after / name))
    return found


def _settings(before: Path, after: Path) -> dict[str, list[Any]]:
    """Return the dotted keys whose values differ; nothing where a file is no JSON object."""
    try:
        old, new = (json.loads(path.read_text("utf-8")) for path in (before, after))
    except ValueError:
        return {}
    old, new = dict(_flat(old)), dict(_flat(new))
    keys = sorted(old.keys() | new.keys())
    return {key: [old.get(key), new.get(key)] for key in keys if old.get(key) != new.get(key)}


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        for key, each in value.items():
            yield from _flat(each, f"{prefix}.{key}" if prefix else str(key))
    else:
        yield prefix, value


def _tensors(before: Path, after: Path) -> Iterator[tuple[str, dict[str, Any]]]:
    with safe_open(before, framework="pt") as old, safe_open(after, framework="pt") as new:
        names = set(old.keys()), set(new.keys())
        told = 0
        for name in sorted(names[0] | names[1]):
            sides = [
                file.get_tensor(name) if name in known else None
                for file, known in zip((old, new), names, strict=True)
            ]
            difference = _difference(*sides)
            if difference["changed"] and told < MOST_TENSORS:
                told += 1
                yield name, difference


def _difference(old: Tensor | None, new: Tensor | None) -> dict[str, Any]:
    if old is None or new is None or old.shape != new.shape:
        size = (old if new is None else new).numel()
        return {"changed": size, "of": size, "largest": None}
    # Exact for whole numbers of a vocab map and for the halves of weights alike.
    gaps = (new.to(torch.float64) - old.to(torch.float64)).abs()
    changed = int((gaps != 0).sum())
    return {"changed": changed, "of": old.numel(), "largest": float(gaps.max()) if changed else 0.0}
