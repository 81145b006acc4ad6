"""Vocab maps in the store: keep them, find those of a pair, read one by name or file."""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmc.errors import SettingError, StoreError, VocabMismatch
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


def followed_maps(
    names: Sequence[str], controllers: Sequence[Vocabulary], target: Vocabulary, store: Store
) -> list[tuple[str, VocabMap | None]]:
    """Return per controller the first of some maps that was built for it, with its name.

    Controllers of one vocabulary follow the same map; `("", None)` is one that no map fits.

    Raises:
        VocabMismatch: a map fits none of the controllers, or another target.
        SettingError: those that a map fits follow an earlier one already.
        DataError, StoreError: a map cannot be found or read.
    """
    found: list[tuple[str, VocabMap | None]] = [("", None)] * len(controllers)
    for name in names:
        loaded = [_of_pair(name, each, target, store) for each in controllers]
        if all(each is None for each in loaded):
            raise VocabMismatch(
                f"the vocab map {name} was built for {_pair_of(name, store)}, not for this pair",
                hint="Choose a map of this target and controller, or none to have one built.",
            )
        takes = [at for at, each in enumerate(loaded) if each is not None and not found[at][0]]
        if not takes:
            raise SettingError(
                f"no controller is left to follow the vocab map {name}",
                hint="Give one map for every vocabulary of the controllers.",
            )
        for at in takes:
            found[at] = (name, loaded[at])
    return found


def _of_pair(
    name: str, controller: Vocabulary, target: Vocabulary, store: Store
) -> VocabMap | None:
    """Return a map if it was built for a pair, None if for another."""
    try:
        return load_map(name, controller, target, store)
    except VocabMismatch:
        return None


def _pair_of(name: str, store: Store) -> str:
    """Return which pair a kept map was built for, as its provenance names it."""
    try:
        told = store.find("map", name).provenance
        return f"{told['controller']} and {told['target']}"
    except (StoreError, KeyError):  # a file, or a version that does not say
        return "other vocabularies"
