"""`evaluate …`: reports, one command for each kind of evaluation."""

import argparse
from dataclasses import replace
from typing import Any

from cmc.arguments import add_fields
from cmc.commands.evaluate_alpaca import add_alpaca
from cmc.commands.evaluate_forgetting import add_forgetting
from cmc.commands.evaluate_lab import add_lab_table
from cmc.commands.evaluate_runs import add_evaluation_runs
from cmc.commands.evaluate_tofu import add_tofu
from cmc.commands.followed import add_run_options, directly, evaluation_request, shown
from cmc.commands.options import add_command
from cmc.settings import CoverSettings, TransferRequest


def add_evaluate(commands: Any) -> None:
    """Add the evaluations."""
    evaluate = commands.add_parser("evaluate", help="reports").add_subparsers(required=True)
    transfer = add_command(
        evaluate, "transfer", "how much of a controller's effect arrives", _transfer,
        shown(show_transfer),
    )  # fmt: skip
    add_fields(transfer, TransferRequest, CoverSettings)
    add_run_options(transfer, "also write the report to this file")
    add_tofu(evaluate)
    add_alpaca(evaluate)
    add_evaluation_runs(evaluate)
    add_forgetting(evaluate)
    add_lab_table(evaluate)


def _transfer(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store import place_of

    request = evaluation_request(parsed, TransferRequest)
    return directly("transfer", replace(request, controller=place_of(request.controller)), parsed)


def show_transfer(report: dict[str, Any]) -> None:
    """Print the report, a line per target and transfer."""
    template = report["template"]
    print(
        f"{template['name']:14} {'':9} {template['exact_match']:.3f} "
        f"[{template['low']:.3f}, {template['high']:.3f}]  n={template['n']}  "
        f"base {template['base']:.3f}"
    )
    for row in report["rows"]:
        recovered, ends = row["recovered_effect"], row.get("recovered_interval")
        within = f" [{ends['low']:.3f}, {ends['high']:.3f}]" if ends else ""
        print(
            f"{row['target']:14} {row['transfer']:9} {row['exact_match']:.3f} "
            f"[{row['low']:.3f}, {row['high']:.3f}]  n={row['n']}  base {row['base']:.3f}  "
            f"recovered {'-' if recovered is None else format(recovered, '.3f')}{within}"
        )
