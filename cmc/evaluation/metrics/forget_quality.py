"""Forget quality: is a model to be told from one that never saw the forget set?"""

from typing import Any

import datasets
import evaluate

from cmc.evaluation.tofu.formulas import forget_quality


class ForgetQuality(evaluate.Metric):
    """p-value of the two-sample Kolmogorov-Smirnov test, 0 (surely different) to 1 (alike).

    Inputs: `predictions`, the model's truth ratios on the forget set; `retain_ratios`, those of a
    model that never saw it. Exact up to 10,000 items; a p-value has no interval, `statistic` is
    the largest distance of the two distribution functions. Without retain ratios there is none:
    None, never 0. Source: Maini et al., TOFU, COLM 2024, section 2.2.3.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features({"predictions": datasets.Value("float64")}),
        )

    def _compute(self, predictions: list, retain_ratios: list | None = None) -> dict[str, Any]:
        if not retain_ratios:
            return {"forget_quality": None, "statistic": None, "n": len(predictions)}
        quality, statistic = forget_quality(predictions, retain_ratios)
        return {
            "forget_quality": quality, "statistic": statistic, "n": len(predictions),
            "n_retain": len(retain_ratios),
        }  # fmt: skip
