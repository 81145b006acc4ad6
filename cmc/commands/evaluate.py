"""`evaluate …`: reports, one command for each kind of evaluation."""

import argparse
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request, make_room
from cmc.commands.evaluate_alpaca import add_alpaca
from cmc.commands.evaluate_forgetting import add_forgetting
from cmc.commands.evaluate_lab import add_lab_table
from cmc.commands.evaluate_runs import add_evaluation_runs
from cmc.commands.evaluate_tofu import add_tofu
from cmc.commands.options import add_command, tell
from cmc.settings import CoverSettings, TransferRequest


def add_evaluate(commands: Any) -> None:
    """Add the evaluations."""
    evaluate = commands.add_parser("evaluate", help="reports").add_subparsers(required=True)
    transfer = add_command(
        evaluate, "transfer", "how much of a controller's effect arrives", _transfer, show_transfer
    )
    add_fields(transfer, TransferRequest, CoverSettings)
    transfer.add_argument("--out", default="", help="also write the report to this file")
    add_tofu(evaluate)
    add_alpaca(evaluate)
    add_evaluation_runs(evaluate)
    add_forgetting(evaluate)
    add_lab_table(evaluate)


def _transfer(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation import evaluate_transfer
    from cmc.store import place_of

    request = filled_request(TransferRequest, parsed, cover=filled_request(CoverSettings, parsed))
    request = replace(request, controller=place_of(request.controller))
    make_room(parsed.out)
    report: dict[str, Any] = {}
    for progress in evaluate_transfer(request):
        tell(f"{progress.done} of {progress.total}: {progress.message}")
        report = progress.report or report
    if parsed.out:
        Path(parsed.out).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return report


def show_transfer(report: dict[str, Any]) -> None:
    """Print the report, a line per target and transfer."""
    template = report["template"]
    print(
        f"{template['name']:14} {'':9} {template['exact_match']:.3f} "
        f"[{template['low']:.3f}, {template['high']:.3f}]  n={template['n']}  "
        f"base {template['base']:.3f}"
    )
    for row in report["rows"]:
        recovered = row["recovered_effect"]
        print(
            f"{row['target']:14} {row['transfer']:9} {row['exact_match']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}]  n={row['n']}  base {row['base']:.3f}  "
            f"recovered {'-' if recovered is None else format(recovered, '.3f')}"
        )
