"""Vocab maps of the app: built or read once, searched, sorted, compared, measured on a text."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from cmc import models
from cmc.settings import MapRequest
from cmc.settings.vocabulary import EntryQuery
from cmc.store.maps import load_map
from cmc.vocab import (
    Explanation,
    Kind,
    PrefixIndex,
    VocabMap,
    Vocabulary,
    explain_token,
    inspected_map,
    map_summary,
)
from cmc.vocab.entries import MapDiff, diff_maps, distances
from cmc.vocab.health import advice, graded
from cmc.vocab.sample import by_script
from cmc.vocab.visible import VISIBLE, token_names
from cmc.workspace.kept import Kept

if TYPE_CHECKING:
    from cmc.workspace import Workspace

# A vocabulary of 150,000 tokens with what is prepared of it takes about 100 MB.
PAIRS_KEPT, MAPS_KEPT = 2, 6
BY_ID = re.compile(r"#\s*(\d{1,9})")


@dataclass(frozen=True, eq=False)
class Pair:
    """A controller's and a target's vocabulary; what takes time is found once."""

    controller: Vocabulary
    target: Vocabulary

    @cached_property
    def index(self) -> PrefixIndex:
        """The controller's tokens in the order of their bytes."""
        return PrefixIndex(self.controller)

    @cached_property
    def controller_names(self) -> list[str]:
        """What is shown for every controller id."""
        return token_names(self.controller)

    @cached_property
    def target_names(self) -> list[str]:
        """What is shown for every target id."""
        return token_names(self.target)

    @cached_property
    def lengths(self) -> np.ndarray:
        """`(target vocab,)` bytes that a target token spells, -1 where it spells nothing."""
        return np.array([len(data) if data else -1 for data in self.target.token_bytes])


@dataclass(frozen=True, eq=False)
class InspectedMap:
    """One vocab map with both vocabularies and its summary; what takes time is found once."""

    request: MapRequest
    pair: Pair
    map: VocabMap
    summary: Mapping[str, Any]

    @property
    def controller(self) -> Vocabulary:
        """The vocabulary the shift is written in."""
        return self.pair.controller

    @property
    def target(self) -> Vocabulary:
        """The vocabulary it is carried into."""
        return self.pair.target

    def mapped_name(self, token_id: int) -> str:
        """Return what is shown for the controller token of an entry; "" where there is none."""
        other = int(self.map.ids[token_id])
        return self.pair.controller_names[other] if other >= 0 else ""

    @cached_property
    def searched(self) -> list[str]:
        """Per target id the two names that a search looks at, in small letters."""
        mine, ids = self.pair.controller_names, self.map.ids.tolist()
        return [
            f"{name}\n{mine[other] if other >= 0 else ''}".lower()
            for name, other in zip(self.pair.target_names, ids, strict=True)
        ]

    @cached_property
    def distances(self) -> np.ndarray:
        """`(target vocab,)` bytes by which two mapped tokens differ; -1 where there are none."""
        return distances(self.map, self.controller, self.target)

    @cached_property
    def served(self) -> np.ndarray:
        """`(target vocab,)` how many target tokens share the controller token; 0 for none."""
        ids = self.map.ids
        counts = np.bincount(ids[ids >= 0], minlength=self.map.controller_size)
        return np.where(ids >= 0, counts[ids], 0)

    def explain(self, token_id: int) -> Explanation:
        """Tell why a target token is mapped as it is; an id out of range is brought into it."""
        token_id = min(max(0, token_id), self.target.size - 1)
        return explain_token(self.controller, self.target, self.pair.index, token_id)


@dataclass(frozen=True, eq=False)
class ComparedMaps:
    """Two maps of one pair, and the target ids in which they differ."""

    before: InspectedMap
    after: InspectedMap
    diff: MapDiff


class KeptMaps:
    """The last few pairs and maps that were inspected."""

    def __init__(self) -> None:
        self._pairs: Kept[Pair] = Kept(PAIRS_KEPT)
        self._maps: Kept[InspectedMap] = Kept(MAPS_KEPT)

    def get(self, workspace: "Workspace", request: MapRequest) -> InspectedMap:
        """Return the map of a checked request, built or read at most once while it is in use."""
        places = _places(workspace, request.controller, request.target)

        def inspected() -> InspectedMap:
            sides = self.pair(workspace, request.controller, request.target)
            return _inspected(request, sides, workspace)

        key = (*_key(places), request, file_state(Path(request.saved)))
        return self._maps.get(key, inspected)

    def pair(self, workspace: "Workspace", controller: str, target: str) -> Pair:
        """Return two vocabularies by names that may be used here, read at most once."""
        places = _places(workspace, controller, target)
        return self._pairs.get(_key(places), lambda: Pair(*map(models.load_vocabulary, places)))


