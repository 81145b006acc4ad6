"""Evaluations as the app shows them: names a person knows, what is measured so far, comparisons."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cmc import runs
from cmc.evaluation.examples import Example, examples_of
from cmc.evaluation.measures import Change, changes, measures_of
from cmc.evaluation.regressions import compare_suites
from cmc.evaluation.repeat import compare_reports
from cmc.evaluation.sweep import rows_so_far
from cmc.training.folder import SETTINGS, read_json
from cmc.workspace.evaluations import open_evaluation, repeated_run
from cmc.workspace.offers import SUITES, evaluation_runs

if TYPE_CHECKING:
    from cmc.workspace import Workspace

SHIPPED = "(shipped with the lab)"  # no run can have this name


@dataclass(frozen=True)
class Compared:
    """A report beside an earlier one.

    Attributes:
        changes: the figures that both have.
        tests: of suites: what `compare_suites` says; None for other kinds.
        worse, better: answers to the same question with a lower, a higher score than before.
    """

    changes: Sequence[Change]
    tests: Mapping[str, Any] | None
    worse: Sequence[tuple[Example, Example]]  # before and after
    better: Sequence[tuple[Example, Example]]


def report_of(workspace: "Workspace", run: runs.Run) -> dict[str, Any]:
    """Return the report of a run; of a sweep that goes on, with the rows that are measured."""
    report = run.report()
    if not report:
        asked = asked_of(run)
        found = {each["key"]: each.get("found") or {} for each in run.records()}
        report = {"kind": run.kind, "is_partial": True, "provenance": {
            "request": asked}}  # fmt: skip
        if run.kind == "sweep":
            report["metric"] = report["provenance"]["request"].get("metric", "")
            report["rows"] = rows_so_far(found)
    return readable(workspace, report)


def asked_of(run: runs.Run) -> dict[str, Any]:
    """Return what an evaluation was asked for; empty where its settings cannot be read."""
    asked = read_json(run.folder / SETTINGS).get("request")
    return asked if isinstance(asked, dict) else {}


def examples_in(workspace: "Workspace", run: runs.Run) -> list[Example]:
    """Return the examples of a run, base and controlled beside each other."""
    return examples_of(readable(workspace, run.records()))


def reports_to_compare(workspace: "Workspace", run: runs.Run) -> list[str]:
    """Return the names of the finished runs of the same kind, newest first."""
    others = (each for each in evaluation_runs(workspace) if each.name != run.name)
    return [each.name for each in others if each.kind == run.kind and each.report()]


def compared_with(workspace: "Workspace", run: runs.Run, earlier: str) -> Compared:
    """Compare a run with an earlier one.

    Raises:
        RunError: there is no such evaluation.
    """
    other = open_evaluation(workspace, earlier)
    before, after = (report_of(workspace, each) for each in (other, run))
    is_suite = after["kind"] == "suite" and before["kind"] == "suite"
    tests = compare_suites(after.get("columns") or [], before) if is_suite else None
    pairs = _paired(examples_in(workspace, other), examples_in(workspace, run))
    return Compared(
        changes(measures_of(before), measures_of(after)),
        tests,
        [(one, now) for one, now in pairs if now.score < one.score],
        [(one, now) for one, now in pairs if now.score > one.score],
    )


def repetition(workspace: "Workspace", run: runs.Run) -> dict[str, Any] | None:
    """Return what came of repeating a run, as `compare_reports` says it; None for other runs."""
    name = repeated_run(run)
    if not name or not run.report():
        return None
    original = next((each for each in evaluation_runs(workspace) if each.name == name), None)
    if original is None or not original.report():
        return {"run": name, "same": None, "differences": [], "changed": []}
    return {"run": name} | compare_reports(original.report(), run.report())


def readable(workspace: "Workspace", value: Any) -> Any:
    """Return JSON in which folders of this home stand as the names a person gave them."""
    home = re.escape(str(workspace.home.resolve()))
    versions = str(SUITES.parents[1])
    patterns = (
        (re.compile(rf"{home}/runs/([^/]+)/controller(?=$|[\s/])"), rf"{runs.RUN_PREFIX}\1"),
        (re.compile(rf"{home}/runs/([^/]+)/report\.json"), r"\1"),
        (re.compile(rf"{home}/uploads/[^/]{{1,16}}-"), ""),
        (re.compile(rf"{home}/"), ""),
        (re.compile(rf"{re.escape(versions)}/"), ""),
    )
    return _renamed(value, patterns)


def _renamed(value: Any, patterns: Sequence[tuple[re.Pattern[str], str]]) -> Any:
    if isinstance(value, str):
        if "/" in value:
            for pattern, name in patterns:
                value = pattern.sub(name, value)
        return value
    if isinstance(value, Mapping):
        return {_renamed(k, patterns): _renamed(each, patterns) for k, each in value.items()}
    if isinstance(value, list | tuple):
        return [_renamed(each, patterns) for each in value]
    return value


def _paired(before: Sequence[Example], after: Sequence[Example]) -> list[tuple[Example, Example]]:
    """Pair scored answers to the same question, of the same controller or another version of it.

    As with `changes`: where a controller is missing in the earlier run, the only one that was
    asked there in the same way stands for it.
    """
    asked: dict[tuple[Any, ...], dict[str, Example]] = {}
    for each in before:
        if each.score is not None:
            asked.setdefault(_asked(each), {}).setdefault(each.controller, each)
    pairs = []
    for now in after:
        same = asked.get(_asked(now), {})
        one = same.get(now.controller) or (next(iter(same.values())) if len(same) == 1 else None)
        if one is not None and now.score is not None:
            pairs.append((one, now))
    return pairs


def _asked(example: Example) -> tuple[Any, ...]:
    return example.question, example.target, example.transfer, example.strength
