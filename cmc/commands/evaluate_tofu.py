"""`evaluate tofu`: forgetting and what is kept, of a model or from a published log."""

import argparse
from typing import Any

from cmc.arguments import add_fields, named_strengths
from cmc.commands.followed import add_run_options, evaluation_request, in_folder, shown
from cmc.commands.options import add_command
from cmc.errors import SettingError
from cmc.settings import CoverSettings, TofuRequest


def add_tofu(evaluate: Any) -> None:
    """Add `evaluate tofu`."""
    about = "how well something is forgotten and the rest kept"
    tofu = add_command(evaluate, "tofu", about, _tofu, shown(show_tofu))
    tofu.add_argument("--log", default="", help="read this log instead of asking a model")
    add_controllers(tofu, " and ".join(TofuRequest().controllers))
    add_fields(tofu, TofuRequest, CoverSettings)
    add_run_options(tofu, "a folder for log, report and what is kept to go on later")


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
    from cmc.evaluation.tofu import read_log, report_log

    if parsed.log:
        retain_log = read_log(parsed.retain_log) if parsed.retain_log else None
        report = report_log(read_log(parsed.log), retain_log)
        return {**report, "log": parsed.log, "retain_log": parsed.retain_log or None}
    request = evaluation_request(
        parsed, TofuRequest, controllers=given_controllers(parsed, TofuRequest)
    )
    return in_folder("tofu", request, parsed)


def show_tofu(report: dict[str, Any]) -> None:
    """Print the report, a line per split."""
    names = {"rouge": "ROUGE-L recall", "probability": "probability", "truth_ratio": "truth ratio"}
    for split, found in report["splits"].items():
        cells = "  ".join(f"{name} {_cell(found, part)}" for part, name in names.items())
        print(f"{split:13} {cells}  n={found['n']}")
    print(_utility(report))
    quality = report["forget_quality"]
    if quality is None:
        print(f"forget quality not available: {report['forget_quality_reason']}")
    else:
        reason = report["forget_quality_reason"]
        print(f"forget quality {quality:.4g}{f' ({reason})' if reason else ''}")
    _show_differences(report.get("differences"), names)


def _show_differences(found: dict[str, Any] | None, names: dict[str, str]) -> None:
    if not found:
        return
    print("difference to the base")
    for split, parts in found["splits"].items():
        cells = "  ".join(f"{name} {_signed(parts[part])}" for part, name in names.items())
        print(f"{split:13} {cells}")
    print(f"model utility {_signed(found['model_utility'])}")


def _signed(found: dict[str, Any] | None) -> str:
    if found is None:
        return "-" + 22 * " "
    return f"{found['value']:+.3f} [{found['low']:+.3f}, {found['high']:+.3f}]"


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
