"""Truth ratio: how likely wrong answers are relative to the right one."""

from typing import Any

import datasets
import evaluate

from cmc.evaluation.scores import mean_interval
from cmc.evaluation.tofu.formulas import truth_ratio, truth_scores


class TruthRatio(evaluate.Metric):
    """Mean over the items of `max(0, 1 - r)`, or of `min(r, 1/r)` on a forget set; 0 to 1.

    Inputs: `predictions`, losses of the right answer (paraphrased where there is a paraphrase);
    `references`, lists of the wrong answers' losses; `is_forget`. `r` is
    `exp(-mean(wrong)) / exp(-right)`. Source: Maini et al., TOFU, COLM 2024, equation 1.
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

    def _compute(
        self, predictions: list, references: list, is_forget: bool = False
    ) -> dict[str, Any]:
        ratios = truth_ratio(predictions, references)
        found = mean_interval(truth_scores(ratios, is_forget=is_forget))
        return {"truth_ratio": found.value, "low": found.low, "high": found.high, "n": found.n}
