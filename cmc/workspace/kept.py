"""The last few loaded things, by key."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Generic, TypeVar

Loaded = TypeVar("Loaded")


class Kept(Generic[Loaded]):
    """A small cache; one thread loads at a time, what was not used for longest goes first.

    What is kept is there at once, whatever is being loaded.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._items: OrderedDict[Any, Loaded] = OrderedDict()
        self._lock = threading.Lock()
        self._loading = threading.Lock()

    def __len__(self) -> int:
        return len(self._items)

    def get(self, key: Any, load: Callable[[], Loaded]) -> Loaded:
        """Return the item of `key`, loading it first where it is not kept."""
        if found := self._found(key):
            return found[0]
        with self._loading:
            if found := self._found(key):  # loaded while this thread waited
                return found[0]
            loaded = load()
            with self._lock:
                self._items[key] = loaded
                while len(self._items) > self._limit:
                    self._items.popitem(last=False)
            return loaded

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._items.clear()

    def _found(self, key: Any) -> tuple[Loaded] | None:
        """Return the item of `key` alone in a tuple, as the last one used; None where it is not."""
        with self._lock:
            if key not in self._items:
                return None
            self._items.move_to_end(key)
            return (self._items[key],)
