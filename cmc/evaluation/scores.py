"""Pure scoring functions: exact match, token F1, intervals."""

import math
import re
from collections import Counter
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


def token_f1(answer: str, expected: str) -> float:
    """Return the harmonic mean of precision and recall of words, 0 to 1.

    Source:
        Rajpurkar et al., SQuAD, 1606.05250, without the removal of articles.

    >>> round(token_f1("Anna lives in Trelby", "Anna lives there"), 3)
    0.571
    """
    answer_words, expected_words = answer.split(), expected.split()
    common = sum((Counter(answer_words) & Counter(expected_words)).values())
    if not common:
        return float(answer_words == expected_words)
    precision, recall = common / len(answer_words), common / len(expected_words)
    return 2 * precision * recall / (precision + recall)


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
