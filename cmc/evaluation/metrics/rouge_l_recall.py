"""ROUGE-L recall of answers, stemmed, as TOFU measures it."""

from typing import Any

import datasets
import evaluate
import numpy as np

from cmc.evaluation.scores import mean_interval
from cmc.evaluation.texts import rouge_l_recall


class RougeLRecall(evaluate.Metric):
    """Share of the reference's words that an answer has in their order, mean of the items, 0 to 1.

    Inputs: `predictions` and `references`, texts. Longest common subsequence of stemmed words
    over the reference's words. Source: Lin, ROUGE, 2004, by `rouge_score`.
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
        found = mean_interval(np.array([float(rouge_l_recall(*each)) for each in pairs]))
        return {"rouge_l_recall": found.value, "low": found.low, "high": found.high, "n": found.n}
