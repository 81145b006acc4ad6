"""Shift similarity: how alike two models change their token scores."""

from typing import Any

import datasets
import evaluate
import numpy as np

from cmc.evaluation.scores import bootstrap_interval
from cmc.evaluation.shifts import js_divergence, kl_divergence, shift_sinkhorn


class ShiftSimilarity(evaluate.Metric):
    """KL (nats), JS (bits, 0 to 1) and Sinkhorn divergence of two models' shifts; 0 is alike.

    Inputs: `predictions` and `references`, per position the change of every token's
    log-probability in nats, in one vocabulary. A constant per position changes nothing.
    Source: the comparison of Wu et al., Cross-model Control, NeurIPS 2024.
    """

    def _info(self) -> evaluate.MetricInfo:
        return evaluate.MetricInfo(
            description=type(self).__doc__,
            citation="",
            features=datasets.Features(
                {
                    "predictions": datasets.Sequence(datasets.Value("float64")),
                    "references": datasets.Sequence(datasets.Value("float64")),
                }
            ),
        )

    def _compute(self, predictions: list, references: list) -> dict[str, Any]:
        one, other = np.array(predictions, dtype=float), np.array(references, dtype=float)
        report: dict[str, Any] = {"n": len(one), "sinkhorn": shift_sinkhorn(one, other)}
        for name, divergence in (("kl", kl_divergence), ("js", js_divergence)):
            found = bootstrap_interval([divergence(one, other)], np.mean)
            report |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        return report
