"""What a request names, by where it lies: good in whatever folder a process starts, and later."""

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass, replace
from typing import Any

from cmc.settings import absolute
from cmc.store import pinned

FILES = ("target", "targets", "template", "init", "data", "retain", "other", "suite",
         "reference", "retain_log", "against", "gold")  # fmt: skip


def with_places(request: Any, place: Callable[[str], str] = pinned) -> Any:
    """Return a request with absolute paths, and controllers at the version a label names now.

    Args:
        request: of any kind.
        place: returns where a controller lies, by its name.

    Raises:
        StoreError: there is no such version of a controller.
    """
    changed: dict[str, Any] = {}
    for each in fields(request):
        value = getattr(request, each.name)
        if is_dataclass(value):
            changed[each.name] = with_places(value, place)
        elif each.name in ("controller", "controllers"):
            changed[each.name] = _each(value, lambda name: absolute(place(name)))
        elif each.name in FILES and value != each.default:  # "lab" and "base" are no paths
            changed[each.name] = _each(value, absolute)
    return replace(request, **changed)


def _each(value: Any, change: Any) -> Any:
    if isinstance(value, Mapping):
        return {change(name): strength for name, strength in value.items()}
    return tuple(map(change, value)) if isinstance(value, tuple) else change(value)
