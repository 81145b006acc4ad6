"""Data frames in, Plotly figures out."""

from cmc.charts.evaluation import transfer_bars
from cmc.charts.style import MAX_POINTS
from cmc.charts.training import loss_curve, thinned
from cmc.charts.vocabulary import kind_shares

__all__ = ["MAX_POINTS", "kind_shares", "loss_curve", "thinned", "transfer_bars"]
