"""AlpacaEval: how often a judge prefers a model's answers to a reference's."""

from cmc.evaluation.alpaca.files import read_annotations, read_outputs, write_list
from cmc.evaluation.alpaca.report import report_annotations
from cmc.evaluation.alpaca.run import evaluate_alpaca

__all__ = [
    "evaluate_alpaca",
    "read_annotations",
    "read_outputs",
    "report_annotations",
    "write_list",
]
