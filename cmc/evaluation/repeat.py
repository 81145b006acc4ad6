"""Repeat a report from its provenance, and say whether its numbers are the same."""

import math
from collections.abc import Iterator, Mapping
from typing import Any

from cmc.errors import DataError
from cmc.evaluation.cells import Progress
from cmc.evaluation.kinds import kind_called, stored_request

UNLIKE = ("seconds", "provenance", "repeated")  # what differs between equal reports
MADE_FROM = ("models", "controllers", "maps", "data", "libraries", "python", "device")


def request_of(report: Mapping[str, Any]) -> Any:
    """Return what a report was asked for.

    Raises:
        DataError: the report does not say.
    """
    asked = (report.get("provenance") or {}).get("request")
    if not asked or "kind" not in report:
        raise DataError(
            "the report does not say what it was made from", hint="Choose a report of this program."
        )
    return stored_request(report["kind"], asked)


def repeat_report(report: Mapping[str, Any]) -> Iterator[Progress]:
    """Measure everything again; the last report says under `repeated` what came of it.

    `same`: whether all numbers and texts are equal; `differences`: those that are not, by their
    place in the report; `changed`: what it was made from and is another now.

    Raises:
        CmcError: the report cannot be repeated.
    """
    request = request_of(report)
    for progress in kind_called(report["kind"]).evaluate(request):
        if progress.report is not None:
            progress.report["repeated"] = compare_reports(report, progress.report)
        yield progress


def compare_reports(before: Mapping[str, Any], after: Mapping[str, Any]) -> dict[str, Any]:
    """Return whether two reports say the same; see `repeat_report`."""
    one, other = ({name: each[name] for name in each if name not in UNLIKE}
                  for each in (before, after))  # fmt: skip
    differences = _differences(one, other, "")
    old, new = before.get("provenance") or {}, after.get("provenance") or {}
    told = [name for name in MADE_FROM if name in old]  # older reports say less
    made = ({name: each.get(name) for name in told} for each in (old, new))
    return {"same": not differences, "differences": differences[:20],
            "changed": _differences(*made, "")[:20]}  # fmt: skip


def _differences(one: Any, other: Any, place: str) -> list[str]:
    """Return the places at which two values of JSON differ, with both."""
    if isinstance(one, Mapping) and isinstance(other, Mapping):
        names = dict.fromkeys([*one, *other])
        pairs = [(one.get(name), other.get(name), f"{place}.{name}") for name in names]
        return [found for pair in pairs for found in _differences(*pair)]
    if isinstance(one, list | tuple) and isinstance(other, list | tuple) and len(one) == len(other):
        return [found for number, pair in enumerate(zip(one, other, strict=True))
                for found in _differences(*pair, f"{place}[{number}]")]  # fmt: skip
    is_nan = all(isinstance(each, float) and math.isnan(each) for each in (one, other))
    return [] if one == other or is_nan else [f"{place.lstrip('.')}: {one} is now {other}"]
