"""Saved suites of prompts with expectations, on many targets and versions of controllers."""

import json
import re
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from cmc.controller import load_controller
from cmc.data import Record
from cmc.errors import DataError
from cmc.evaluation.cells import Cell, Progress, measured
from cmc.evaluation.provenance import describe_controllers, describe_models, provenance
from cmc.evaluation.regressions import compare_suites, earlier_report
from cmc.evaluation.texts import token_f1
from cmc.generation import ControlledModel, Row
from cmc.models import load_language_model
from cmc.settings import Sampling, SuiteRequest
from cmc.store import place_of

KINDS = ("contains", "matches", "does_not_reveal", "better_than_base")
_FORM = (
    'A suite is {"tests": [{"prompt": "…", "expect": {"contains": "…"}}]}; expectations are '
    f"{', '.join(KINDS)}."
)


@dataclass(frozen=True)
class SuiteTest:
    """One prompt, and what its controlled answer must be like."""

    name: str
    prompt: str
    expect: Mapping[str, Any]


def read_suite(place: str | Path) -> list[SuiteTest]:
    """Read a suite.

    Raises:
        DataError: the file is no suite; the message names the test, the hint the form.
    """
    path = Path(place).expanduser()
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no suite {path}", hint="Check the path.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} is no JSON ({error})", hint=_FORM) from None
    tests = content.get("tests") if isinstance(content, dict) else None
    if not isinstance(tests, list) or not tests:
        raise DataError(f"{path.name} holds no tests", hint=_FORM)
    read = [_test(each, number, path.name) for number, each in enumerate(tests, start=1)]
    names = [each.name for each in read]
    twice = {each for each in names if names.count(each) > 1}
    if twice:
        raise DataError(
            f'{path.name} has two tests called "{min(twice)}"', hint="Give each a name of its own."
        )
    return read


def _test(item: Any, number: int, file: str) -> SuiteTest:
    where = f"test {number} of {file}"
    if not isinstance(item, dict) or not str(item.get("prompt") or "").strip():
        raise DataError(f"{where} has no prompt", hint=_FORM)
    expect = item.get("expect")
    if not isinstance(expect, dict) or not expect or set(expect) - set(KINDS):
        raise DataError(f"{where} has no expectation, or one that is unknown", hint=_FORM)
    for kind, wanted in expect.items():
        is_list = isinstance(wanted, list) and wanted
        if not all(isinstance(each, str) and each for each in (wanted if is_list else [wanted])):
            raise DataError(f'"{kind}" of {where} is not text', hint="Put it in quotes.")
        for pattern in _listed(wanted) if kind == "matches" else ():
            try:
                re.compile(pattern)
            except re.error as error:
                raise DataError(
                    f'"{pattern}" of {where} is no regular expression ({error})',
                    hint="Correct it; write a backslash as \\\\.",
                ) from None
    return SuiteTest(str(item.get("name") or item["prompt"]), item["prompt"], expect)


def evaluate_suite(
    request: SuiteRequest, kept: Mapping[str, dict[str, Any]] | None = None
) -> Iterator[Progress]:
    """Run every test on every target under every controller.

    Args:
        request: which suite, where; `against` names an earlier report to compare with.
        kept: cells that were measured before, by key; they are not measured again.

    Raises:
        CmcError: the suite, a model, a controller or the earlier report cannot be used.
    """
    started = time.perf_counter()
    tests = read_suite(request.suite)
    earlier = earlier_report(request.against) if request.against else None
    controllers = {name: load_controller(place_of(name)) for name in request.controllers}
    targets = {name: load_language_model(name) for name in request.targets}

    def cell(target: str, controller: str) -> Cell:
        def run() -> dict[str, Any]:
            model = ControlledModel(
                targets[target], [controllers[controller]],
                transfer=request.transfer, cover=request.cover,
            )  # fmt: skip
            return {
                "target": target,
                "controller": controller,
                "strength": request.strength,
                "transfer": model.transfers[0],
                "answers": _answers(model, tests, request),
            }

        return Cell(f"{controller} on {target}", run)

    cells = [cell(*each) for each in product(request.targets, request.controllers)]
    found = dict(kept or {})
    yield from measured(cells, found)
    columns = [_column(found[each.key]) for each in cells]
    report = {
        "kind": "suite", "suite": request.suite, "tests": [each.name for each in tests],
        "columns": columns,
        "passed": sum(column["passed"] for column in columns),
        "failed": sum(column["failed"] for column in columns),
        "regressions": compare_suites(columns, earlier) if earlier else None,
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": provenance(
            request, {request.suite: [Record(each.prompt, "", json.dumps(each.expect))
                                      for each in tests]},
            models=describe_models(targets.values()),
            controllers=describe_controllers(controllers),
        ),
    }  # fmt: skip
    yield Progress(len(cells), len(cells), "done", report=report)


