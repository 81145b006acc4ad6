"""Read TOFU logs of open-unlearning: values per item of every metric."""

from collections.abc import Mapping
from typing import Any

from cmc.errors import DataError
from cmc.evaluation.tofu.formulas import EPSILON
from cmc.evaluation.tofu.items import (
    KNOWN_LOGS,
    SHORT,
    STATED,
    Item,
    TofuLog,
    number,
    numbers,
    text,
)


def open_unlearning_log(found: Mapping[str, Any], name: str) -> TofuLog:
    """Return the log of a TOFU_EVAL.json.

    Raises:
        DataError: it has no values per item where there should be some.
    """
    splits = {}
    for split, short in SHORT.items():
        right = f"{short}_Q_A_PARA_Prob" if f"{short}_Q_A_PARA_Prob" in found else None
        ratio = "forget_truth_ratio" if split == "forget" else f"{short}_Truth_Ratio"
        parts = {
            "answer": f"{short}_Q_A_Prob", "right": right or f"{short}_Q_A_Prob",
            "wrong": f"{short}_Q_A_PERT_Prob", "rouge": f"{short}_Q_A_ROUGE", "ratio": ratio,
            "normalised": f"{short}_Q_A_Prob_normalised",
        }  # fmt: skip
        if split in ("forget", "retain") and right is None:
            del parts["right"]  # the answer itself is no paraphrase of it
        values = {
            part: _by_index(found[key], key, name) for part, key in parts.items() if key in found
        }
        indices = dict.fromkeys(index for each in values.values() for index in each)
        if indices:
            splits[split] = {
                index: _unlearning_item({part: each.get(index) for part, each in values.items()})
                for index in indices
            }
    if not splits:
        raise DataError(f"{name} has no values per item", hint=KNOWN_LOGS)
    stated = {
        key: float(found[key]["agg_value"])
        for key in STATED
        if isinstance(found.get(key), dict) and number(found[key].get("agg_value")) is not None
    }
    return TofuLog("open-unlearning", splits, EPSILON, stated)


def _by_index(metric: Any, key: str, name: str) -> dict[str, Any]:
    values = metric.get("value_by_index") if isinstance(metric, Mapping) else None
    if isinstance(values, list):
        values = {str(index): each for index, each in enumerate(values)}
    if not isinstance(values, dict):
        raise DataError(f"{key} in {name} has no value_by_index", hint=KNOWN_LOGS)
    for index, each in values.items():
        if not isinstance(each, dict | None):
            raise DataError(f"item {index} of {key} in {name} is no record", hint=KNOWN_LOGS)
    return values


def _unlearning_item(parts: Mapping[str, Any]) -> Item:
    names = ("answer", "right", "wrong", "rouge", "ratio", "normalised")
    answer, right, wrong, rouge, ratio, normalised = (parts.get(part) or {} for part in names)
    return Item(
        probability=number(answer.get("prob")),
        right_loss=number(right.get("avg_loss")),
        wrong_losses=numbers(wrong.get("avg_loss")),
        wrong_probabilities=numbers(wrong.get("prob")),
        normalised=number(normalised.get("prob")),
        ratio=number(ratio.get("score")),
        rouge=number(rouge.get("rougeL_recall")),
        question=text(rouge.get("input")) or "",
        answer=text(rouge.get("ground_truth")),
        generation=text(rouge.get("generation")),
    )
