"""`evaluate alpaca`: win rates, of a model's answers or from published annotations."""

import argparse
import json
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request
from cmc.commands.evaluate_tofu import add_controllers, given_controllers
from cmc.commands.options import add_command, tell
from cmc.settings import STARTER_CONTROLLER, AlpacaRequest, CoverSettings, JudgeSettings


def add_alpaca(evaluate: Any) -> None:
    """Add `evaluate alpaca`."""
    about = "how often a judge prefers the answers to a reference's"
    alpaca = add_command(evaluate, "alpaca", about, _alpaca, show_alpaca)
    alpaca.add_argument("--annotations", default="", help="read these instead of asking a model")
    alpaca.add_argument("--model", default="", help="whose win rate; by default that of output 2")
    add_controllers(alpaca, STARTER_CONTROLLER)
    add_fields(alpaca, AlpacaRequest, JudgeSettings, CoverSettings)


def _alpaca(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation.alpaca import evaluate_alpaca, read_annotations, report_annotations

    if parsed.annotations:
        report = report_annotations(read_annotations(parsed.annotations, parsed.model))
        return {**report, "annotations": parsed.annotations}
    request = filled_request(
        AlpacaRequest, parsed, controllers=given_controllers(parsed, AlpacaRequest),
        judging=filled_request(JudgeSettings, parsed), cover=filled_request(CoverSettings, parsed),
    )  # fmt: skip
    said = ""
    for progress in evaluate_alpaca(request):
        # Verdicts come one by one; a line for each would hide what happens.
        if progress.message != said or progress.done % 50 == 0 or progress.report:
            tell(f"{progress.done} of {progress.total}: {progress.message}")
        said = progress.message
    text = json.dumps(progress.report, indent=1, ensure_ascii=False)
    (Path(request.out).expanduser() / "report.json").write_text(text + "\n", "utf-8")
    return progress.report


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
    bias = report.get("position_bias")
    if bias:
        print(
            f"leaning to the answer shown first {bias['first_shown']:.2f} "
            f"[{bias['low']:.2f}, {bias['high']:.2f}], n={bias['n']} (0.5: it minds no order)"
        )
    for each in report.get("missing", ()):
        print(f"missing {each['n']}: {each['reason']}")
