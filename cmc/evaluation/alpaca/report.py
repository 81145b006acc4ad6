"""What annotations say: win rate with standard error and interval, lengths, who judged."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from cmc.evaluation.preferences import length_controlled, summarise
from cmc.evaluation.scores import bootstrap_interval
from cmc.evaluation.texts import distinct_n, is_refusal


def report_annotations(annotations: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """Return the win rate of output 2 against output 1, and what the texts are like.

    Args:
        annotations: in the published format, as `read_annotations` returns them.
    """
    outputs = [str(each["output_2"]) for each in annotations]
    lengths = np.array([len(each) for each in outputs], dtype=float)
    length = bootstrap_interval([lengths], np.mean)
    return {
        "kind": "alpaca",
        "model": _names(annotations, "generator_2"),
        "reference": _names(annotations, "generator_1"),
        "annotator": _names(annotations, "annotator"),
        **summarise([each["preference"] for each in annotations]),
        **length_controlled(annotations),
        "avg_length": length.value,
        "avg_length_interval": {"low": length.low, "high": length.high, "n": length.n},
        "distinct_2": distinct_n(outputs, 2),
        "refusal_rate": float(np.mean([is_refusal(each) for each in outputs])),
    }


def _names(annotations: Sequence[dict[str, Any]], key: str) -> str | None:
    found = sorted({str(each[key]) for each in annotations if each.get(key) is not None})
    return ", ".join(found) or None
