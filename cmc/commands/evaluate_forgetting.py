"""`evaluate forgetting`: methods x targets, what is forgotten and what stays."""

import argparse
from typing import Any

from cmc.arguments import add_fields, filled_request, make_room
from cmc.commands.evaluate_runs import followed
from cmc.commands.options import add_command, tell
from cmc.settings import CoverSettings, ForgettingRequest


def add_forgetting(evaluate: Any) -> None:
    """Add `evaluate forgetting`."""
    about = "train with several objectives; what is forgotten and what stays, on every target"
    command = add_command(evaluate, "forgetting", about, _forgetting, show_forgetting)
    add_fields(command, ForgettingRequest, CoverSettings)
    command.add_argument("--name", default="", help="of the run; `evaluate resume NAME` goes on")
    command.add_argument("--out", default="", help="also write the report to this file")


def _forgetting(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc import runs
    from cmc.evaluation.job import run_evaluation

    cover = filled_request(CoverSettings, parsed)
    request = filled_request(ForgettingRequest, parsed, cover=cover)
    make_room(parsed.out)
    run = runs.new_evaluation("forgetting", request, name=parsed.name)
    tell(f'run "{run.name}": `python -m cmc evaluate resume "{run.name}"` goes on after a stop')
    if not request.controllers:
        tell(f"training with {', '.join(request.objectives)}, unless that was done before …")
    return {"run": run.name, **followed(run_evaluation(run.folder), parsed.out)}


def show_forgetting(report: dict[str, Any]) -> None:
    """Print a line per method and target: recall of what must go, must stay, and of the rest."""
    for row in report.get("rows", ()):
        strength = "none" if row["strength"] is None else f"{row['strength']:g}"
        cells = [f"{each} {_cell(row[each])}" for each in ("forget", "retain", "other")]
        print(f"{row['method']:10} {row['target']:13} {row['transfer'] or '':6} "
              f"at {strength:5} {'  '.join(cells)}  {row['reached']}")  # fmt: skip


def _cell(score: dict[str, Any]) -> str:
    return f"{score['score']:.2f} [{score['low']:.2f}, {score['high']:.2f}] n={score['n']}"
