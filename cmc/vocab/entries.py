"""Entries of vocab maps: how two tokens are related, how far apart, what differs between maps."""

from dataclasses import dataclass

import numpy as np

from cmc.errors import VocabMismatch
from cmc.vocab.vocab_map import Kind, VocabMap
from cmc.vocab.vocabulary import Vocabulary


@dataclass(frozen=True)
class MapDiff:
    """What a second map has otherwise than a first; target ids in ascending order.

    Attributes:
        gained: mapped to a controller token only in the second.
        lost: mapped only in the first.
        changed: mapped to another controller token.
    """

    gained: np.ndarray
    lost: np.ndarray
    changed: np.ndarray

    @property
    def same(self) -> bool:
        """Whether no entry differs."""
        return not (len(self.gained) or len(self.lost) or len(self.changed))


def diff_maps(before: VocabMap, after: VocabMap) -> MapDiff:
    """Compare two maps of one pair, entry by entry.

    Raises:
        VocabMismatch: they were built for different vocabularies.
    """
    before.check_pair(after.controller_fingerprint, after.target_fingerprint)
    if len(before.ids) != len(after.ids):
        raise VocabMismatch(
            f"one map has {len(before.ids):,} entries, the other {len(after.ids):,}",
            hint="Build both again with the same tokenizer.",
        )
    old, new = before.ids >= 0, after.ids >= 0
    return MapDiff(
        np.flatnonzero(~old & new),
        np.flatnonzero(old & ~new),
        np.flatnonzero(old & new & (before.ids != after.ids)),
    )


def distances(vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary) -> np.ndarray:
    """Return `(target vocab,)` how many bytes longer or shorter the controller's token is.

    -1 where there is no entry, or one of the two has a role and spells nothing.
    """
    mine, theirs = (
        np.array([-1 if data is None else len(data) for data in each.token_bytes])
        for each in (controller, target)
    )
    mapped = mine[vocab_map.ids]  # an id of -1 reads any length; it is masked below
    is_spelled = (vocab_map.ids >= 0) & (mapped >= 0) & (theirs >= 0)
    return np.where(is_spelled, np.abs(mapped - theirs), -1)


def relation(controller: Vocabulary, target: Vocabulary, token_id: int, controller_id: int) -> Kind:
    """Return how a controller token is related to a target token, whoever chose it."""
    if controller_id < 0:
        return Kind.NONE
    theirs, mine = target.token_bytes[token_id], controller.token_bytes[controller_id]
    if theirs is None or mine is None:
        return Kind.ROLE if theirs is mine else Kind.CHOSEN
    if mine == theirs:
        return Kind.EXACT
    if mine and theirs.startswith(mine):
        return Kind.PREFIX
    return Kind.EXTENSION if theirs and mine.startswith(theirs) else Kind.CHOSEN
