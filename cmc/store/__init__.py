"""Versions, labels, lineage, diff."""

from cmc.store.store import KINDS, Store, pinned, place_of
from cmc.store.version import Version

__all__ = ["KINDS", "Store", "Version", "pinned", "place_of"]
