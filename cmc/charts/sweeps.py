"""What sweeps, checks and suites found."""

from collections.abc import Mapping
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from cmc.charts.style import BLUE, COLOURS, GREEN, GREY, INK, RED, calm, with_message

HARM = "rgba(213, 84, 92, 0.14)"
METRIC_NAMES = {
    "exact_match": "exact match",
    "win_rate": "win rate against the base",
    "forget": "recall of the rest",
}


def strength_lines(report: Mapping[str, Any]) -> go.Figure:
    """Draw the score against the strength, with intervals, the recommended strength and harm.

    Args:
        report: of a sweep: `rows`, `recommendations`, `metric`.
    """
    figure = calm(go.Figure(), height=360)
    frame = pd.DataFrame(list(report.get("rows") or []))
    if frame.empty:
        return with_message(figure, "Run a sweep to see it here.")
    pairs = frame.groupby(["controller", "target"], sort=False)
    advised = {(each["controller"], each["target"]): each
               for each in report.get("recommendations") or []}  # fmt: skip
    for number, (pair, group) in enumerate(pairs):
        colour = COLOURS[number % len(COLOURS)]
        name = pair[1] if frame["controller"].nunique() == 1 else " on ".join(pair)
        _add_line(figure, group.sort_values("strength"), name, colour)
        _add_advice(figure, advised.get(pair) or {}, name, colour)
    if len(advised) == 1:  # of several pairs the regions would cover each other
        for low, high in next(iter(advised.values()))["harm"]:
            half = 0.05 if low == high else 0.0
            figure.add_vrect(low - half, high + half, fillcolor=HARM, line_width=0,
                             annotation_text="harm", annotation_font_color=RED)  # fmt: skip
    figure.update_xaxes(title_text="strength")
    title = METRIC_NAMES.get(str(report.get("metric")), "score")
    return figure.update_yaxes(title_text=title, range=[-0.02, 1.05], tickformat=".1f")


def trade_off(report: Mapping[str, Any]) -> go.Figure:
    """Draw what is forgotten against what is kept: one curve per pair, one point per strength.

    Args:
        report: of a sweep with `forget` in its rows; up and to the left is better.
    """
    figure = calm(go.Figure(), height=360)
    rows = [each for each in report.get("rows") or [] if each.get("forget")]
    if not rows:
        return with_message(figure, "Sweep with the metric forget to see the trade-off here.")
    frame = pd.DataFrame([each | {"forgets": each["forget"]["score"]} for each in rows])
    for number, (pair, group) in enumerate(frame.groupby(["controller", "target"], sort=False)):
        group = group.sort_values("strength")
        advised = [each["strength"] for each in report.get("recommendations") or []
                   if (each["controller"], each["target"]) == pair]  # fmt: skip
        stars = ["star" if strength in advised else "circle" for strength in group["strength"]]
        sizes = [15 if symbol == "star" else 8 for symbol in stars]
        figure.add_scatter(
            x=group["forgets"].tolist(), y=group["score"].tolist(),
            name=pair[1] if frame["controller"].nunique() == 1 else " on ".join(pair),
            mode="lines+markers+text", text=[f"{each:g}" for each in group["strength"]],
            textposition="top center", textfont={"size": 11, "color": INK},
            marker={"symbol": stars, "size": sizes},
            line={"color": COLOURS[number % len(COLOURS)], "width": 2},
        )  # fmt: skip
    figure.update_xaxes(title_text="recall of what is to be forgotten", range=[-0.04, 1.08])
    return figure.update_yaxes(title_text="recall of the rest", range=[-0.04, 1.12])


def suite_matrix(report: Mapping[str, Any]) -> go.Figure:
    """Draw passes and failures: tests downwards, targets and controllers across."""
    columns = report.get("columns") or []
    tests = list(report.get("tests") or [])
    figure = calm(go.Figure(), height=110 + 30 * max(3, len(tests)))
    if not columns:
        return with_message(figure, "Run a suite to see it here.")
    heads = [f"{each['controller']}<br>{each['target']}" for each in columns]
    passed = [[int(each["results"].get(test, 0)) for each in columns] for test in tests]
    reasons = [[each["reasons"].get(test, "passed") for each in columns] for test in tests]
    figure.add_heatmap(
        z=passed, x=heads, y=tests, customdata=reasons, zmin=0, zmax=1, showscale=False,
        colorscale=[[0, RED], [1, GREEN]], xgap=3, ygap=3, opacity=0.85,
        text=[["✓" if each else "✕" for each in row] for row in passed], texttemplate="%{text}",
        hovertemplate="%{y}<br>%{x}<br>%{customdata}<extra></extra>",
    )  # fmt: skip
    figure.update_xaxes(side="top")
    return figure.update_yaxes(autorange="reversed")


def check_bars(report: Mapping[str, Any]) -> go.Figure:
    """Draw how probable the expected answers are, alone and under control, on both models."""
    figure = calm(go.Figure(), height=260)
    sides = {"template": "template_scores", str(report.get("target", "target")): "target_scores"}
    if any(name not in report for name in sides.values()):
        return with_message(figure, "Run a check to see it here.")
    for name, key, colour in (("alone", "expected_alone", GREY), ("controlled", "expected", BLUE)):
        figure.add_bar(
            x=list(sides), y=[report[part][key] for part in sides.values()], name=name,
            marker_color=colour,
        )  # fmt: skip
    figure.update_yaxes(title_text="probability of the answer", range=[0, 1.05], tickformat=".1f")
    return figure.update_layout(barmode="group", bargap=0.45)


def _add_line(figure: go.Figure, group: pd.DataFrame, name: str, colour: str) -> None:
    figure.add_scatter(
        x=group["strength"].tolist(), y=group["score"].tolist(), name=str(name),
        mode="lines+markers", line={"color": colour, "width": 2}, marker={"size": 7},
        error_y={
            "array": (group["high"] - group["score"]).tolist(),
            "arrayminus": (group["score"] - group["low"]).tolist(),
            "color": colour, "width": 3, "thickness": 1,
        },
    )  # fmt: skip


def _add_advice(figure: go.Figure, advice: Mapping[str, Any], name: str, colour: str) -> None:
    """Mark the recommended strength with a star on its line."""
    if advice.get("strength") is None:
        return
    figure.add_scatter(
        x=[advice["strength"]], y=[advice["score"]], mode="markers", showlegend=False,
        name=f"{name}: recommended",
        marker={"symbol": "star", "size": 17, "color": colour, "line": {"width": 1, "color": INK}},
    )  # fmt: skip
