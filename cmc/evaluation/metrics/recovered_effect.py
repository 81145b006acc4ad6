"""Recovered effect: how much of the template's gain a target has by control."""

from typing import Any

import datasets
import evaluate

from cmc.evaluation.shifts import recovered_effect


class RecoveredEffect(evaluate.Metric):
    """(controlled - base) / (template controlled - template base), no unit; 1 is all of it.

    Inputs: `predictions` and `references`, scores of every question, 0 to 1, of the target under
    control and alone; `template_controlled` and `template_base`, the template's on the same
    questions. None where the template gains nothing.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features(
                {"predictions": datasets.Value("float64"), "references": datasets.Value("float64")}
            ),
        )

    def _compute(
        self,
        predictions: list,
        references: list,
        template_controlled: list,
        template_base: list,
    ) -> dict[str, Any]:
        found = recovered_effect(predictions, references, template_controlled, template_base)
        if found is None:
            return {"recovered_effect": None, "low": None, "high": None, "n": len(predictions)}
        return {
            "recovered_effect": found.value, "low": found.low, "high": found.high, "n": found.n,
        }  # fmt: skip
