"""What evaluations found."""

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

from cmc.charts.style import COLOURS, GREY, INK, TRANSFER_COLOURS, calm, with_message


def transfer_bars(rows: Sequence[Mapping[str, Any]], template: Mapping[str, Any]) -> go.Figure:
    """Draw exact match per target and transfer, with 95 % intervals.

    Args:
        rows: `target, transfer, exact_match, low, high` and, where known, `base` and
            `finetuned`; all scores from 0 to 1.
        template: the template under control: `exact_match`; may be empty.
    """
    figure = calm(go.Figure(), height=340)
    frame = pd.DataFrame([dict(row) for row in rows])
    if frame.empty:
        return with_message(figure, "Run an evaluation to see it here.")
    for transfer, group in frame.groupby("transfer", sort=True):
        up, down = group["high"] - group["exact_match"], group["exact_match"] - group["low"]
        figure.add_bar(
            x=group["target"].tolist(),
            y=group["exact_match"].tolist(),
            name=str(transfer),
            marker_color=TRANSFER_COLOURS.get(str(transfer), GREY),
            error_y={"array": up.tolist(), "arrayminus": down.tolist(), "color": INK, "width": 4},
        )
    _add_marks(figure, frame, "base", "target alone", "line-ew-open")
    _add_marks(figure, frame, "finetuned", "target fine-tuned", "diamond-open")
    if template.get("exact_match") is not None:
        text = f"template under control {template['exact_match']:.2f}"
        line = {"color": INK, "width": 1.5, "dash": "dash"}
        figure.add_hline(y=template["exact_match"], line=line, annotation_text=text)
        figure.update_annotations(font={"color": INK, "size": 12})
    figure.update_xaxes(categoryorder="array", categoryarray=list(dict.fromkeys(frame["target"])))
    figure.update_yaxes(title_text="exact match", range=[0, 1.05], tickformat=".1f")
    return figure.update_layout(barmode="group", bargap=0.35)


def measure_dots(frame: pd.DataFrame) -> go.Figure:
    """Draw figures as dots with their 95 % intervals, the base beside each as a tick.

    Args:
        frame: `name, value, low, high, base, controller, target`, one row per figure, top first.
    """
    figure = calm(
        go.Figure(), height=110 + 30 * max(3, frame["name"].nunique() if len(frame) else 0)
    )
    if frame.empty:
        return with_message(figure, "Run an evaluation to see it here.")
    for number, (who, group) in enumerate(frame.groupby(["controller", "target"], sort=False)):
        known = group.fillna({"low": group["value"], "high": group["value"]})
        figure.add_scatter(
            x=known["value"].tolist(), y=known["name"].tolist(), mode="markers",
            name=" on ".join(filter(None, who)), marker={"size": 9, "color": COLOURS[number % 6]},
            error_x={
                "array": (known["high"] - known["value"]).tolist(),
                "arrayminus": (known["value"] - known["low"]).tolist(), "width": 3, "thickness": 1,
            },
        )  # fmt: skip
    based = frame.dropna(subset=["base"])
    if len(based):
        line = {"width": 2.5, "color": INK}
        marker = {"symbol": "line-ns-open", "size": 13, "color": INK, "line": line}
        figure.add_scatter(
            x=based["base"].tolist(), y=based["name"].tolist(), mode="markers", name="base",
            marker=marker,
        )  # fmt: skip
    figure.update_xaxes(showgrid=True)
    return figure.update_yaxes(autorange="reversed", showgrid=False)


def _add_marks(figure: go.Figure, frame: pd.DataFrame, column: str, name: str, symbol: str) -> None:
    """Mark one further score per target, if the frame has it."""
    if column not in frame or frame[column].isna().all():
        return
    once = frame.dropna(subset=[column]).drop_duplicates("target")
    marker = {"symbol": symbol, "size": 13, "color": INK, "line": {"width": 2.5, "color": INK}}
    figure.add_scatter(
        x=once["target"].tolist(), y=once[column].tolist(), name=name, mode="markers", marker=marker
    )
