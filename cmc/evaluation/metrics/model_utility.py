"""Model utility: what a model still knows of what it should keep."""

from typing import Any

import datasets
import evaluate
import numpy as np

from cmc.evaluation.scores import bootstrap_interval
from cmc.evaluation.tofu.formulas import model_utility


class ModelUtility(evaluate.Metric):
    """Harmonic mean of the sub-metrics' means, 0 to 1; 0 as soon as one of them is.

    Inputs: `predictions`, values of single items, 0 to 1; `references`, the sub-metric each
    belongs to, such as `retain rouge`. TOFU has nine: probability, ROUGE and truth ratio of retain,
    real authors and world facts. Source: Maini et al., TOFU, COLM 2024.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("string")}
            ),
        )

    def _compute(self, predictions: list, references: list) -> dict[str, Any]:
        names, values = np.array(references), np.array(predictions)
        parts = [values[names == name] for name in dict.fromkeys(references)]
        found = bootstrap_interval(
            parts, lambda *drawn: model_utility([each.mean() for each in drawn])
        )
        return {"model_utility": found.value, "low": found.low, "high": found.high, "n": found.n}
