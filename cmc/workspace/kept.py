"""The last few loaded things, by key."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Loaded = TypeVar("Loaded")


class Kept(Generic[Loaded]):
    """A small cache; one thread loads at a time, what was not used for longest goes first."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: OrderedDict[Any, Loaded] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: Any, load: Callable[[], Loaded]) -> Loaded:
        """Return the item of `key`, loading it first where it is not kept."""
        with self._lock:
            if key not in self._items:
                self._items[key] = load()
            self._items.move_to_end(key)
            while len(self._items) > self._limit:
                self._items.popitem(last=False)
            return self._items[key]

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._items.clear()
