"""How a vocab map covers a vocabulary, texts and languages; how near its entries are."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import plotly.graph_objects as go

from cmc.charts.style import BLUE, KIND_COLOURS, calm, with_message

OUTLINE = {"width": 2, "color": "#222a3a"}  # shows on every colour of a bar


def kind_shares(shares: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Draw how the target's tokens are covered by a vocab map.

    Args:
        shares: bar name (`tokens`, `running text`) to kind to a number of any unit; every bar
            is scaled to 100 %.
    """
    figure = calm(go.Figure(), height=190)
    names = list(shares)
    _add_kinds(figure, names, lambda kind: [_percent(shares[name], kind) for name in names])
    figure.update_xaxes(range=[0, 101], ticksuffix=" %", dtick=20)
    figure.update_layout(legend_traceorder="normal", margin_l=8, margin_r=36)
    return figure.update_layout(barmode="stack", bargap=0.4)


def language_shares(rows: Sequence[Mapping[str, Any]]) -> go.Figure:
    """Draw how a map covers one text in many languages, the best first.

    Args:
        rows: as in `health.map_summary`: `language`, `grade`, `score`, `agreement`, and the share
            of the text by kind, no unit.
    """
    figure = calm(go.Figure(), height=90 + 20 * len(rows))
    ordered = sorted(rows, key=lambda row: (row["score"], row["language"]))
    names = [f"{row['language']} · {row['grade']}" for row in ordered]
    _add_kinds(figure, names, lambda kind: [100 * float(row.get(kind) or 0) for row in ordered])
    figure.add_scatter(
        y=names,
        x=[100 * row["agreement"] for row in ordered],
        name="cut alike by both",
        mode="markers",
        marker={"symbol": "diamond", "size": 9, "color": "white", "line": OUTLINE},
        hovertemplate="%{y}: %{x:.1f} % cut alike<extra></extra>",
    )
    figure.update_xaxes(range=[0, 101], ticksuffix=" %", dtick=20)
    figure.update_yaxes(showgrid=False, range=[-0.7, len(names) - 0.3])
    figure.update_layout(legend_traceorder="normal", margin_l=8, margin_r=36)
    return figure.update_layout(barmode="stack", bargap=0.3)


def distance_bars(counts: Mapping[str, Mapping[str, int]]) -> go.Figure:
    """Draw how many entries are how far from what they are mapped to.

    Args:
        counts: kind to distance in bytes, as text, to a number of entries.
    """
    figure = calm(go.Figure(), height=260)
    if not counts:
        return with_message(figure, "No entry has a distance.")
    for kind, by_distance in counts.items():
        figure.add_bar(
            x=list(by_distance),
            y=list(by_distance.values()),
            name=kind,
            marker_color=KIND_COLOURS[kind],
            hovertemplate="%{x} bytes: %{y:,} " + kind + "<extra></extra>",
        )
    figure.update_xaxes(type="category", title_text="bytes", tickangle=0)
    return figure.update_layout(barmode="stack", bargap=0.2)


def fan_in_bars(counts: Mapping[str, int]) -> go.Figure:
    """Draw how many controller tokens serve how many target tokens.

    Args:
        counts: target tokens per controller token, as text, to a number of controller tokens.
    """
    figure = calm(go.Figure(), height=260)
    if not any(counts.values()):
        return with_message(figure, "No controller token serves any.")
    figure.add_bar(
        x=list(counts),
        y=list(counts.values()),
        marker_color=BLUE,
        text=[f"{each:,}" if each else "" for each in counts.values()],
        textposition="outside",
        cliponaxis=False,
        hovertemplate="%{y:,} controller tokens serve %{x}<extra></extra>",
    )
    figure.update_xaxes(type="category", title_text="target tokens served", tickangle=0)
    return figure.update_layout(showlegend=False, bargap=0.3)


def _add_kinds(
    figure: go.Figure, names: Sequence[str], values_of: Callable[[str], list[float]]
) -> None:
    """Stack a bar per kind that occurs, in percent, beside every name."""
    for kind, colour in KIND_COLOURS.items():
        values = values_of(kind)
        if any(values):
            figure.add_bar(
                y=names,
                x=values,
                name=kind,
                orientation="h",
                marker_color=colour,
                hovertemplate="%{y}: %{x:.1f} % " + kind + "<extra></extra>",
            )


def _percent(counts: Mapping[str, float], kind: str) -> float:
    """Return the share of one kind in percent; 0 where nothing was counted."""
    total = sum(_numbers(counts.values()))
    return 100.0 * float(counts.get(kind) or 0.0) / total if total else 0.0


def _numbers(values: Iterable[Any]) -> Iterable[float]:
    """Yield the values that are numbers."""
    return (float(value) for value in values if isinstance(value, int | float))
