"""What a TOFU log says: sub-metrics with intervals, model utility, forget quality."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cmc.errors import DataError
from cmc.evaluation.scores import bootstrap_interval, mean_interval
from cmc.evaluation.texts import is_refusal, rouge_l_recall
from cmc.evaluation.tofu.formulas import (
    forget_quality,
    model_utility,
    normalised_probability,
    truth_ratio,
    truth_scores,
)
from cmc.evaluation.tofu.items import SPLITS, Item, TofuLog

PARTS = ("rouge", "probability", "truth_ratio")
UTILITY_SPLITS = ("retain", "real_authors", "world_facts")
NO_RETAIN_LOG = "there is no retain log, the results of a model that never saw the forget set"


def report_log(log: TofuLog, retain_log: TofuLog | None = None) -> dict[str, Any]:
    """Return all TOFU figures of a log.

    Model utility is null unless retain, real authors and world facts have all three sub-metrics
    (`model_utility_of_present` is the same mean over those there are); forget quality is null
    without a retain log. Their reasons stand beside them.

    Raises:
        DataError: a retain log is given, and one of the two logs has no truth ratios per item.
    """
    values = {split: split_values(log, split) for split in SPLITS if split in log.splits}
    report = {
        "kind": "tofu",
        "format": log.format,
        **_utility(log, values),
        **_forget_quality(log, retain_log),
        "splits": {split: _split(values.get(split)) for split in SPLITS},
        "stated": dict(log.stated),
        "rouge_recomputed": _recomputed(log),
    }
    return report


def split_values(log: TofuLog, split: str) -> dict[str, np.ndarray]:
    """Return per sub-metric one value per item that has what it takes, and refusals as well."""
    items = list(log.splits[split].values())
    ratios = item_ratios(log, split)
    found = {
        "rouge": _rouges(items),
        "probability": _probabilities(items, split, log.epsilon),
        "truth_ratio": truth_scores(ratios, is_forget=split == "forget", epsilon=log.epsilon),
        "refusals": [is_refusal(each.generation) for each in items if each.generation is not None],
    }
    return {part: np.asarray(each, dtype=float) for part, each in found.items()}


def item_ratios(log: TofuLog, split: str) -> np.ndarray:
    """Return the truth ratio, wrong to right, of every item that has one."""
    items = list(log.splits.get(split, {}).values())
    ratios = [_ratio(each, log.epsilon) for each in items]
    return np.array([each for each in ratios if each is not None])


def _ratio(item: Item, epsilon: float) -> float | None:
    if item.right_loss is None or item.wrong_losses is None:
        return item.ratio
    return float(truth_ratio([item.right_loss], [item.wrong_losses], epsilon=epsilon)[0])


def _rouges(items: Sequence[Item]) -> list[float]:
    """Return recalls as the log states them, worked out from the texts where it does not."""
    found = []
    for each in items:
        if each.rouge is not None:
            found.append(each.rouge)
        elif each.generation is not None and each.answer is not None:
            found.append(rouge_l_recall(each.generation, each.answer))
    return found


def _probabilities(items: Sequence[Item], split: str, epsilon: float) -> list[float]:
    if split in ("forget", "retain"):
        return [each.probability for each in items if each.probability is not None]
    found = [_normalised(each, epsilon) for each in items]
    return [each for each in found if each is not None]


def _normalised(item: Item, epsilon: float) -> float | None:
    """Return the probability against that of the wrong answers, else as the log states it."""
    if item.probability is None or item.wrong_probabilities is None:
        return item.normalised
    wrong = np.array(item.wrong_probabilities)
    return float(normalised_probability(np.float64(item.probability), wrong, epsilon=epsilon))


def _split(values: Mapping[str, np.ndarray] | None) -> dict[str, Any]:
    """Return means with intervals; null where a log has no such items."""
    found: dict[str, Any] = {part: None for part in PARTS}
    found |= {"n": 0, "intervals": {}, "refusal_rate": None}
    for part, each in (values or {}).items():
        if not len(each):
            continue
        interval = mean_interval(each)
        name = "refusal_rate" if part == "refusals" else part
        found[name] = interval.value
        found["intervals"][name] = {
            "low": interval.low, "high": interval.high, "n": interval.n,
        }  # fmt: skip
        found["n"] = max(found["n"], interval.n)
    return found


def _utility(log: TofuLog, values: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any]:
    if not values:
        stated = log.stated.get("model_utility")
        reason = "as the summary states it; a summary holds no values to work it out from"
        return {"model_utility": stated, "model_utility_interval": None,
                "model_utility_reason": reason, "model_utility_of_present": None}  # fmt: skip
    missing = [
        f"{split} {part}" for split in UTILITY_SPLITS for part in PARTS
        if split not in values or not len(values[split][part])
    ]  # fmt: skip
    interval = _utility_interval(values)
    present = {"model_utility_of_present": interval and interval["value"],
               "model_utility_interval": interval}  # fmt: skip
    if missing:
        reason = f"the log has no {', '.join(missing)}"
        return {"model_utility": None, "model_utility_reason": reason, **present}
    return {"model_utility": present["model_utility_of_present"], **present,
            "model_utility_reason": None}  # fmt: skip


def _utility_interval(values: Mapping[str, Mapping[str, np.ndarray]]) -> dict[str, Any] | None:
    """Return model utility over the sub-metrics there are, drawing whole items anew."""
    samples, means = [], []
    for split in UTILITY_SPLITS:
        parts = [values[split][part] for part in PARTS if split in values]
        parts = [each for each in parts if len(each)]
        means += [each.mean() for each in parts]
        if len({len(each) for each in parts}) > 1:  # some items lack a part: each on its own
            samples += [each[:, None] for each in parts]
        elif parts:
            samples.append(np.column_stack(parts))
    if not samples:
        return None
    found = bootstrap_interval(
        samples, lambda *drawn: model_utility(np.concatenate([each.mean(0) for each in drawn]))
    )
    return {"value": model_utility(means), "low": found.low, "high": found.high, "n": found.n}


def _forget_quality(log: TofuLog, retain_log: TofuLog | None) -> dict[str, Any]:
    if retain_log is None:
        # A summary is all there is of its run, and states what that run's retain log gave.
        stated = None if log.splits else log.stated.get("forget_quality")
        reason = NO_RETAIN_LOG if stated is None else "as the summary states it"
        return {"forget_quality": stated, "forget_quality_reason": reason}
    mine, theirs = item_ratios(log, "forget"), item_ratios(retain_log, "forget")
    for ratios, which in ((mine, "the log"), (theirs, "the retain log")):
        if not len(ratios):
            raise DataError(
                f"{which} has no truth ratios of the forget set per item",
                hint="Give a log with values per item, not a summary.",
            )
    quality, statistic = forget_quality(mine, theirs)
    return {
        "forget_quality": quality,
        "forget_quality_log10": math.log10(quality) if quality > 0 else None,
        "forget_quality_reason": _caution(log, retain_log),
        "ks_statistic": statistic,
        "n_forget": len(mine),
        "n_retain_log": len(theirs),
    }


def _caution(log: TofuLog, retain_log: TofuLog) -> str | None:
    if log.splits["forget"] == retain_log.splits["forget"]:
        return "log and retain log are the same: 1 by construction, it says nothing"
    mine, theirs = log.splits["forget"], retain_log.splits["forget"]
    questions = [mine[i].question for i in mine], [theirs[i].question for i in theirs]
    if all(map(any, questions)) and sorted(questions[0]) != sorted(questions[1]):
        return "log and retain log were not asked the same questions"
    return None


def _recomputed(log: TofuLog) -> dict[str, int]:
    """Work the stated ROUGE recalls out again from the texts, and count where they differ."""
    pairs = [
        (each.rouge, rouge_l_recall(each.generation, each.answer))
        for items in log.splits.values()
        for each in items.values()
        if None not in (each.rouge, each.generation, each.answer)
    ]
    return {"n": len(pairs), "different": sum(abs(a - b) > 1e-9 for a, b in pairs)}
