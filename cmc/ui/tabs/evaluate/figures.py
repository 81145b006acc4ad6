"""The charts of a report, by its kind."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from cmc import charts
from cmc.evaluation.measures import measures_of

MOST = 24  # figures in one chart of dots
NAMES = ("name", "value", "low", "high", "base", "controller", "target")


def figures_of(
    report: Mapping[str, Any], about: Mapping[str, Mapping[str, Any]]
) -> list[go.Figure]:
    """Return the charts of a report, the one that answers its question first; at most two.

    Args:
        report: of any kind; empty where there is none.
        about: what the lab says about its models; a chart marks their fine-tuned scores.
    """
    kind = report.get("kind")
    if kind == "sweep":
        lines = charts.strength_lines(report)
        return [charts.trade_off(report), lines] if report.get("metric") == "forget" else [lines]
    if kind == "check" and not report.get("is_partial"):
        return [charts.check_bars(report)]
    if kind == "suite":
        return [charts.suite_matrix(report)]
    if kind in ("transfer", None):
        return [_transfer(report, about)]
    measures = measures_of(report)
    # One axis has one unit: that of the first figure, which stands behind the comma of its name.
    unit = measures[0].name.partition(",")[2] if measures else ""
    same = [asdict(each) for each in measures if each.name.partition(",")[2] == unit]
    return [charts.measure_dots(pd.DataFrame(same[:MOST], columns=NAMES))]


def _transfer(report: Mapping[str, Any], about: Mapping[str, Mapping[str, Any]]) -> go.Figure:
    rows = [
        {**row, "finetuned": about.get(row["target"], {}).get("finetuned_score")}
        for row in report.get("rows") or []
    ]
    return charts.transfer_bars(rows, report.get("template") or {})
