"""Probability of answers, as TOFU measures it."""

from typing import Any

import datasets
import evaluate
import numpy as np

from cmc.evaluation.scores import mean_interval
from cmc.evaluation.tofu.formulas import answer_probability


class AnswerProbability(evaluate.Metric):
    """Geometric mean of the answer's token probabilities, `exp(-loss)`, mean of the items, 0 to 1.

    Inputs: `predictions`, the answers' losses, nats per token, end token included. With
    `references`, a list of the wrong answers' losses per item, each probability is divided by the
    sum of all, as for real authors and world facts; leave the lists empty for none.
    Source: Maini et al., TOFU, COLM 2024.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features(
                {
                    "predictions": datasets.Value("float64"),
                    "references": datasets.Sequence(datasets.Value("float64")),
                }
            ),
        )

    def _compute(self, predictions: list, references: list) -> dict[str, Any]:
        right = answer_probability(predictions)
        wrong = [float(answer_probability(each).sum()) for each in references]
        normalised = right / (right + np.array(wrong)) if any(map(len, references)) else right
        found = mean_interval(normalised)
        return {"probability": found.value, "low": found.low, "high": found.high, "n": found.n}
