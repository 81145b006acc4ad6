"""TOFU on a model under control: questions, scores, log and report."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmc.controller import load_controller
from cmc.evaluation.cells import Cell, Progress, measured, told_controllers
from cmc.evaluation.provenance import (
    describe_controllers,
    describe_maps,
    describe_models,
    provenance,
)
from cmc.evaluation.texts import rouge_l_recall
from cmc.evaluation.tofu.differences import differences
from cmc.evaluation.tofu.formulas import EPSILON
from cmc.evaluation.tofu.items import TofuLog
from cmc.evaluation.tofu.logs import read_log
from cmc.evaluation.tofu.measure import (
    Asking,
    batch_generations,
    batch_losses,
    item,
    scoring_batches,
)
from cmc.evaluation.tofu.questions import Question, read_questions, sources
from cmc.evaluation.tofu.report import report_log
from cmc.evaluation.tofu.writing import write_log
from cmc.generation import ControlledModel
from cmc.models import load_language_model
from cmc.settings import TofuRequest
from cmc.store import place_of

ALONE, CONTROLLED = "alone", "controlled"


def evaluate_tofu(
    request: TofuRequest, kept: Mapping[str, dict[str, Any]] | None = None
) -> Iterator[Progress]:
    """Score and generate answers for all splits of TOFU, then report.

    Every batch of scores or answers is one measurement.

    Args:
        request: who is asked what.
        kept: what was measured before, by key; it is not measured again.

    Raises:
        CmcError: model, controller, data or retain log cannot be used; nothing was measured.
    """
    started = time.perf_counter()
    retain_log = read_log(request.retain_log) if request.retain_log else None
    run = _Run(request)
    sides = [CONTROLLED] if not (request.compare_base and request.controllers) else [
        ALONE, CONTROLLED
    ]  # fmt: skip
    found = dict(kept or {})
    cells = {side: run.cells(side) for side in sides}
    yield from measured([each for side in sides for each in cells[side]], found)
    logs = {side: run.log([found[each.key] for each in cells[side]]) for side in sides}
    log = logs[CONTROLLED]
    report = report_log(log, retain_log) | run.told()
    report["base"] = report["differences"] = None
    if ALONE in sides:
        report["base"] = report_log(logs[ALONE], retain_log)
        report["differences"] = differences(log, logs[ALONE])
    report["seconds"] = round(time.perf_counter() - started, 1)

    def write(folder: Path) -> None:
        write_log(folder, log, report)

    total = sum(map(len, cells.values()))
    yield Progress(total, total, "done", report=report, write=write)


class _Run:
    """What is loaded for one request, and what is measured with it."""

    def __init__(self, request: TofuRequest) -> None:
        self._request = request
        self._splits = read_questions(request.data, request.forget, request.limit)
        self._controllers = {name: load_controller(place_of(name)) for name in request.controllers}
        self._model = ControlledModel(
            load_language_model(request.target), list(self._controllers.values()),
            transfer=request.transfer, cover=request.cover,
        )  # fmt: skip
        asking = Asking(
            tuple(request.controllers.values()), request.prompt_format, request.max_new_tokens,
            request.batch_size,
        )  # fmt: skip
        nothing = (0.0,) * len(request.controllers)
        self._asking = {CONTROLLED: asking, ALONE: replace(asking, strengths=nothing)}

    def cells(self, side: str) -> list[Cell]:
        """Return the batches of scores, then those of answers, of every split."""
        cells = []
        for split, questions in self._splits.items():
            batches = scoring_batches(self._model, questions, self._asking[side])
            for number in range(len(batches)):
                cells.append(self._scores(side, split, number, batches))
            for start in range(0, len(questions), self._request.batch_size):
                cells.append(self._answers(side, split, start))
        return cells

    def _scores(self, side: str, split: str, number: int, batches: Sequence[list]) -> Cell:
        questions, batch = self._splits[split], batches[number]
        return Cell(
            f"{self._request.target} {side}: {split} scores {number + 1} of {len(batches)}",
            lambda: {
                "split": split, "places": [list(place) for place in batch],
                "losses": batch_losses(self._model, questions, batch, self._asking[side]),
            },
        )  # fmt: skip

    def _answers(self, side: str, split: str, start: int) -> Cell:
        part = self._splits[split][start : start + self._request.batch_size]
        which = f"{split} answers {start + 1} to {start + len(part)}"
        base = f"{self._request.target} {ALONE}: {which}" if side == CONTROLLED else None
        return Cell(
            f"{self._request.target} {side}: {which}",
            lambda: {"base": base, **self._answered(side, split, part)},
        )

    def _answered(self, side: str, split: str, part: Sequence[Question]) -> dict[str, Any]:
        request = self._request
        about = told_controllers(request.controllers)
        said = batch_generations(self._model, part, self._asking[side])
        return {
            "split": split, "target": request.target, **about,
            "strength": about["strength"] if side == CONTROLLED else 0.0,
            "answers": [
                {"question": each.question, "expected": each.answer, "text": text,
                 "score": rouge_l_recall(text, each.answer), "reason": split}
                for each, text in zip(part, said, strict=True)
            ],
        }  # fmt: skip

    def log(self, found: Sequence[Mapping[str, Any]]) -> TofuLog:
        """Return the log of one side from its measurements, in their order."""
        splits = {}
        for split, questions in self._splits.items():
            cells = [each for each in found if each["split"] == split]
            losses = [[0.0] * len(question.answers) for question in questions]
            for cell in cells:
                for (number, place), loss in zip(
                    cell.get("places", ()), cell.get("losses", ()), strict=True
                ):
                    losses[number][place] = loss
            said = [each["text"] for cell in cells for each in cell.get("answers", ())]
            splits[split] = {
                str(number): item(*each)
                for number, each in enumerate(zip(questions, losses, said, strict=True))
            }
        return TofuLog("open-unlearning", splits, EPSILON)

    def told(self) -> dict[str, Any]:
        """Return what was asked, and what the report was made from."""
        request, splits = self._request, self._splits
        return {
            "target": request.target,
            "controllers": dict(request.controllers),
            "transfers": list(self._model.transfers),
            "sources": sources(request.data, splits),
            "provenance": provenance(
                request,
                {split: [each.as_record() for each in found] for split, found in splits.items()},
                models=describe_models([self._model.target]),
                controllers=describe_controllers(self._controllers),
                maps=describe_maps(list(self._controllers), self._model),
            ),
        }  # fmt: skip
