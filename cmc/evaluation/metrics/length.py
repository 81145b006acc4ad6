"""Length of answers in characters and words."""

from typing import Any

import datasets
import evaluate
import numpy as np

from cmc.evaluation.scores import bootstrap_interval


class Length(evaluate.Metric):
    """Mean number of characters and of words, from 0 up, bootstrap intervals.

    Input: `predictions`, texts. AlpacaEval prints the characters.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features({"predictions": datasets.Value("string")}),
        )

    def _compute(self, predictions: list) -> dict[str, Any]:
        sizes = {"characters": len, "words": lambda text: len(text.split())}
        report: dict[str, Any] = {"n": len(predictions)}
        for name, size in sizes.items():
            values = np.array([size(each) for each in predictions], dtype=float)
            found = bootstrap_interval([values], np.mean)
            report |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        return report
