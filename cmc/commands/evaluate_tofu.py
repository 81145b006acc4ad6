"""`evaluate tofu`: forgetting and what is kept, from a published log."""

import argparse
from typing import Any

from cmc.commands.options import add_command


def add_tofu(evaluate: Any) -> None:
    """Add `evaluate tofu`."""
    about = "how well something is forgotten and the rest kept"
    tofu = add_command(evaluate, "tofu", about, _tofu, show_tofu)
    tofu.add_argument("--log", default="", help="read this log, or the folder it lies in")
    tofu.add_argument("--retain-log", default="", help="of a model that never saw the forget set")


def _tofu(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation.tofu import read_log, report_log

    retain_log = read_log(parsed.retain_log) if parsed.retain_log else None
    report = report_log(read_log(parsed.log), retain_log)
    return {**report, "log": parsed.log, "retain_log": parsed.retain_log or None}


def show_tofu(report: dict[str, Any]) -> None:
    """Print the report, a line per split."""
    for split, found in report["splits"].items():
        cells = [_cell(found, part) for part in ("rouge", "probability", "truth_ratio")]
        names = ("ROUGE-L recall", "probability", "truth ratio")
        shown = "  ".join(f"{name} {cell}" for name, cell in zip(names, cells, strict=True))
        print(f"{split:13} {shown}  n={found['n']}")
    print(_utility(report))
    quality = report["forget_quality"]
    if quality is None:
        print(f"forget quality not available: {report['forget_quality_reason']}")
    else:
        reason = report["forget_quality_reason"]
        print(f"forget quality {quality:.4g}{f' ({reason})' if reason else ''}")


def _cell(found: dict[str, Any], part: str) -> str:
    if found[part] is None:
        return "-" + 20 * " "
    interval = found["intervals"][part]
    return f"{found[part]:.3f} [{interval['low']:.3f}, {interval['high']:.3f}]"


def _utility(report: dict[str, Any]) -> str:
    utility, interval = report["model_utility"], report["model_utility_interval"]
    if utility is None:
        present = report["model_utility_of_present"]
        shown = "" if present is None else f"; of the others it is {present:.4f}"
        return f"model utility not available: {report['model_utility_reason']}{shown}"
    if interval is None:
        return f"model utility {utility:.4f} ({report['model_utility_reason']})"
    low, high = interval["low"], interval["high"]
    return f"model utility {utility:.4f} [{low:.4f}, {high:.4f}]  n={interval['n']}"
