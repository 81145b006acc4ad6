"""Vocab maps in the store: keep them, find those of a pair, read one by name or file."""

import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cmc.store.store import Store
from cmc.store.version import Version
from cmc.vocab import VocabMap, Vocabulary
from cmc.vocab.map_files import read_map

MAP_FILE = "map.safetensors"


def keep_map(
    store: Store,
    name: str,
    vocab_map: VocabMap,
    *,
    parent: int | None = None,
    provenance: Mapping[str, Any] | None = None,
) -> Version:
    """Keep a map as the next version of a name; its provenance tells which pair it is for."""
    pair = {
        "controller_fingerprint": vocab_map.controller_fingerprint,
        "target_fingerprint": vocab_map.target_fingerprint,
    }
    with tempfile.TemporaryDirectory() as folder:
        vocab_map.save(Path(folder) / MAP_FILE)
        return store.save(
            "map", name, Path(folder), parent=parent, provenance={**(provenance or {}), **pair}
        )


def maps_of_pair(store: Store, controller: Vocabulary, target: Vocabulary) -> list[Version]:
    """Return the kept maps that were built for these two vocabularies, by name and number."""
    pair = (controller.fingerprint, target.fingerprint)
    return [
        version
        for name in store.names("map")
        for version in store.versions("map", name)
        if pair == tuple(version.provenance.get(f"{side}_fingerprint") for side in
                         ("controller", "target"))
    ]  # fmt: skip


def load_map(name: str, controller: Vocabulary, target: Vocabulary, store: Store) -> VocabMap:
    """Read the map of a pair by file (safetensors or JSON) or by `NAME@VERSION` of the store.

    Raises:
        DataError: the file is no vocab map.
        StoreError: there is no such version, or it is damaged.
        VocabMismatch: the map was built for other vocabularies.
    """
    path = Path(name).expanduser()
    if not path.is_file():
        path = store.open("map", name).content / MAP_FILE
    return read_map(path, controller, target)
