"""How a vocab map covers a vocabulary and a text."""

from collections.abc import Iterable, Mapping
from typing import Any

import plotly.graph_objects as go

from cmc.charts.style import KIND_COLOURS, calm


def kind_shares(shares: Mapping[str, Mapping[str, float]]) -> go.Figure:
    """Draw how the target's tokens are covered by a vocab map.

    Args:
        shares: bar name (`tokens`, `running text`) to kind to a number of any unit; every bar
            is scaled to 100 %.
    """
    figure = calm(go.Figure(), height=190)
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


def _percent(counts: Mapping[str, float], kind: str) -> float:
    """Return the share of one kind in percent; 0 where nothing was counted."""
    total = sum(_numbers(counts.values()))
    return 100.0 * float(counts.get(kind) or 0.0) / total if total else 0.0


def _numbers(values: Iterable[Any]) -> Iterable[float]:
    """Yield the values that are numbers."""
    return (float(value) for value in values if isinstance(value, int | float))
