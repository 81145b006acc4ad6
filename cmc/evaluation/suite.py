"""Saved suites of prompts with expectations, on many targets and versions of controllers."""

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import product
from typing import Any

from cmc.controller import load_controller
from cmc.data import Record
from cmc.errors import JudgeError
from cmc.evaluation.cells import Cell, Progress, measured
from cmc.evaluation.expectations import SuiteTest, failures, read_suite
from cmc.evaluation.judges import Judge, Pair, chosen_judge
from cmc.evaluation.judges.reference import ReferenceJudge
from cmc.evaluation.preferences import DRAW
from cmc.evaluation.provenance import (
    describe_controllers,
    describe_maps,
    describe_models,
    provenance,
)
from cmc.evaluation.regressions import compare_suites, earlier_report
from cmc.evaluation.room import greedy_answers
from cmc.generation import ControlledModel
from cmc.models import load_language_model
from cmc.settings import SuiteRequest
from cmc.store import place_of


def evaluate_suite(
    request: SuiteRequest, kept: Mapping[str, dict[str, Any]] | None = None
) -> Iterator[Progress]:
    """Run every test on every target under every controller.

    Args:
        request: which suite, where; `against` names an earlier report to compare with.
        kept: cells that were measured before, by key; they are not measured again.

    Raises:
        CmcError: the suite, a model, a controller, the judge or the earlier report cannot be used.
    """
    started = time.perf_counter()
    tests = read_suite(request.suite)
    earlier = earlier_report(request.against) if request.against else None
    controllers = {name: load_controller(place_of(name)) for name in request.controllers}
    targets = {name: load_language_model(name) for name in request.targets}
    judge = _judge(request, tests)

    def controlled(target: str, controller: str) -> ControlledModel:
        return ControlledModel(
            targets[target], [controllers[controller]],
            transfer=request.transfer, cover=request.cover,
        )  # fmt: skip

    def cell(target: str, controller: str) -> Cell:
        def run() -> dict[str, Any]:
            model = controlled(target, controller)
            return {
                "target": target,
                "controller": controller,
                "strength": request.strength,
                "transfer": model.transfers[0],
                "answers": _answers(model, tests, request, judge),
            }

        return Cell(f"{controller} on {target}", run)

    cells = [cell(*each) for each in product(request.targets, request.controllers)]
    found = dict(kept or {})
    yield from measured(cells, found)
    columns = [_column(found[each.key]) for each in cells]
    report = {
        "kind": "suite", "suite": request.suite, "tests": [each.name for each in tests],
        "judge": judge and judge.name,
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
            maps={name: each for pair in product(request.targets, request.controllers)
                  for name, each in describe_maps([pair[1]], controlled(*pair)).items()},
        ),
    }  # fmt: skip
    yield Progress(len(cells), len(cells), "done", report=report)


def _judge(request: SuiteRequest, tests: Sequence[SuiteTest]) -> Judge | None:
    """Return who compares with the base; None where no test asks for it."""
    if not any("better_than_base" in each.expect for each in tests):
        return None
    return chosen_judge(request.judging, (), request.suite)


def _answers(
    model: ControlledModel, tests: Sequence[SuiteTest], request: SuiteRequest, judge: Judge | None
) -> list[dict[str, Any]]:
    """Return base and controlled answer of every test, rows of the same batch, with the verdict."""
    answers = []
    for start in range(0, len(tests), request.batch_size):
        part = tests[start : start + request.batch_size]
        rows = [model.row(each.prompt, (strength,))
                for strength in (0.0, request.strength) for each in part]  # fmt: skip
        (batch,) = greedy_answers(model, rows, request.max_new_tokens, len(rows))
        said = [each.text.strip() for each in batch]
        for test, base, answer in zip(part, said[: len(part)], said[len(part) :], strict=True):
            failed = failures(test.expect, answer, compared(judge, test, base, answer))
            alone = failures(test.expect, base, lambda _: "is the base itself")
            answers.append({
                "test": test.name, "question": test.prompt, "expected": json.dumps(
                    dict(test.expect), ensure_ascii=False),
                "text": answer, "base": base, "score": float(not failed),
                "base_score": float(not alone),
                "reason": "; ".join(failed),
            })  # fmt: skip
    return answers


def compared(judge: Judge | None, test: SuiteTest, base: str, answer: str) -> Callable[[str], str]:
    """Return what says whether an answer fails to be better than the base's, and why.

    The reference judge knows the right answer from the expectation itself; others are asked which
    of the two answers to the prompt is better.
    """

    def is_worse(expected: str) -> str:
        asked = judge
        if isinstance(asked, ReferenceJudge):
            asked = ReferenceJudge([Record(test.prompt, "", expected)], "suite")
        try:
            verdict = asked.compare(Pair(test.prompt, base, answer))
        except JudgeError as error:
            raise JudgeError(f'"{test.name}" was not judged: {error}', hint=error.hint) from error
        if verdict.preference is None:
            return f"has no verdict ({verdict.reason})"
        is_better = verdict.preference > DRAW
        return "" if is_better else f"is not better than the base ({verdict.reason})"

    return is_worse


def _column(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return one column of the matrix: which tests passed on a target under a controller."""
    answers = cell["answers"]
    passed = {each["test"]: not each["reason"] for each in answers}
    about = {name: cell[name] for name in ("target", "controller", "strength", "transfer")}
    reasons = {each["test"]: each["reason"] for each in answers if each["reason"]}
    count = sum(passed.values())
    return {**about, "results": passed, "reasons": reasons, "passed": count,
            "failed": len(passed) - count}  # fmt: skip
