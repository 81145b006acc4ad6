"""Win rate with standard error, as AlpacaEval counts."""

from typing import Any

import datasets
import evaluate

from cmc.evaluation.preferences import checked_preference, summarise


class WinRate(evaluate.Metric):
    """`100 * mean(preference - 1)` in percent, 0 to 100; draws count half.

    Input: `predictions`, preferences from 1 (the reference is better) to 2 (the model is); 1.5 and
    0 are draws, NaN a missing verdict. Source: Li et al., AlpacaEval, 2023.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features({"predictions": datasets.Value("float64")}),
        )

    def _compute(self, predictions: list) -> dict[str, Any]:
        return summarise([checked_preference(each) for each in predictions])
