"""TOFU: how well a model forgets some authors and keeps the rest."""

from cmc.evaluation.tofu.items import TofuLog
from cmc.evaluation.tofu.logs import read_log
from cmc.evaluation.tofu.report import report_log
from cmc.evaluation.tofu.run import evaluate_tofu
from cmc.evaluation.tofu.writing import write_log

__all__ = ["TofuLog", "evaluate_tofu", "read_log", "report_log", "write_log"]
