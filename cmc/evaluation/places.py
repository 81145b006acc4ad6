"""What a request names, by where it lies: good in whatever folder a process starts, and later."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from cmc.store import pinned

FILES = ("target", "targets", "template", "init", "data", "retain", "other", "suite",
         "reference", "retain_log", "against", "gold")  # fmt: skip


def with_places(request: Any) -> Any:
    """Return a request with absolute paths, and controllers at the version a label names now.

    Raises:
        StoreError: there is no such version of a controller.
    """
    changed: dict[str, Any] = {}
    for each in fields(request):
        value = getattr(request, each.name)
        if is_dataclass(value):
            changed[each.name] = with_places(value)
        elif each.name in ("controller", "controllers"):
            changed[each.name] = _each(value, lambda name: absolute(pinned(name)))
        elif each.name in FILES:
            changed[each.name] = _each(value, absolute)
    return replace(request, **changed)


def absolute(name: str) -> str:
    """Return the absolute path of what is there as a file or folder; other names as they are."""
    if not name or name.startswith("lab:") or not Path(name).expanduser().exists():
        return name
    return str(Path(name).expanduser().resolve())


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, Mapping):
        return {change(name): strength for name, strength in value.items()}
    return tuple(map(change, value)) if isinstance(value, tuple) else change(value)
