"""Write a TOFU log as open-unlearning does: TOFU_EVAL.json and TOFU_SUMMARY.json."""

import json
import math
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cmc.evaluation.tofu.formulas import normalised_probability, truth_ratio
from cmc.evaluation.tofu.items import SHORT, Item, TofuLog

Values = dict[str, dict[str, Any]]


def write_log(folder: str | Path, log: TofuLog, report: Mapping[str, Any]) -> None:
    """Write both files into a folder, which is made; other programs and `read_log` read them.

    Args:
        folder: where to.
        log: the values per item.
        report: of the same log, whose figures are stated beside the values.
    """
    path = Path(folder).expanduser()
    path.mkdir(parents=True, exist_ok=True)
    whole: dict[str, Any] = {}
    for split, items in log.splits.items():
        whole |= _metrics(split, items, report["splits"][split], log.epsilon)
    for name in ("model_utility", "forget_quality"):
        if report[name] is not None:  # what could not be worked out is not stated
            whole[name] = {"agg_value": report[name]}
    summary = {
        name: metric["agg_value"]
        for name, metric in whole.items()
        if metric["agg_value"] is not None and not name.endswith(("PERT_Prob", "PARA_Prob"))
    }
    for name, content in (("TOFU_EVAL.json", whole), ("TOFU_SUMMARY.json", summary)):
        (path / name).write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", "utf-8")


def _metrics(
    split: str, items: Mapping[str, Item], means: Mapping[str, Any], epsilon: float
) -> dict[str, Any]:
    """Return all metrics of a split under open-unlearning's names."""
    short, has_paraphrase = SHORT[split], split in ("forget", "retain")
    ratio = "forget_truth_ratio" if split == "forget" else f"{short}_Truth_Ratio"
    found = {
        f"{short}_Q_A_Prob": _metric(items, _answer),
        f"{short}_Q_A_PERT_Prob": _metric(items, _wrong),
        f"{short}_Q_A_ROUGE": _metric(items, _texts, means["rouge"]),
        ratio: _metric(items, lambda item: {"score": _ratio(item, epsilon)}, means["truth_ratio"]),
    }
    if has_paraphrase:
        found[f"{short}_Q_A_PARA_Prob"] = _metric(items, _right)
    else:
        found[f"{short}_Q_A_Prob_normalised"] = _metric(
            items, lambda item: {"prob": _normalised(item, epsilon)}, means["probability"]
        )
    return found


def _metric(
    items: Mapping[str, Item], value: Callable[[Item], dict[str, Any]], mean: float | None = None
) -> dict[str, Any]:
    values = {index: value(item) for index, item in items.items()}
    if mean is None:
        probabilities = [each["prob"] for each in values.values() if "prob" in each]
        if not probabilities:
            return {"agg_value": None, "value_by_index": values}
        flat = [p for each in probabilities for p in (each if isinstance(each, list) else [each])]
        mean = math.fsum(flat) / len(flat)
    return {"agg_value": mean, "value_by_index": values}


def _answer(item: Item) -> dict[str, Any]:
    return {"prob": item.probability, "avg_loss": -math.log(item.probability)}


def _right(item: Item) -> dict[str, Any]:
    return {"prob": math.exp(-item.right_loss), "avg_loss": item.right_loss}


def _wrong(item: Item) -> dict[str, Any]:
    return {"prob": list(item.wrong_probabilities), "avg_loss": list(item.wrong_losses)}


def _texts(item: Item) -> dict[str, Any]:
    return {
        "rougeL_recall": item.rouge, "input": item.question, "ground_truth": item.answer,
        "generation": item.generation,
    }  # fmt: skip


def _ratio(item: Item, epsilon: float) -> float:
    return float(truth_ratio([item.right_loss], [item.wrong_losses], epsilon=epsilon)[0])


def _normalised(item: Item, epsilon: float) -> float:
    wrong = np.array(item.wrong_probabilities)
    return float(normalised_probability(np.float64(item.probability), wrong, epsilon=epsilon))