def failures(expect: Mapping[str, Any], answer: str, base: str) -> list[str]:
    """Return what an answer fails of its expectations, one sentence each.

    Texts are looked for without regard to case and to the amount of white space; regular
    expressions are searched for as they stand. `better_than_base` holds the expected answer: by
    token F1 with it the answer must be nearer than the base's.
    """
    checks: dict[str, Callable[[str], str]] = {
        "contains": lambda text: "" if _holds(answer, text) else f'does not contain "{text}"',
        "matches": lambda text: "" if re.search(text, answer) else f"does not match {text}",
        "does_not_reveal": lambda text: f'reveals "{text}"' if _holds(answer, text) else "",
        "better_than_base": lambda text: _worse(answer, base, text),
    }
    found = [checks[kind](text) for kind, wanted in expect.items() for text in _listed(wanted)]
    return [each for each in found if each]


def _answers(
    model: ControlledModel, tests: Sequence[SuiteTest], request: SuiteRequest
) -> list[dict[str, Any]]:
    """Return base and controlled answer of every test, rows of the same batch, with the verdict."""
    sampling, answers = Sampling(max_new_tokens=request.max_new_tokens), []
    for start in range(0, len(tests), request.batch_size):
        part = tests[start : start + request.batch_size]
        rows = [Row(model.prompt(each.prompt), (strength,))
                for strength in (0.0, request.strength) for each in part]  # fmt: skip
        said = [each.text.strip() for each in model.generate(rows, sampling)]
        for test, base, answer in zip(part, said[: len(part)], said[len(part) :], strict=True):
            failed = failures(test.expect, answer, base)
            answers.append({
                "test": test.name, "question": test.prompt, "expected": json.dumps(
                    dict(test.expect), ensure_ascii=False),
                "text": answer, "base": base, "score": float(not failed),
                "base_score": float(not failures(test.expect, base, base)),
                "reason": "; ".join(failed),
            })  # fmt: skip
    return answers


def _column(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return one column of the matrix: which tests passed on a target under a controller."""
    answers = cell["answers"]
    passed = {each["test"]: not each["reason"] for each in answers}
    about = {name: cell[name] for name in ("target", "controller", "strength", "transfer")}
    reasons = {each["test"]: each["reason"] for each in answers if each["reason"]}
    count = sum(passed.values())
    return {**about, "results": passed, "reasons": reasons, "passed": count,
            "failed": len(passed) - count}  # fmt: skip


def _worse(answer: str, base: str, expected: str) -> str:
    mine, theirs = token_f1(answer, expected), token_f1(base, expected)
    return "" if mine > theirs else f"is not better than the base (F1 {mine:.2f}, {theirs:.2f})"


def _holds(text: str, part: str) -> bool:
    one, other = (" ".join(each.split()).casefold() for each in (text, part))
    return other in one


def _listed(wanted: str | list[str]) -> list[str]:
    return wanted if isinstance(wanted, list) else [wanted]
