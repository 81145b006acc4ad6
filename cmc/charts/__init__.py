"""Data frames in, Plotly figures out."""

from cmc.charts.evaluation import measure_dots, transfer_bars
from cmc.charts.style import MAX_POINTS, waiting
from cmc.charts.sweeps import check_bars, strength_lines, suite_matrix, trade_off
from cmc.charts.training import compared_curves, length_histogram, loss_curve, thinned
from cmc.charts.vocabulary import distance_bars, fan_in_bars, kind_shares, language_shares

__all__ = [
    "MAX_POINTS",
    "check_bars",
    "compared_curves",
    "distance_bars",
    "fan_in_bars",
    "kind_shares",
    "language_shares",
    "length_histogram",
    "loss_curve",
    "measure_dots",
    "strength_lines",
    "suite_matrix",
    "thinned",
    "trade_off",
    "transfer_bars",
    "waiting",
]
