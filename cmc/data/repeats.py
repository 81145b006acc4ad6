"""Records that stand twice, to the letter or nearly, in one set or in two."""

import re
import unicodedata
import zlib
from collections.abc import Iterable, Sequence
from itertools import pairwise

import numpy as np

from cmc.data.columns import Record

NEAR = 0.8  # shared pairs of words over all pairs of words (Jaccard), from which on texts are near
BANDS, ROWS = 8, 3  # two texts at 0.8 meet in one of 8 bands of 3 hashes with probability 0.997
COMPARED = 8  # texts of a band that are compared; more are as near as those
WORDS = 2000  # of a text, at most
_PRIME = (1 << 31) - 1
_DRAWN = np.random.default_rng(20241)
_FACTORS = _DRAWN.integers(1, _PRIME, (BANDS * ROWS, 1), dtype=np.int64)
_OFFSETS = _DRAWN.integers(0, _PRIME, (BANDS * ROWS, 1), dtype=np.int64)


def normal(text: str) -> str:
    """Return a text without what does not make another question: case, signs, white space."""
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join(re.findall(r"\w+", folded))


def exact_repeats(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Return pairs of rows (earlier, later; counted from 1) with the same content."""
    first: dict[Record, int] = {}
    pairs = []
    for row, record in enumerate(records, start=1):
        known = first.setdefault(record, row)
        if known != row:
            pairs.append((known, row))
    return pairs


def contradictions(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Return pairs of rows (counted from 1) with the same question and different answers."""
    first: dict[tuple[str, str], int] = {}
    pairs = []
    for row, record in enumerate(records, start=1):
        known = first.setdefault((normal(record.instruction), normal(record.input)), row)
        if normal(records[known - 1].output) != normal(record.output):
            pairs.append((known, row))
    return pairs


def near_repeats(records: Sequence[Record]) -> list[tuple[int, int]]:
    """Return pairs of rows (counted from 1) that are nearly the same, a later with an earlier.

    What is the same to the letter is no pair here; what differs in case or signs is.
    """
    index, pairs = NearTexts(), []
    first: dict[Record, int] = {}
    for row, record in enumerate(records, start=1):
        if first.setdefault(record, row) != row:
            continue
        known = index.add(row, whole_text(record))
        if known is not None:
            pairs.append((known, row))
    return pairs


def shared_rows(known: Sequence[Record], others: Sequence[Record]) -> list[tuple[int, int]]:
    """Return pairs of a row of `known` and one of `others` (from 1) that say nearly the same."""
    if not others:
        return []
    index = NearTexts()
    for row, record in enumerate(known, start=1):
        index.add(row, whole_text(record))
    found = ((index.find(whole_text(record)), row) for row, record in enumerate(others, start=1))
    return [(row, other) for row, other in found if row is not None]


def asked_in(records: Iterable[Record], questions: Iterable[Record]) -> list[int]:
    """Return the rows (from 1) whose question is one of `questions`, case and signs aside."""
    asked = {normal(each.instruction) for each in questions}
    return [row for row, each in enumerate(records, start=1) if normal(each.instruction) in asked]


def whole_text(record: Record) -> str:
    """Return all that a record says."""
    return f"{record.instruction} {record.input} {record.output}"


class NearTexts:
    """Texts that can be asked for one that is nearly the same.

    MinHash over pairs of words proposes, the exact share of common pairs decides: what is found
    is near for certain, and at a share of 0.8 three in a thousand are missed.

    Source:
        Broder, On the resemblance and containment of documents, 1997.
    """

    def __init__(self) -> None:
        self._bands: dict[tuple[int, ...], list[int]] = {}
        self._pairs: dict[int, frozenset[int]] = {}

    def add(self, number: int, text: str) -> int | None:
        """Keep a text under a number; return what `find` says of it before."""
        pairs = _word_pairs(text)
        bands = _signature(pairs)
        known = self._near(pairs, bands)
        self._pairs[number] = pairs
        for band in bands:
            members = self._bands.setdefault(band, [])
            if len(members) < COMPARED:
                members.append(number)
        return known

    def find(self, text: str) -> int | None:
        """Return the smallest number of a text that is nearly the same; None where none is."""
        pairs = _word_pairs(text)
        return self._near(pairs, _signature(pairs))

    def _near(self, pairs: frozenset[int], bands: list[tuple[int, ...]]) -> int | None:
        proposed = {each for band in bands for each in self._bands.get(band, ())}
        near = (each for each in proposed if _jaccard(pairs, self._pairs[each]) >= NEAR)
        return min(near, default=None)


def _word_pairs(text: str) -> frozenset[int]:
    words = normal(text).split()[:WORDS]
    pairs = pairwise(words) if len(words) > 1 else [words]
    return frozenset(zlib.crc32(" ".join(pair).encode()) % _PRIME for pair in pairs)


def _signature(pairs: frozenset[int]) -> list[tuple[int, ...]]:
    """Return per band its number and the least hashes of its rows."""
    hashes = np.fromiter(pairs, dtype=np.int64, count=len(pairs))
    # Products stay below 2 ** 62.
    least = ((_FACTORS * hashes + _OFFSETS) % _PRIME).min(axis=1).reshape(BANDS, ROWS)
    return [(band, *row) for band, row in enumerate(least.tolist())]


def _jaccard(one: frozenset[int], other: frozenset[int]) -> float:
    return len(one & other) / len(one | other)
