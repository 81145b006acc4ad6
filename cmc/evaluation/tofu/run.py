"""TOFU on a model under control: questions, scores, log and report."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cmc.controller import load_controller
from cmc.evaluation.provenance import describe_controllers, describe_models, provenance
from cmc.evaluation.tofu.formulas import EPSILON
from cmc.evaluation.tofu.logs import Item, TofuLog, read_log
from cmc.evaluation.tofu.measure import Asking, answer_losses, generations, item
from cmc.evaluation.tofu.questions import Question, read_questions, sources
from cmc.evaluation.tofu.report import report_log
from cmc.generation import ControlledModel
from cmc.models import load_language_model
from cmc.settings import TofuRequest


@dataclass(frozen=True)
class TofuProgress:
    """How many answers are scored or generated, and report and log when all are."""

    done: int
    total: int
    message: str
    report: dict[str, Any] | None = None
    log: TofuLog | None = None


def evaluate_tofu(request: TofuRequest) -> Iterator[TofuProgress]:
    """Score and generate answers for all splits of TOFU, then report.

    Raises:
        CmcError: model, controller, data or retain log cannot be used; nothing was measured.
    """
    started = time.perf_counter()
    splits = read_questions(request.data, request.forget, request.limit)
    retain_log = read_log(request.retain_log) if request.retain_log else None
    controllers = {name: load_controller(name) for name in request.controllers}
    target = load_language_model(request.target)
    model = ControlledModel(
        target, list(controllers.values()), transfer=request.transfer, cover=request.cover
    )
    strengths = tuple(request.controllers.values())
    asking = Asking(strengths, request.prompt_format, request.max_new_tokens, request.batch_size)
    total = sum(len(each.answers) + 1 for items in splits.values() for each in items)
    done, items = 0, {}
    for split, questions in splits.items():
        for step, found in _measured(model, questions, asking):
            done += step
            items[split] = {str(number): each for number, each in enumerate(found)}
            yield TofuProgress(done, total, f"{request.target}: {split}")
    log = TofuLog("open-unlearning", items, EPSILON)
    report = report_log(log, retain_log) | {
        "target": request.target,
        "controllers": dict(request.controllers),
        "transfers": list(model.transfers),
        "sources": sources(request.data, splits),
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": provenance(
            request,
            {split: [each.as_record() for each in found] for split, found in splits.items()},
            models=describe_models([target]),
            controllers=describe_controllers(controllers),
        ),
    }
    yield TofuProgress(total, total, "done", report, log)


def _measured(
    model: ControlledModel, questions: Sequence[Question], asking: Asking
) -> Iterator[tuple[int, list[Item]]]:
    """Yield how many more answers are done, and with the last all items of the split."""
    before, losses = 0, []
    for done, scored in answer_losses(model, questions, asking):
        losses = scored
        yield done - before, []
        before = done
    said: list[str] = []
    for texts in generations(model, questions, asking):
        said += texts
        # The losses cover all questions; what is said is there for those asked so far.
        yield len(texts), [item(*each) for each in zip(questions, losses, said, strict=False)]
