"""Exact match of answers, white space aside."""

from typing import Any

import datasets
import evaluate

from cmc.evaluation.scores import exact_match, wilson_interval


class ExactMatch(evaluate.Metric):
    """Share of answers that are the expected text, white space aside, 0 to 1, Wilson's interval.

    Inputs: `predictions` and `references`, texts.
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
        found = wilson_interval([exact_match(*each) for each in pairs])
        return {"exact_match": found.value, "low": found.low, "high": found.high, "n": found.n}
