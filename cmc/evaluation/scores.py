"""Pure scoring functions: exact match and its interval."""

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

SPACES = re.compile(r"\s+")
Z_95 = 1.959963984540054  # standard normal quantile for 95 %


@dataclass(frozen=True)
class Interval:
    """A share of `n` trials with its 95 % interval, no unit."""

    value: float
    low: float
    high: float
    n: int


def exact_match(answer: str, expected: str) -> bool:
    r"""Say whether an answer is the expected one, white space aside.

    >>> exact_match(" Anna lives in Trelby.\n", "Anna lives in Trelby.")
    True
    """
    return SPACES.sub(" ", answer).strip() == SPACES.sub(" ", expected).strip()


def wilson_interval(hits: Sequence[bool]) -> Interval:
    """Return the share of hits with Wilson's 95 % score interval.

    Source:
        Wilson, Probable inference, JASA 22 (1927); `statsmodels` gives the same numbers.

    >>> interval = wilson_interval([True] * 8 + [False] * 2)
    >>> round(interval.value, 3), round(interval.low, 3), round(interval.high, 3)
    (0.8, 0.49, 0.943)
    """
    n = len(hits)
    if n == 0:
        return Interval(math.nan, 0.0, 1.0, 0)
    share, squared = sum(hits) / n, Z_95**2
    middle = (share + squared / (2 * n)) / (1 + squared / n)
    spread = share * (1 - share) / n + squared / (4 * n * n)
    half = Z_95 * math.sqrt(spread) / (1 + squared / n)
    return Interval(share, max(0.0, middle - half), min(1.0, middle + half), n)
