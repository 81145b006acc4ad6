"""Which strength a sweep recommends, and from where on it does harm."""

from collections.abc import Mapping, Sequence
from typing import Any

from cmc.evaluation.scores import Z_95

CLOSE_ENOUGH = 0.01  # no unit; two balances this near are one, and the weaker strength is taken


def recommend(points: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the strength to use for one controller on one target, and the region of harm.

    Without forgetting: the weakest strength whose score is within one standard error of the
    best, if the best is better than the base by more than the base's interval. With forgetting:
    the weakest strength with the best balance, the harmonic mean of what share of the base's
    recall was forgotten and what share of the base's utility was kept.

    Harm is at every strength whose whole interval lies below the base's, and at every strength
    beyond the recommended one whose whole interval lies below that one's.

    Args:
        points: `strength`, `score`, `low`, `high` and perhaps `forget` (with `score`), in any
            order; one of them has strength 0.

    Returns:
        `strength`: None where no strength helps; `score`; `harm`: pairs of strengths from and
        to, swept strengths both; `why`: a sentence.

    Source:
        The one-standard-error rule of Breiman et al., Classification and Regression Trees (1984).
    """
    ordered = sorted(points, key=lambda each: abs(each["strength"]))
    base = ordered[0]
    chosen = _balanced(ordered, base) if base.get("forget") else _best(ordered, base)
    if chosen is None:
        why = "No strength is clearly better than the base."
        return {"strength": None, "score": None, "harm": _harm(points, base, None), "why": why}
    harm = _harm(points, base, chosen)
    why = f"At {chosen['strength']:g} {_said(chosen, base)}."
    if harm:
        why += f" Harm at {', '.join(_range(each) for each in harm)}."
    return {"strength": chosen["strength"], "score": chosen["score"], "harm": harm, "why": why}


def balance(point: Mapping[str, Any], base: Mapping[str, Any]) -> float:
    """Return the harmonic mean of the shares forgotten and kept, from 0 to 1, no unit."""
    if not base["forget"]["score"] or not base["score"]:
        return 0.0
    forgotten = min(1.0, max(0.0, 1 - point["forget"]["score"] / base["forget"]["score"]))
    kept = min(1.0, point["score"] / base["score"])
    return 2 * forgotten * kept / (forgotten + kept) if forgotten + kept else 0.0


def _best(
    ordered: Sequence[Mapping[str, Any]], base: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    best = max(ordered, key=lambda each: each["score"])
    if best["score"] <= base["high"]:
        return None
    error = (best["high"] - best["low"]) / (2 * Z_95)
    return next(each for each in ordered[1:] if each["score"] >= best["score"] - error)


def _balanced(
    ordered: Sequence[Mapping[str, Any]], base: Mapping[str, Any]
) -> Mapping[str, Any] | None:
    best = max(balance(each, base) for each in ordered)
    if best <= CLOSE_ENOUGH:
        return None
    return next(each for each in ordered[1:] if balance(each, base) >= best - CLOSE_ENOUGH)


def _harm(
    points: Sequence[Mapping[str, Any]], base: Mapping[str, Any], chosen: Mapping[str, Any] | None
) -> list[list[float]]:
    """Return the stretches of swept strengths that do harm."""

    def harms(point: Mapping[str, Any]) -> bool:
        if point["high"] < base["low"]:
            return True
        is_beyond = chosen and abs(point["strength"]) > abs(chosen["strength"])
        is_same_side = chosen and point["strength"] * chosen["strength"] > 0
        return bool(is_beyond and is_same_side and point["high"] < chosen["low"])

    stretches: list[list[float]] = []
    was_harm = False
    for point in sorted(points, key=lambda each: each["strength"]):
        strength, is_harm = point["strength"], harms(point)
        if is_harm and was_harm:
            stretches[-1][1] = strength
        elif is_harm:
            stretches.append([strength, strength])
        was_harm = is_harm
    return stretches


def _said(chosen: Mapping[str, Any], base: Mapping[str, Any]) -> str:
    score = f"{chosen['score']:.2f} (base {base['score']:.2f})"
    if not base.get("forget"):
        return f"the score is {score}"
    forget = f"{chosen['forget']['score']:.2f} (base {base['forget']['score']:.2f})"
    return f"recall of what is to be forgotten is {forget}, of the rest {score}"


def _range(stretch: Sequence[float]) -> str:
    low, high = stretch
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"
