"""Pure scoring functions: exact match, and intervals of shares and of anything else."""

import math
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

SPACES = re.compile(r"\s+")
Z_95 = 1.959963984540054  # standard normal quantile for 95 %


@dataclass(frozen=True)
class Interval:
    """A number from `n` trials with its 95 % interval."""

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


def wilson_interval(hits: Sequence[float]) -> Interval:
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


def bootstrap_interval(
    samples: Sequence[np.ndarray], statistic: Callable[..., float], *, draws: int = 1000
) -> Interval:
    """Return a statistic of one or several samples with its 95 % percentile interval.

    Args:
        samples: arrays whose rows are drawn anew, each sample on its own.
        statistic: takes as many arrays as there are samples, gives one number.
        draws: how often the samples are drawn; always the same draws, so that reports repeat.

    Returns:
        The statistic of the samples as they are, and where 95 % of those drawn anew lie; `n` is
        the number of rows of all samples together.

    Source:
        Efron, Better bootstrap confidence intervals, JASA 82 (1987), percentile method.

    >>> interval = bootstrap_interval([np.array([0.0, 1.0] * 50)], np.mean)
    >>> interval.value, interval.n, 0.38 < interval.low < 0.45, 0.55 < interval.high < 0.62
    (0.5, 100, True, True)
    """
    n = sum(map(len, samples))
    if not all(map(len, samples)):
        return Interval(math.nan, math.nan, math.nan, n)
    random_state = np.random.default_rng(0)
    drawn = [
        statistic(*(each[random_state.integers(0, len(each), len(each))] for each in samples))
        for _ in range(draws)
    ]
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Interval(float(statistic(*samples)), float(low), float(high), n)


def mean_interval(values: np.ndarray) -> Interval:
    """Return the mean of values from 0 to 1 with its 95 % interval, by bootstrap.

    Where all values are equal, drawing them anew says nothing; Wilson's interval, which no values
    between 0 and 1 with this mean can exceed in spread, stands in for it.

    >>> interval = mean_interval(np.ones(20))
    >>> interval.value, round(interval.low, 2), interval.high
    (1.0, 0.84, 1.0)
    """
    if len(values) and (values == values[0]).all():
        return wilson_interval(values.tolist())
    return bootstrap_interval([values], np.mean)
