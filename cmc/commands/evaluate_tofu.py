"""`evaluate tofu`: forgetting and what is kept, of a model or from a published log."""

import argparse
import json
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request, named_strengths
from cmc.commands.options import add_command, tell
from cmc.errors import SettingError
from cmc.settings import CoverSettings, TofuRequest


def add_tofu(evaluate: Any) -> None:
    """Add `evaluate tofu`."""
    about = "how well something is forgotten and the rest kept"
    tofu = add_command(evaluate, "tofu", about, _tofu, show_tofu)
    tofu.add_argument("--log", default="", help="read this log instead of asking a model")
    add_controllers(tofu, " and ".join(TofuRequest().controllers))
    add_fields(tofu, TofuRequest, CoverSettings)
    tofu.add_argument("--out", default="", help="a folder for log and report")


def add_controllers(parser: argparse.ArgumentParser, default: str) -> None:
    """Add the options that name controllers with their strengths, or none."""
    parser.add_argument(
        "--controller", action="append", metavar="NAME[:STRENGTH]",
        help=f"give it several times to sum several; {default} by default",
    )  # fmt: skip
    parser.add_argument("--strength", action="append", help="of each controller, in their order")
    parser.add_argument("--base", action="store_true", help="the target alone, without controller")


def given_controllers(parsed: argparse.Namespace, kind: type) -> dict[str, Any]:
    """Return the controllers a person named, none for the base, or those of the request."""
    if parsed.base:
        if parsed.controller:
            raise SettingError(
                "both --base and --controller are given", hint="Give one of the two."
            )
        return {}
    if parsed.controller is None and not parsed.strength:
        return dict(kind().controllers)
    return named_strengths(parsed.controller or list(kind().controllers), parsed.strength)


def _tofu(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation.tofu import evaluate_tofu, read_log, report_log, write_log

    if parsed.log:
        retain_log = read_log(parsed.retain_log) if parsed.retain_log else None
        report = report_log(read_log(parsed.log), retain_log)
        return {**report, "log": parsed.log, "retain_log": parsed.retain_log or None}
    request = filled_request(
        TofuRequest, parsed, controllers=given_controllers(parsed, TofuRequest),
        cover=filled_request(CoverSettings, parsed),
    )  # fmt: skip
    if parsed.out:
        Path(parsed.out).mkdir(parents=True, exist_ok=True)
    for progress in evaluate_tofu(request):
        tell(f"{progress.done} of {progress.total}: {progress.message}")
    if parsed.out:
        write_log(parsed.out, progress.log, progress.report)
        text = json.dumps(progress.report, indent=1, ensure_ascii=False)
        (Path(parsed.out) / "report.json").write_text(text + "\n", "utf-8")
    return progress.report


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
