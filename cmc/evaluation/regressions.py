"""What a suite fails now that it passed in an earlier report."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from cmc import runs
from cmc.data.json_files import read_json
from cmc.errors import CmcError, DataError


def earlier_report(place: str) -> dict[str, Any]:
    """Return a report by its file, or by the name of the run that made it.

    Raises:
        DataError: there is none, or it is none of a suite.
    """
    path = Path(place).expanduser()
    if not path.is_file():
        try:
            path = runs.open_run(place).folder / runs.REPORT
        except CmcError:
            path = Path(place)
    report = read_json(path)
    if not isinstance(report, dict) or "kind" not in report:
        raise DataError(f"{path.name} is no report", hint="Name a report.json or a finished run.")
    return report


def compare_suites(
    columns: Sequence[Mapping[str, Any]], earlier: Mapping[str, Any]
) -> dict[str, Any]:
    """Compare the columns of a suite with those of an earlier report.

    A column is compared with the one of the same target and controller; where there is none, and
    the earlier report has just one of that target, with that: another version of the controller.

    Returns:
        `regressions` and `fixed`: target, controller and test each; `compared`: number of results
        that stand in both.
    """
    worse, better, compared = [], [], 0
    for column in columns:
        before = _counterpart(column, earlier.get("columns") or [])
        for test, passed in column["results"].items():
            if test not in before:
                continue
            compared += 1
            about = {"target": column["target"], "controller": column["controller"], "test": test}
            if before[test] and not passed:
                worse.append(about)
            elif passed and not before[test]:
                better.append(about)
    return {"regressions": worse, "fixed": better, "compared": compared}


def _counterpart(
    column: Mapping[str, Any], earlier: Sequence[Mapping[str, Any]]
) -> Mapping[str, bool]:
    same = [each for each in earlier if each["target"] == column["target"]]
    exact = [each for each in same if each["controller"] == column["controller"]]
    found = exact or (same if len(same) == 1 else [])
    return found[0]["results"] if found else {}
