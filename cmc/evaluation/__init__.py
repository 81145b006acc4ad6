"""Exact match with intervals, and how much of a controller's effect arrives on a target."""

from cmc.evaluation.answers import Answer, ask
from cmc.evaluation.transfer import TransferProgress, evaluate_transfer, fitting_transfers

__all__ = ["Answer", "TransferProgress", "ask", "evaluate_transfer", "fitting_transfers"]
