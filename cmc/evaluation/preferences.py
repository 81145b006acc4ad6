"""AlpacaEval's win rates from preferences, and the length-controlled one where it can be had."""

import importlib.util
import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from cmc.evaluation.scores import mean_interval

LOSS, DRAW, WIN = 1.0, 1.5, 2.0


def checked_preference(value: Any) -> float | None:
    """Return a preference from 1 to 2, or None where there is none.

    1: the reference's answer is better, 2: the model's, between them how probable that is.
    1.5 and, in older files, 0 are draws.

    Raises:
        ValueError: it is no preference on this scale.
    """
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        raise ValueError(value)
    if value == 0:
        return DRAW
    if not LOSS <= value <= WIN:
        raise ValueError(value)
    return float(value)


def swapped(preference: float | None) -> float | None:
    """Return the same preference when model and reference change places."""
    return None if preference is None else LOSS + WIN - preference


def win_rate(preferences: Sequence[float]) -> float:
    """Return `100 · mean(preference - 1)`, in percent, 0 to 100; a draw counts half.

    Verdicts without probabilities are counted as the first version of AlpacaEval did; the order
    of its roundings decides the last digit of the published figures.

    Source:
        Li et al., AlpacaEval, 2023, github.com/tatsu-lab/alpaca_eval.
    """
    if not len(preferences):
        return math.nan
    values = np.asarray(preferences, dtype=float)
    if set(values) <= {LOSS, DRAW, WIN}:
        wins, draws = (np.count_nonzero(values == each) for each in (WIN, DRAW))
        return float((wins / len(values) + draws / len(values) * 0.5) * 100)
    return float(np.mean(values - 1) * 100)


def standard_error(preferences: Sequence[float]) -> float | None:
    """Return `100 · s / sqrt(n)` in percentage points, s with n - 1; None for fewer than two."""
    if len(preferences) < 2:
        return None
    values = np.asarray(preferences, dtype=float)
    return float(100 * values.std(ddof=1) / math.sqrt(len(values)))


def summarise(preferences: Sequence[float | None]) -> dict[str, Any]:
    """Return win rate, standard error, 95 % bootstrap interval and counts; None is left out."""
    values = [each for each in preferences if each is not None]
    verdicts = [DRAW if each == DRAW else float(round(each)) for each in values]
    interval = mean_interval(np.array(values) - LOSS) if values else None
    return {
        "win_rate": win_rate(values) if values else None,
        "standard_error": standard_error(values),
        "low": interval and 100 * interval.low,
        "high": interval and 100 * interval.high,
        "discrete_win_rate": win_rate(verdicts) if values else None,
        "n_wins": verdicts.count(WIN),
        "n_wins_base": verdicts.count(LOSS),
        "n_draws": verdicts.count(DRAW),
        "n_total": len(values),
        "n_missing": len(preferences) - len(values),
    }


def length_controlled(annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the length-controlled win rate by the `alpaca_eval` package, or why there is none.

    Its regression needs data that the package downloads; it is not built again here, since it
    can differ by many points from the plain rate and must be the published one or none.
    """
    rate, reason = None, None
    if importlib.util.find_spec("alpaca_eval") is None:
        reason = "the alpaca_eval package, which brings it with its files, is not installed"
    else:
        try:
            rate = _by_alpaca_eval(annotations)
        # Whatever goes wrong inside a package that may not be there is told, and ends nothing.
        except Exception as error:
            reason = f"the alpaca_eval package could not work it out ({type(error).__name__})"
    return {"length_controlled_win_rate": rate, "length_controlled_reason": reason}


def _by_alpaca_eval(annotations: Sequence[dict[str, Any]]) -> float:
    import pandas
    from alpaca_eval.metrics import get_length_controlled_winrate

    table = pandas.DataFrame(annotations).reset_index(drop=True)
    found = get_length_controlled_winrate(table, save_weights_dir=None)
    return float(found["length_controlled_winrate"])
