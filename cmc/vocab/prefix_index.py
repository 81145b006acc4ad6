"""All tokens that begin with given bytes, as one interval of a sorted list."""

from bisect import bisect_left

import numpy as np

from cmc.vocab.vocabulary import Vocabulary


class PrefixIndex:
    """The tokens of a vocabulary in the order of their bytes; roles are left out.

    Attributes:
        order: `(spelled,)` int64, token ids in the order of their bytes.
        spelled: the bytes in that order.
    """

    def __init__(self, vocabulary: Vocabulary) -> None:
        """Sort the tokens that spell something."""
        pairs = sorted(
            (spelled, token_id)
            for token_id, spelled in enumerate(vocabulary.token_bytes)
            if spelled
        )
        self.spelled = [spelled for spelled, _ in pairs]
        self.order = np.array([token_id for _, token_id in pairs], dtype=np.int64)
        self._intervals: dict[bytes, tuple[int, int]] = {}

    def interval(self, prefix: bytes) -> tuple[int, int]:
        """Return `(start, end)` in `order` of the tokens whose bytes begin with `prefix`."""
        found = self._intervals.get(prefix)
        if found is None:
            start = bisect_left(self.spelled, prefix)
            end = bisect_left(self.spelled, _after(prefix), lo=start) if prefix else len(self.order)
            if len(self._intervals) > 200_000:
                self._intervals.clear()
            found = self._intervals[prefix] = (start, end)
        return found


def _after(prefix: bytes) -> bytes:
    """Return the least byte string that no continuation of `prefix` reaches."""
    return prefix + b"\xff" * 64 if prefix.strip(b"\xff") == b"" else _increment(prefix)


def _increment(prefix: bytes) -> bytes:
    trimmed = prefix.rstrip(b"\xff")
    return trimmed[:-1] + bytes([trimmed[-1] + 1])