def inspect_map(workspace: "Workspace", request: MapRequest) -> InspectedMap:
    """Build the vocab map of a pair, or read a kept one, and measure it.

    Raises:
        ModelError: a name is not offered here, or cannot be found.
        TokenizerError: a tokenizer cannot be read.
        StoreError, DataError, VocabMismatch: the kept map cannot be used for this pair.
    """
    _places(workspace, request.controller, request.target)  # before the store is looked into
    if request.saved:
        # A label may move; the version it names now is what is kept under this request.
        request = replace(request, saved=workspace.map_name(request.saved))
    return workspace.maps.get(workspace, replace(request, out=""))


def compare_maps(workspace: "Workspace", before: MapRequest, after: MapRequest) -> ComparedMaps:
    """Return two maps of a pair, and what the second has otherwise than the first."""
    sides = inspect_map(workspace, before), inspect_map(workspace, after)
    return ComparedMaps(*sides, diff_maps(sides[0].map, sides[1].map))


def find_entries(found: InspectedMap, query: EntryQuery) -> np.ndarray:
    """Return the target ids that a query asks for, in its order.

    What has no value in the column that is sorted by comes last, whichever way it is sorted.
    """
    ids = np.arange(len(found.map.ids))
    if query.kind != "all":
        ids = ids[found.map.kinds == Kind[query.kind.upper()]]
    if query.wanted:
        ids = ids[np.fromiter(_matches(found, ids, query.wanted), bool, len(ids))]
    return _sorted(found, ids, query)


def measure_text(found: InspectedMap, text: str) -> dict[str, Any]:
    """Measure a map on a text.

    Returns:
        What `coverage.Coverage.plain` says, with `grade`, `advice`, and `scripts`: the same for
        what of the text is written in each script, the longest part first.
    """
    sides = found.map, found.controller, found.target
    measured = graded(*sides, text)
    scripts = [{"script": name, **graded(*sides, part)} for name, part in by_script(text).items()]
    told = advice(found.map.transfer, measured["grade"], [])
    return measured | {"advice": told, "scripts": scripts}


def _inspected(request: MapRequest, pair: Pair, workspace: "Workspace") -> InspectedMap:
    sides = pair.controller, pair.target
    if request.saved:
        vocab_map = load_map(request.saved, *sides, workspace.store)
    else:
        vocab_map = inspected_map(*sides, request.transfer, parity=request.parity)
    return InspectedMap(request, pair, vocab_map, map_summary(vocab_map, *sides))


def _places(workspace: "Workspace", controller: str, target: str) -> tuple[str, str]:
    """Return where the two tokenizers lie, if names that may be used here stand for them."""
    workspace.check_offered(target, workspace.names_of_targets())
    workspace.check_offered(controller, workspace.names_of_controllers())
    return workspace.place_of(controller), target


def _key(places: tuple[str, str]) -> tuple[object, ...]:
    """Return what changes when one of two tokenizers does."""
    return (*places, *(file_state(Path(place) / "tokenizer.json") for place in places))


def file_state(path: Path) -> int:
    """Return what changes when a file does; 0 where there is none."""
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


def _matches(found: InspectedMap, ids: np.ndarray, wanted: str) -> Iterator[bool]:
    """Yield for every id whether its entry is one that is searched for."""
    if number := BY_ID.fullmatch(wanted.strip()):
        return (each == int(number[1]) for each in ids)
    needle = wanted.translate(VISIBLE).lower()
    return (needle in found.searched[each] for each in ids)


def _sorted(found: InspectedMap, ids: np.ndarray, query: EntryQuery) -> np.ndarray:
    """Return ids by a column, equal ones by id, those without a value last."""
    if query.sort == "id":
        return ids[::-1] if query.descending else ids
    if query.sort == "token":
        names = found.pair.target_names
        return np.array(sorted(ids, key=names.__getitem__, reverse=query.descending), dtype=int)
    column = {
        "bytes": lambda: found.pair.lengths,
        "kind": lambda: found.map.kinds,
        "distance": lambda: found.distances,
        "fan-in": lambda: np.where(found.served > 0, found.served, -1),
        "controller id": lambda: found.map.ids,
    }[query.sort]()[ids].astype(np.int64)
    order = np.argsort(-column if query.descending else column, kind="stable")
    return ids[np.concatenate([order[column[order] >= 0], order[column[order] < 0]])]
