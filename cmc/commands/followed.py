"""Do an evaluation: here, as a run that can be resumed, or in the background."""

import argparse
import json
from collections.abc import Callable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from cmc.arguments import filled_request, make_room
from cmc.commands.options import tell
from cmc.errors import SettingError
from cmc.settings import CoverSettings, JudgeSettings

NESTED = {"cover": CoverSettings, "judging": JudgeSettings}


def add_run_options(parser: argparse.ArgumentParser, out: str) -> None:
    """Add the options that say where an evaluation is done, and what is written."""
    parser.add_argument("--name", default="", help="of the run; `evaluate resume NAME` goes on")
    about = "start a run and return; `evaluate show NAME` tells of it"
    parser.add_argument("--background", action="store_true", help=about)
    parser.add_argument("--out", default="", help=out)


def evaluation_request(parsed: argparse.Namespace, kind: type, **more: Any) -> Any:
    """Fill a request and what is nested in it from the options."""
    names = {each.name for each in fields(kind)}
    nested = {name: filled_request(each, parsed) for name, each in NESTED.items() if name in names}
    return filled_request(kind, parsed, **nested, **more)


def directly(kind: str, request: Any, parsed: argparse.Namespace) -> dict[str, Any]:
    """Do an evaluation here and keep nothing of it but its report, or start it as a run."""
    from cmc.evaluation.kinds import KINDS

    if parsed.background or parsed.name:
        return as_run(kind, request, parsed)
    make_room(parsed.out)
    report = followed(KINDS[kind].evaluate(request))
    write_report(parsed.out, report)
    return report


def as_run(kind: str, request: Any, parsed: argparse.Namespace) -> dict[str, Any]:
    """Do an evaluation as a run, which goes on where it was after whatever ended it."""
    from cmc import runs
    from cmc.evaluation.places import with_places

    if parsed.background and parsed.out:
        raise SettingError(
            "both --background and --out are given",
            hint="Leave out --out; the report lies in the run's folder.",
        )
    make_room(parsed.out)
    request = with_places(request)
    if parsed.background:
        run = runs.start_evaluation(kind, request, name=parsed.name)
        return {"run": run.name, "kind": kind, "state": "running"}
    run = runs.new_evaluation(kind, request, name=parsed.name)
    report = run_here(run.folder, run.name)
    write_report(parsed.out, report)
    return report


def in_folder(
    kind: str, request: Any, parsed: argparse.Namespace, free: tuple[str, ...] = ()
) -> dict[str, Any]:
    """Do an evaluation as a run whose folder is `--out`, or goes on with the one that is there.

    Args:
        kind: a name of `cmc.evaluation.kinds.KINDS`.
        request: what to measure.
        parsed: the options.
        free: fields that may be others than those of the run that is there.

    Raises:
        SettingError: the folder holds another evaluation.
    """
    from cmc import runs
    from cmc.evaluation.kinds import stored_request
    from cmc.evaluation.places import with_places
    from cmc.training.folder import SETTINGS, read_json, write_json

    if not parsed.out:
        return as_run(kind, request, parsed)
    if parsed.background or parsed.name:
        raise SettingError(
            "--out is given with --background or --name", hint="Leave out --out, or the others."
        )
    folder, request = Path(parsed.out).expanduser(), with_places(request)
    folder.mkdir(parents=True, exist_ok=True)
    before = read_json(folder / SETTINGS)
    if before:
        is_same = before.get("kind") == kind and request == replace(
            stored_request(kind, before.get("request")),
            **{name: getattr(request, name) for name in free},
        )
        if not is_same:
            raise SettingError(
                f"{folder} holds what another request made",
                hint="Name another folder, or repeat the request that is in its settings.json.",
            )
    write_json(folder / SETTINGS, runs.stored(kind, request, folder.name))
    return run_here(folder, str(folder))


def run_here(folder: Path, name: str) -> dict[str, Any]:
    """Do what is missing of a run, and return its report; empty where it was stopped."""
    from cmc.evaluation.job import run_evaluation

    tell(f'run "{name}": `python -m cmc evaluate resume "{name}"` goes on after a stop')
    return {"run": name, **followed(run_evaluation(folder))}


def followed(steps: Iterator[Any]) -> dict[str, Any]:
    """Tell every measurement, and return the report; where it was stopped, nothing."""
    report: dict[str, Any] = {}
    for progress in steps:
        tell(f"{progress.done} of {progress.total}: {progress.message}")
        report = progress.report or report
    return report


def write_report(out: str, report: dict[str, Any]) -> None:
    """Write a report to a file, where one is named."""
    if out:
        Path(out).write_text(json.dumps(report, indent=1) + "\n", "utf-8")


def shown(show: Callable[[dict[str, Any]], None]) -> Callable[[dict[str, Any]], None]:
    """Return what prints a report, or how a run stands that has none yet."""

    def print_report(report: dict[str, Any]) -> None:
        if "run" in report and set(report) <= {"run", "kind", "state", "message"}:
            print(f'run "{report["run"]}" is {report.get("state", "stopped")}')
        else:
            show(report)

    return print_report
