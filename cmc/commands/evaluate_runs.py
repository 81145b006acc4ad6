"""`evaluate sweep, check, suite, resume, repeat`: cells that are kept, verdicts, exit codes."""

import argparse
import json
from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request, make_room
from cmc.commands.options import add_command, tell
from cmc.settings import CheckRequest, CoverSettings, SuiteRequest, SweepRequest

REQUESTS = {"sweep": SweepRequest, "check": CheckRequest, "suite": SuiteRequest}


def add_evaluation_runs(evaluate: Any) -> None:
    """Add the commands to `evaluate`."""
    sweep = add_command(evaluate, "sweep", "strengths x targets x controllers", _sweep, show_sweep)
    add_fields(sweep, SweepRequest, CoverSettings)
    sweep.add_argument("--name", default="", help="of the run; `evaluate resume NAME` goes on")
    check = add_command(evaluate, "check", "will a controller carry over?", _direct, show_check)
    add_fields(check, CheckRequest, CoverSettings)
    suite = add_command(evaluate, "suite", "tests with expectations", _direct, show_suite)
    suite.add_argument("suite", metavar="FILE", help="JSON with prompts and expectations")
    add_fields(suite, SuiteRequest, CoverSettings, but=("suite",))
    for command, kind in ((check, "check"), (suite, "suite")):
        command.set_defaults(kind=kind)
    suite.set_defaults(is_failure=lambda report: bool(report["failed"]))
    resume = add_command(evaluate, "resume", "go on with an evaluation", _resume, show_report)
    resume.add_argument("run", metavar="RUN", help="name of the run, or its folder")
    resume.add_argument("--queue", action="store_true", help="wait until no other run is going on")
    repeat = add_command(evaluate, "repeat", "repeat a report", _repeat, show_repeated)
    repeat.add_argument("report", metavar="REPORT", help="report file, or name of a run")
    repeat.set_defaults(is_failure=lambda report: not report["repeated"]["same"])
    for command in (sweep, check, suite, repeat):
        command.add_argument("--out", default="", help="also write the report to this file")


def _request(parsed: argparse.Namespace, kind: str) -> Any:
    return filled_request(REQUESTS[kind], parsed, cover=filled_request(CoverSettings, parsed))


def _sweep(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc import runs
    from cmc.evaluation.job import run_evaluation

    request = _request(parsed, "sweep")
    make_room(parsed.out)
    run = runs.new_evaluation("sweep", request, name=parsed.name)
    tell(f'run "{run.name}": `python -m cmc evaluate resume "{run.name}"` goes on after a stop')
    return {"run": run.name, **_followed(run_evaluation(run.folder), parsed.out)}


def _direct(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation.kinds import KINDS

    request = _request(parsed, parsed.kind)
    make_room(parsed.out)
    return _followed(KINDS[parsed.kind].evaluate(request), parsed.out)


def _resume(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc import runs

    folder = Path(parsed.run)
    run = runs.Run(folder) if (folder / "settings.json").is_file() else runs.open_run(parsed.run)
    with runs.turn(run.folder) if parsed.queue else nullcontext():
        from cmc.evaluation.job import run_evaluation  # needs memory: when its turn has come

        return {"run": run.name, **_followed(run_evaluation(run.folder), "")}


def _repeat(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.evaluation.regressions import earlier_report
    from cmc.evaluation.repeat import repeat_report

    make_room(parsed.out)
    return _followed(repeat_report(earlier_report(parsed.report)), parsed.out)


def _followed(steps: Iterator[Any], out: str) -> dict[str, Any]:
    """Tell every measurement, and return the report; where it was stopped, nothing."""
    report: dict[str, Any] = {}
    for progress in steps:
        tell(f"{progress.done} of {progress.total}: {progress.message}")
        report = progress.report or report
    if out:
        Path(out).write_text(json.dumps(report, indent=1) + "\n", "utf-8")
    return report


def show_report(report: dict[str, Any]) -> None:
    """Print a report of any kind."""
    from cmc.commands.evaluate import show_transfer

    shown = {"sweep": show_sweep, "check": show_check, "suite": show_suite}
    shown["transfer"] = show_transfer
    if report.get("kind") in shown:
        shown[report["kind"]](report)
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
    print(f"shift similarity  {report['shift_similarity']:.3f}")
    print(f"likelihood gain   {here['gain']:+.3f} nats per byte, n={here['n']}")
    print(f"expected answers  {here['expected']:.3f}, alone {here['expected_alone']:.3f}, "
          f"template {report['template_scores']['expected']:.3f}")  # fmt: skip
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
