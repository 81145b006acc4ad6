"""TOFU: how well a model forgets some authors and keeps the rest."""

from cmc.evaluation.tofu.logs import TofuLog, read_log
from cmc.evaluation.tofu.report import report_log

__all__ = ["TofuLog", "read_log", "report_log"]
