"""How trainings go: losses against the step; and how long what they learn from is."""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from cmc.charts.style import (
    BLUE,
    GREEN,
    GREY,
    MAX_POINTS,
    ORANGE,
    PURPLE,
    RED,
    calm,
    with_message,
)

RUN_COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED, GREY)
BINS = 40


def loss_curve(records: pd.DataFrame) -> go.Figure:
    """Draw the loss of one run in nats per token against the step.

    Args:
        records: columns `step`, `loss` and, where they were measured,
            `held_out_controlled`, `held_out_template` and `held_out_target`; may be empty.
    """
    figure = calm(go.Figure(), height=300)
    if records.empty:
        return with_message(figure, "The loss appears here with the first step.")
    steps, loss = thinned(records, "loss")
    figure.add_scatter(
        x=steps,
        y=loss,
        name="training",
        mode="lines",
        line={"color": BLUE, "width": 1},
        opacity=0.35,
    )
    figure.add_scatter(
        x=steps, y=_smooth(loss), name="training, smoothed", line={"color": BLUE, "width": 2.5}
    )
    for column, name, colour, dash in (
        ("held_out_controlled", "held out, controlled", ORANGE, "solid"),
        ("held_out_target", "held out, target that is watched", GREEN, "solid"),
        ("held_out_template", "held out, base", GREY, "dash"),
    ):
        steps, values = thinned(records, column)
        if values:
            line = {"color": colour, "width": 2.5, "dash": dash}
            figure.add_scatter(x=steps, y=values, name=name, mode="lines+markers", line=line)
    figure.update_xaxes(title_text="step", rangemode="tozero")
    figure.update_yaxes(title_text="loss (nats per token)")
    return figure


def compared_curves(runs: Mapping[str, pd.DataFrame]) -> go.Figure:
    """Draw the losses of several runs over each other, one colour a run.

    Args:
        runs: per name the records as `loss_curve` takes them; the smoothed training loss is
            thin, the held-out loss of template and controller thick and marked.
    """
    figure = calm(go.Figure(), height=300)
    for number, (name, records) in enumerate(runs.items()):
        colour = RUN_COLOURS[number % len(RUN_COLOURS)]
        steps, loss = thinned(records, "loss")
        line = {"color": colour, "width": 1.5}
        figure.add_scatter(
            x=steps, y=_smooth(loss), name=name, mode="lines", line=line, legendgroup=name,
            hovertemplate=f"{name}, training: %{{y:.3f}} at step %{{x}}<extra></extra>",
        )  # fmt: skip
        steps, held_out = thinned(records, "held_out_controlled")
        if held_out:
            figure.add_scatter(
                x=steps, y=held_out, name=f"{name}, held out", mode="lines+markers",
                line={"color": colour, "width": 3}, legendgroup=name,
                hovertemplate=f"{name}, held out: %{{y:.3f}} at step %{{x}}<extra></extra>",
            )  # fmt: skip
    figure.update_xaxes(title_text="step", rangemode="tozero")
    figure.update_yaxes(title_text="loss (nats per token)")
    return figure


def length_histogram(lengths: Sequence[int], limit: int) -> go.Figure:
    """Draw how many records have how many tokens, and where they are cut.

    Args:
        lengths: tokens of prompt and answer, one per record; may be empty.
        limit: tokens a record may have.
    """
    figure = calm(go.Figure(), height=200)
    if not lengths:
        return with_message(figure, "The lengths of the records appear here.")
    longest = max(lengths)
    width = max(1, -(-longest // BINS))
    edges = np.arange(0, longest + width + 1, width)
    counts, _ = np.histogram(lengths, edges)
    said = [f"{a} to {b - 1} tokens" for a, b in pairwise(edges.tolist())]
    over = edges[:-1] > limit
    figure.add_bar(
        x=(edges[:-1] + width / 2).tolist(), y=counts.tolist(), width=width * 0.92,
        marker_color=[ORANGE if each else BLUE for each in over], customdata=said,
        hovertemplate="%{customdata}: %{y} records<extra></extra>", showlegend=False,
    )  # fmt: skip
    if longest > limit * 0.5:
        figure.add_vline(limit, line={"color": ORANGE, "dash": "dash"})
        figure.add_annotation(
            x=limit, y=1, yref="paper", text=f"limit {limit:,}", showarrow=False, xanchor="left",
            yanchor="bottom",
        )  # fmt: skip
    figure.update_xaxes(title_text="tokens of prompt and answer", rangemode="tozero")
    figure.update_yaxes(title_text="records")
    return figure


def _smooth(values: list[float]) -> list[float]:
    return pd.Series(values, dtype=float).ewm(span=max(2, len(values) // 15)).mean().tolist()


def thinned(records: pd.DataFrame, column: str) -> tuple[list[int], list[float]]:
    """Return at most `MAX_POINTS` measured steps and values of a column; keeps the last one."""
    if column not in records:
        return [], []
    known = records[["step", column]].dropna()
    stride = -(-len(known) // MAX_POINTS) or 1
    kept = known.iloc[::-stride].iloc[::-1]
    return kept["step"].astype(int).tolist(), kept[column].astype(float).tolist()
