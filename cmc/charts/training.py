"""How a training goes: the loss against the step."""

import pandas as pd
import plotly.graph_objects as go

from cmc.charts.style import BLUE, GREEN, GREY, MAX_POINTS, ORANGE, calm, with_message


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
    smooth = pd.Series(loss).ewm(span=max(2, len(loss) // 15)).mean()
    figure.add_scatter(
        x=steps, y=smooth.tolist(), name="training, smoothed", line={"color": BLUE, "width": 2.5}
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


def thinned(records: pd.DataFrame, column: str) -> tuple[list[int], list[float]]:
    """Return at most `MAX_POINTS` measured steps and values of a column; keeps the last one."""
    if column not in records:
        return [], []
    known = records[["step", column]].dropna()
    stride = -(-len(known) // MAX_POINTS) or 1
    kept = known.iloc[::-stride].iloc[::-1]
    return kept["step"].astype(int).tolist(), kept[column].astype(float).tolist()
