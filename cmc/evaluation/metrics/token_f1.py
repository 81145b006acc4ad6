"""Token F1: how far answers and references share their words."""

from typing import Any

import datasets
import evaluate
import numpy as np

from cmc.evaluation.scores import mean_interval
from cmc.evaluation.texts import token_f1


class TokenF1(evaluate.Metric):
    """Harmonic mean of precision and recall of shared words, mean of the items, 0 to 1.

    Inputs: `predictions` and `references`, texts; case, punctuation and articles do not count.
    Source: Rajpurkar et al., SQuAD, EMNLP 2016.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features(
                {"predictions": datasets.Value("string"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list, references: list) -> dict[str, Any]:
        pairs = zip(predictions, references, strict=True)
        found = mean_interval(np.array([float(token_f1(*each)) for each in pairs]))
        return {"token_f1": found.value, "low": found.low, "high": found.high, "n": found.n}
