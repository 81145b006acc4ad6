"""Data frames in, Plotly figures out."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pandas as pd
import plotly.graph_objects as go

# Told apart by colour-blind people, and legible on a light and on a dark page.
BLUE, ORANGE, GREEN, PURPLE, RED, GREY = (
    "#4f7cff",
    "#e8833a",
    "#1f9d7a",
    "#a06bd6",
    "#d5545c",
    "#8b95a7",
)
TRANSFER_COLOURS = {"cover": BLUE, "pm-mined": ORANGE, "same": GREEN}
KIND_COLOURS = {
    "exact": GREEN,
    "prefix": BLUE,
    "extension": PURPLE,
    "composed": ORANGE,
    "role": GREY,
    "none": RED,
}
INK = "#7c8799"  # text that reads on white and on near black
GRID = "rgba(128, 140, 160, 0.22)"
MAX_POINTS = 400  # per curve; a browser draws this many without a pause


def loss_curve(records: pd.DataFrame) -> go.Figure:
    """Draw the loss of one run in nats per token against the step.

    Args:
        records: columns `step`, `loss` and, where they were measured,
            `held_out_controlled` and `held_out_template`; may be empty.
    """
    figure = _calm(go.Figure(), height=300)
    if records.empty:
        return _with_message(figure, "The loss appears here with the first step.")
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
        ("held_out_template", "held out, base", GREY, "dash"),
    ):
        steps, values = thinned(records, column)
        if values:
            line = {"color": colour, "width": 2.5, "dash": dash}
            figure.add_scatter(x=steps, y=values, name=name, mode="lines+markers", line=line)
    figure.update_xaxes(title_text="step", rangemode="tozero")
    figure.update_yaxes(title_text="loss (nats per token)")
    return figure


def transfer_bars(rows: Sequence[Mapping[str, Any]], template: Mapping[str, Any]) -> go.Figure:
    """Draw exact match per target and transfer, with 95 % intervals.

    Args:
        rows: `target, transfer, exact_match, low, high` and, where known, `base` and
            `finetuned`; all scores from 0 to 1.
        template: the template under control: `exact_match`; may be empty.
    """
    figure = _calm(go.Figure(), height=340)
    frame = pd.DataFrame([dict(row) for row in rows])
    if frame.empty:
        return _with_message(figure, "Run an evaluation to see it here.")
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


def kind_shares(shares: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Draw how the target's tokens are covered by a vocab map.

    Args:
        shares: bar name (`tokens`, `running text`) to kind to a number of any unit; every bar
            is scaled to 100 %.
    """
    figure = _calm(go.Figure(), height=190)
    names = list(shares)
    for kind, colour in KIND_COLOURS.items():
        values = [_percent(shares[name], kind) for name in names]
        if any(values):
            figure.add_bar(
                y=names,
                x=values,
                name=kind,
                orientation="h",
                marker_color=colour,
                hovertemplate="%{y}: %{x:.1f} % " + kind + "<extra></extra>",
            )
    figure.update_xaxes(range=[0, 101], ticksuffix=" %", dtick=20)
    figure.update_layout(legend_traceorder="normal", margin_l=8, margin_r=36)
    return figure.update_layout(barmode="stack", bargap=0.4)


def thinned(records: pd.DataFrame, column: str) -> tuple[list[int], list[float]]:
    """Return at most `MAX_POINTS` measured steps and values of a column; keeps the last one."""
    if column not in records:
        return [], []
    known = records[["step", column]].dropna()
    stride = -(-len(known) // MAX_POINTS) or 1
    kept = known.iloc[::-stride].iloc[::-1]
    return kept["step"].astype(int).tolist(), kept[column].astype(float).tolist()


def _add_marks(figure: go.Figure, frame: pd.DataFrame, column: str, name: str, symbol: str) -> None:
    """Mark one further score per target, if the frame has it."""
    if column not in frame or frame[column].isna().all():
        return
    once = frame.dropna(subset=[column]).drop_duplicates("target")
    marker = {"symbol": symbol, "size": 13, "color": INK, "line": {"width": 2.5, "color": INK}}
    figure.add_scatter(
        x=once["target"].tolist(), y=once[column].tolist(), name=name, mode="markers", marker=marker
    )


def _percent(counts: Mapping[str, float], kind: str) -> float:
    """Return the share of one kind in percent; 0 where nothing was counted."""
    total = sum(_numbers(counts.values()))
    return 100.0 * float(counts.get(kind) or 0.0) / total if total else 0.0


def _numbers(values: Iterable[Any]) -> Iterable[float]:
    """Yield the values that are numbers."""
    return (float(value) for value in values if isinstance(value, int | float))


def _calm(figure: go.Figure, height: int) -> go.Figure:
    """Take away everything that is not data, and let the page's colour through."""
    legend = {"orientation": "h", "y": 1.02, "yanchor": "bottom", "x": 0, "title": ""}
    figure.update_layout(
        template="none",
        height=height,
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        font={"family": "system-ui, sans-serif", "size": 13, "color": INK},
        margin={"l": 64, "r": 16, "t": 36, "b": 44},
        legend=legend,
        hovermode="closest",
    )
    shared = {"zeroline": False, "automargin": True, "title_font_size": 13}
    figure.update_xaxes(showgrid=False, linecolor=GRID, **shared)
    return figure.update_yaxes(gridcolor=GRID, **shared)


def _with_message(figure: go.Figure, text: str) -> go.Figure:
    """Say in an empty chart what will be there."""
    figure.update_xaxes(visible=False).update_yaxes(visible=False)
    return figure.add_annotation(text=text, showarrow=False, font={"size": 14, "color": INK})
