"""`evaluate sweep, check, suite, resume, show, stop, repeat`: runs, verdicts, exit codes."""

import argparse
import json
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, make_room
from cmc.commands.followed import (
    add_run_options,
    as_run,
    directly,
    evaluation_request,
    followed,
    run_here,
    shown,
    write_report,
)
from cmc.commands.options import add_command
from cmc.settings import CheckRequest, CoverSettings, JudgeSettings, SuiteRequest, SweepRequest


def add_evaluation_runs(evaluate: Any) -> None:
    """Add the commands to `evaluate`."""
    about = "strengths x targets x controllers"
    sweep = add_command(evaluate, "sweep", about, _sweep, shown(show_sweep))
    add_fields(sweep, SweepRequest, JudgeSettings, CoverSettings)
    check = add_command(evaluate, "check", "will a controller carry over?", _check,
                        shown(show_check))  # fmt: skip
    add_fields(check, CheckRequest, CoverSettings)
    suite = add_command(evaluate, "suite", "tests with expectations", _suite, shown(show_suite))
    suite.add_argument("suite", metavar="FILE", help="JSON with prompts and expectations")
    add_fields(suite, SuiteRequest, JudgeSettings, CoverSettings, but=("suite",))
    suite.set_defaults(is_failure=lambda report: bool(report.get("failed")))
    for command in (sweep, check, suite):
        add_run_options(command, "also write the report to this file")
    repeat = add_command(evaluate, "repeat", "repeat a report", _repeat, show_repeated)
    repeat.add_argument("report", metavar="REPORT", help="report file, or name of a run")
    repeat.set_defaults(is_failure=lambda report: not report["repeated"]["same"])
    repeat.add_argument("--out", default="", help="also write the report to this file")
    for name, about, work in (
        ("resume", "go on with an evaluation", _resume),
        ("show", "tell how an evaluation stands, and its report", _show),
        ("stop", "stop an evaluation that runs in the background; what it has is kept", _stop),
    ):
        command = add_command(evaluate, name, about, work, shown(show_report))
        # Not "run": that is what a command does.
        command.add_argument("of", metavar="RUN", help="name of the run, or its folder")
        if name == "resume":
            command.add_argument(
                "--queue", action="store_true", help="wait until no other run is going on"
            )


def _sweep(parsed: argparse.Namespace) -> dict[str, Any]:
    return as_run("sweep", evaluation_request(parsed, SweepRequest), parsed)


def _check(parsed: argparse.Namespace) -> dict[str, Any]:
    return directly("check", evaluation_request(parsed, CheckRequest), parsed)


def _suite(parsed: argparse.Namespace) -> dict[str, Any]:
    return directly("suite", evaluation_request(parsed, SuiteRequest), parsed)


def _resume(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc import runs

    run = _run(parsed)
    with runs.turn(run.folder) if parsed.queue else nullcontext():
        return run_here(run.folder, run.name)


def _show(parsed: argparse.Namespace) -> dict[str, Any]:
    run = _run(parsed)
    status = run.status()
    return {"run": run.name, "kind": run.kind, "state": status["state"],
            "message": status["message"], **run.report()}  # fmt: skip


def _stop(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc import runs

    run = _run(parsed)
    runs.stop(run)
    return {"run": run.name, "kind": run.kind, "state": "stopping"}


def _run(parsed: argparse.Namespace) -> Any:
    from cmc import runs

    folder = Path(parsed.of)
    return runs.Run(folder) if (folder / "settings.json").is_file() else runs.open_run(parsed.of)


def _repeat(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation.regressions import earlier_report
    from cmc.evaluation.repeat import repeat_report

    make_room(parsed.out)
    report = followed(repeat_report(earlier_report(parsed.report)))
    write_report(parsed.out, report)
    return report


def show_report(report: dict[str, Any]) -> None:
    """Print a report of any kind."""
    from cmc.commands.evaluate import show_transfer
    from cmc.commands.evaluate_alpaca import show_alpaca
    from cmc.commands.evaluate_forgetting import show_forgetting
    from cmc.commands.evaluate_tofu import show_tofu

    known = {"sweep": show_sweep, "check": show_check, "suite": show_suite}
    known |= {"transfer": show_transfer, "tofu": show_tofu, "alpaca": show_alpaca}
    known["forgetting"] = show_forgetting
    if report.get("kind") in known:
        known[report["kind"]](report)
    else:
        print(json.dumps(report, indent=1))


def show_sweep(report: dict[str, Any]) -> None:
    """Print a line per strength, then the recommendations."""
    for row in report.get("rows", ()):
        forget = row.get("forget")
        print(
            f"{row['controller']:13} {row['target']:13} {row['transfer']:8} {row['strength']:>5g}  "
            f"{row['score']:.3f} [{row['low']:.3f}, {row['high']:.3f}]  n={row['n']}  "
            f"{row['difference']:+.3f}"
            + (f"  forget {forget['score']:.3f} [{forget['low']:.3f}, {forget['high']:.3f}]"
               if forget else "")
        )  # fmt: skip
    for each in report.get("recommendations", ()):
        print(f"{each['controller']} on {each['target']}: {each['why']}")


def show_check(report: dict[str, Any]) -> None:
    """Print the parts of a check, and its verdict."""
    here, health = report["target_scores"], report["map"]
    print(f"map               {health['transfer']}, grade {health['grade']}")
    similarity, gain = report["shift_interval"], here["gain_interval"]
    print(f"shift similarity  {report['shift_similarity']:.3f} "
          f"[{similarity['low']:.3f}, {similarity['high']:.3f}], n={similarity['n']}")  # fmt: skip
    print(f"likelihood gain   {here['gain']:+.3f} [{gain['low']:+.3f}, {gain['high']:+.3f}] "
          f"nats per byte, n={here['n']}")  # fmt: skip
    for name, scores in (("target", here), ("template", report["template_scores"])):
        ends = scores["expected_interval"]
        print(f"expected answers  {scores['expected']:.3f} [{ends['low']:.3f}, {ends['high']:.3f}] "
              f"on the {name}, alone {scores['expected_alone']:.3f}, n={scores['n']}")  # fmt: skip
    print(report["verdict"])


def show_suite(report: dict[str, Any]) -> None:
    """Print the matrix of passes and failures, and what got worse."""
    for column in report["columns"]:
        print(f"{column['controller']} on {column['target']} by {column['transfer']}: "
              f"{column['passed']} passed, {column['failed']} failed")  # fmt: skip
        for test, reason in column["reasons"].items():
            print(f"  FAIL {test}: {reason}")
    compared = report["regressions"]
    for each in compared["regressions"] if compared else ():
        print(f"  WORSE than before: {each['test']} ({each['controller']} on {each['target']})")


def show_repeated(report: dict[str, Any]) -> None:
    """Print whether a report repeats."""
    found = report["repeated"]
    print("the same numbers" if found["same"] else "other numbers")
    for each in (*found["differences"], *(f"made from {each}" for each in found["changed"])):
        print(f"  {each}")
