"""Distinct-n: the share of n-grams that differ from one another."""

from typing import Any

import datasets
import evaluate

from cmc.evaluation.texts import distinct_interval, distinct_n


class DistinctN(evaluate.Metric):
    """Different n-grams of words over all n-grams, 0 to 1; texts of similar length compare.

    Input: `predictions`, texts; `n`, words per gram, 2 by default. The interval is a jackknife's.
    Source: Li et al., NAACL 2016.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions: list, n: int = 2) -> dict[str, Any]:
        low, high = distinct_interval(predictions, n)
        return {
            "distinct_n": distinct_n(predictions, n), "low": low, "high": high,
            "n": len(predictions),
        }  # fmt: skip
