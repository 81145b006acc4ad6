"""What annotations say: win rate with standard error and interval, lengths, who judged."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cmc.evaluation.preferences import length_controlled, summarise
from cmc.evaluation.scores import bootstrap_interval, wilson_interval
from cmc.evaluation.texts import distinct_interval, distinct_n, is_refusal


def report_annotations(annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the win rate of output 2 against output 1, and what the texts are like.

    Args:
        annotations: in the published format, as `read_annotations` returns them.
    """
    outputs = [str(each["output_2"]) for each in annotations]
    lengths = np.array([len(each) for each in outputs], dtype=float)
    length = bootstrap_interval([lengths], np.mean)
    refusals = wilson_interval([is_refusal(each) for each in outputs])
    return {
        "kind": "alpaca",
        "model": _names(annotations, "generator_2"),
        "reference": _names(annotations, "generator_1"),
        "annotator": _names(annotations, "annotator"),
        **summarise([each["preference"] for each in annotations]),
        **length_controlled(annotations),
        "subsets": _subsets(annotations),
        "avg_length": length.value,
        "avg_length_interval": {"low": length.low, "high": length.high, "n": length.n},
        "distinct_2": distinct_n(outputs, 2),
        "distinct_2_interval": dict(
            zip(("low", "high"), distinct_interval(outputs), strict=True), n=len(outputs)
        ),
        "refusal_rate": refusals.value,
        "refusal_rate_interval": {"low": refusals.low, "high": refusals.high, "n": refusals.n},
    }


def _names(annotations: Sequence[dict[str, Any]], key: str) -> str | None:
    found = sorted({str(each[key]) for each in annotations if each.get(key) is not None})
    return ", ".join(found) or None


def _subsets(annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the win rate in every part of the data, with its own interval and n."""
    parts: dict[str, list[float | None]] = {}
    for each in annotations:
        if each.get("dataset"):
            parts.setdefault(str(each["dataset"]), []).append(each["preference"])
    kept = ("win_rate", "standard_error", "low", "high", "n_total")
    found = {name: summarise(part) for name, part in sorted(parts.items())}
    return {name: {key: part[key] for key in kept} for name, part in found.items()}
