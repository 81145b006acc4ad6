"""`evaluate alpaca`: win rates, from published annotations."""

import argparse
from typing import Any

from cmc.commands.options import add_command


def add_alpaca(evaluate: Any) -> None:
    """Add `evaluate alpaca`."""
    about = "how often a judge prefers the answers to a reference's"
    alpaca = add_command(evaluate, "alpaca", about, _alpaca, show_alpaca)
    alpaca.add_argument("--annotations", default="", help="read a judge's annotations")
    alpaca.add_argument("--model", default="", help="whose win rate; by default that of output 2")


def _alpaca(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation.alpaca import read_annotations, report_annotations

    report = report_annotations(read_annotations(parsed.annotations, parsed.model))
    return {**report, "annotations": parsed.annotations}


def show_alpaca(report: dict[str, Any]) -> None:
    """Print the report."""
    print(f"{report['model']} against {report['reference']}, judged by {report['annotator']}")
    if report["win_rate"] is None:
        print(f"no win rate: none of {report['n_missing']} answers was judged")
    else:
        error = report["standard_error"]
        shown = "" if error is None else f", standard error {error:.2f}"
        print(
            f"win rate {report['win_rate']:.2f} % [{report['low']:.2f}, {report['high']:.2f}]"
            f"{shown}, n={report['n_total']} ({report['n_wins']} won, {report['n_draws']} drawn, "
            f"{report['n_wins_base']} lost, {report['n_missing']} without a verdict)"
        )
    controlled = report["length_controlled_win_rate"]
    reason = report["length_controlled_reason"]
    print(f"length-controlled {f'not available: {reason}' if controlled is None else controlled}")
    print(
        f"{report['avg_length']:.0f} characters on average, distinct-2 {report['distinct_2']:.3f}"
    )
