"""`evaluate lab`: the starter lab in one table, win rates and forgetting."""

import argparse
from typing import Any

from cmc.arguments import add_fields
from cmc.commands.followed import evaluation_request, followed
from cmc.commands.options import add_command
from cmc.settings import JudgeSettings, LabTableRequest


def add_lab_table(evaluate: Any) -> None:
    """Add `evaluate lab`."""
    about = "win rates and forgetting of the lab's models at several strengths"
    add_fields(add_command(evaluate, "lab", about, _lab, show_lab), LabTableRequest, JudgeSettings)


def _lab(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation.lab_table import evaluate_lab

    return followed(evaluate_lab(evaluation_request(parsed, LabTableRequest)))


def show_lab(report: dict[str, Any]) -> None:
    """Print the two tables, a line per model and strength."""
    print(f"win rate of the controlled answers in %, judged by {report['judge']}")
    for row in report["rows"]:
        rates = [
            f"{found['win_rate']:5.1f} [{found['low']:5.1f}, {found['high']:5.1f}]"
            for found in (row["against_base"], row["against_finetuned"])
        ]
        print(
            f"{row['target']:13} strength {row['strength']:<4g} against base {rates[0]}  "
            f"against fine-tuned {rates[1]}  n={row['against_base']['n_total']}"
        )
    print("\nforgetting: probability of the answers, truth ratio, model utility")
    for row in report["rows"]:
        splits = row["forgetting"]["splits"]
        cells = [f"{s} {_cell(splits[s], 'probability')}" for s in ("forget", "retain")]
        print(
            f"{row['target']:13} strength {row['strength']:<4g} {'  '.join(cells)}  "
            f"truth {_cell(splits['forget'], 'truth_ratio')}  "
            f"utility {_utility(row['forgetting'])}"
        )


def _cell(split: dict[str, Any], part: str) -> str:
    interval = split["intervals"][part]
    return f"{split[part]:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]"


def _utility(found: dict[str, Any]) -> str:
    interval = found["model_utility_interval"]
    return (
        f"{found['model_utility']:.2f} [{interval['low']:.2f}, {interval['high']:.2f}]  "
        f"n={found['splits']['forget']['n']}+{interval['n']}"
    )
