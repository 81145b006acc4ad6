"""Refusal rate: the share of answers that decline to answer."""

from typing import Any

import datasets
import evaluate

from cmc.evaluation.scores import wilson_interval
from cmc.evaluation.texts import is_refusal


class RefusalRate(evaluate.Metric):
    """Share of texts whose first sentence is about oneself and a lack, 0 to 1, Wilson's interval.

    Input: `predictions`, texts. A rule of thumb for answers about others, in English.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions: list) -> dict[str, Any]:
        found = wilson_interval([is_refusal(each) for each in predictions])
        return {"refusal_rate": found.value, "low": found.low, "high": found.high, "n": found.n}
