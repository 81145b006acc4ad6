"""`evaluate forgetting`: methods x targets, what is forgotten and what stays."""

import argparse
from typing import Any

from cmc.arguments import add_fields
from cmc.commands.followed import add_run_options, as_run, evaluation_request, shown
from cmc.commands.options import add_command, tell
from cmc.settings import CoverSettings, ForgettingRequest


def add_forgetting(evaluate: Any) -> None:
    """Add `evaluate forgetting`."""
    about = "train with several objectives; what is forgotten and what stays, on every target"
    command = add_command(evaluate, "forgetting", about, _forgetting, shown(show_forgetting))
    add_fields(command, ForgettingRequest, CoverSettings)
    add_run_options(command, "also write the report to this file")


def _forgetting(parsed: argparse.Namespace) -> dict[str, Any]:
    request = evaluation_request(parsed, ForgettingRequest)
    if not request.controllers:
        tell(f"training with {', '.join(request.objectives)}, unless that was done before …")
    return as_run("forgetting", request, parsed)


def show_forgetting(report: dict[str, Any]) -> None:
    """Print a line per method and target: recall of what must go, must stay, and of the rest."""
    for row in report.get("rows", ()):
        strength = "none" if row["strength"] is None else f"{row['strength']:g}"
        cells = [f"{each} {_cell(row[each])}" for each in ("forget", "retain", "other")]
        print(f"{row['method']:10} {row['target']:13} {row['transfer'] or '':6} "
              f"at {strength:5} {'  '.join(cells)}  {row['reached']}")  # fmt: skip


def _cell(score: dict[str, Any]) -> str:
    return f"{score['score']:.2f} [{score['low']:.2f}, {score['high']:.2f}] n={score['n']}"
