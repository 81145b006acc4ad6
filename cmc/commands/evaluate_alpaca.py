"""`evaluate alpaca`: win rates, of a model's answers or from published annotations."""

import argparse
from typing import Any

from cmc.arguments import add_fields
from cmc.commands.evaluate_tofu import add_controllers, given_controllers
from cmc.commands.followed import add_run_options, evaluation_request, in_folder, shown
from cmc.commands.options import add_command
from cmc.settings import STARTER_CONTROLLER, AlpacaRequest, CoverSettings, JudgeSettings


def add_alpaca(evaluate: Any) -> None:
    """Add `evaluate alpaca`."""
    about = "how often a judge prefers the answers to a reference's"
    alpaca = add_command(evaluate, "alpaca", about, _alpaca, shown(show_alpaca))
    alpaca.add_argument("--annotations", default="", help="read these instead of asking a model")
    alpaca.add_argument("--model", default="", help="whose win rate; by default that of output 2")
    add_controllers(alpaca, STARTER_CONTROLLER)
    add_fields(alpaca, AlpacaRequest, JudgeSettings, CoverSettings)
    add_run_options(alpaca, "a folder for outputs, annotations, report and what is kept to go on")


def _alpaca(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation.alpaca import read_annotations, report_annotations

    if parsed.annotations:
        report = report_annotations(read_annotations(parsed.annotations, parsed.model))
        return {**report, "annotations": parsed.annotations}
    request = evaluation_request(
        parsed, AlpacaRequest, controllers=given_controllers(parsed, AlpacaRequest)
    )
    # Another judge, or another number of questions, may use the answers that are there.
    return in_folder("alpaca", request, parsed, free=("judging", "limit"))


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
    length, distinct = report["avg_length_interval"], report["distinct_2_interval"]
    print(
        f"{report['avg_length']:.0f} [{length['low']:.0f}, {length['high']:.0f}] characters on "
        f"average, distinct-2 {report['distinct_2']:.3f} [{distinct['low']:.3f}, "
        f"{distinct['high']:.3f}], n={length['n']}"
    )
    bias = report.get("position_bias")
    if bias:
        print(
            f"leaning to the answer shown first {bias['first_shown']:.2f} "
            f"[{bias['low']:.2f}, {bias['high']:.2f}], n={bias['n']} (0.5: it minds no order)"
        )
    for each in report.get("missing", ()):
        print(f"missing {each['n']}: {each['reason']}")
