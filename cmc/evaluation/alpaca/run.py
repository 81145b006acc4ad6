"""AlpacaEval on a model under control: outputs, verdicts, report; a second run goes on."""

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cmc.controller import load_controller
from cmc.data import Record, read_records
from cmc.evaluation.alpaca.files import read_outputs, write_list
from cmc.evaluation.alpaca.judging import Judged, as_answer, judge_all, judging_report, paired
from cmc.evaluation.alpaca.outputs import answered, used_format
from cmc.evaluation.alpaca.report import report_annotations
from cmc.evaluation.cells import Cell, Progress, measured, told_controllers
from cmc.evaluation.judges import chosen_judge, instruction_text
from cmc.evaluation.provenance import (
    describe_controllers,
    describe_maps,
    describe_models,
    provenance,
)
from cmc.generation import ControlledModel
from cmc.models import load_language_model
from cmc.settings import AlpacaRequest
from cmc.store import place_of

Outputs = list[dict[str, Any]]


def evaluate_alpaca(
    request: AlpacaRequest, kept: Mapping[str, dict[str, Any]] | None = None
) -> Iterator[Progress]:
    """Generate answers, have them judged against the reference's, then report.

    A batch of answers is one measurement, and so is every verdict. A judge that cannot be asked
    any longer ends the judging, not the report, which says what is missing.

    Args:
        request: who answers what, and who judges.
        kept: what was measured before, by key; it is not measured again.

    Raises:
        CmcError: model, controller, data or judge cannot be used.
    """
    started = time.perf_counter()
    found = dict(kept or {})
    run = _Run(request)
    # The base first: all that is said of control is said against it.
    alone = run.cells("alone", dict.fromkeys(request.controllers, 0.0)) if run.asks_base else []
    controlled = run.cells("controlled", request.controllers)
    cells = [*alone, *controlled]
    yield from measured(cells, found, further=run.pairs)
    outputs = [each for cell in controlled for each in found[cell.key]["outputs"]]
    reference = run.reference or [each for cell in alone for each in found[cell.key]["outputs"]]
    total, judged = len(cells) + run.pairs, Judged()
    for number, annotation in judge_all(paired(outputs, reference), run.judge, found, judged):
        key = f"verdict {number} by {run.judge.name}"
        yield Progress(len(cells) + number, total, key, found=run.told(annotation))
    report = run.report(judged, outputs) | {"seconds": round(time.perf_counter() - started, 1)}

    def write(folder: Path) -> None:
        write_list(folder / "model_outputs.json", outputs)
        write_list(folder / "reference_outputs.json", reference)
        write_list(folder / "annotations.json", judged.annotations)

    yield Progress(total, total, "done", report=report, write=write)


class _Run:
    """What is loaded for one request, and what is made with it."""

    def __init__(self, request: AlpacaRequest) -> None:
        self._request = request
        self._records = read_records(request.data, limit=request.limit)
        self.judge = chosen_judge(request.judging, self._records, request.data)
        self.asks_base = request.reference == "base"
        self.reference: Outputs = [] if self.asks_base else read_outputs(request.reference)
        self._controllers = {name: load_controller(place_of(name)) for name in request.controllers}
        self._model = ControlledModel(
            load_language_model(request.target), list(self._controllers.values()),
            transfer=request.transfer, cover=request.cover,
        )  # fmt: skip
        self._gold = {instruction_text(each): each.output for each in self._records}
        known = self._gold if self.asks_base else {each["instruction"] for each in self.reference}
        self.pairs = sum(instruction_text(each) in known for each in self._records)

    def cells(self, side: str, controllers: Mapping[str, float]) -> list[Cell]:
        """Return the batches of answers of one side."""
        request, records = self._request, self._records
        starts = range(0, len(records), request.batch_size)
        parts = [records[start : start + request.batch_size] for start in starts]
        return [
            Cell(
                f"{request.target} {side}: answers {start + 1} to {start + len(part)}",
                lambda part=part: {
                    "outputs": answered(self._model, part, controllers, request.max_new_tokens)
                },
            )
            for start, part in zip(starts, parts, strict=True)
        ]  # fmt: skip

    def told(self, annotation: dict[str, Any]) -> dict[str, Any]:
        """Return what is kept of a verdict: the annotation, and it as an example."""
        request = self._request
        return {
            "target": request.target, **told_controllers(request.controllers),
            "annotation": annotation,
            "answers": [as_answer(annotation, self._gold[annotation["instruction"]])],
        }  # fmt: skip

    def report(self, judged: Judged, outputs: Outputs) -> dict[str, Any]:
        """Return all figures, and what they were made from."""
        request = self._request
        data = {request.data: self._records}
        if self.reference:
            data[request.reference] = [
                Record(each["instruction"], "", each["output"]) for each in self.reference
            ]
        return report_annotations(judged.annotations) | judging_report(judged, self.judge) | {
            "target": request.target,
            "controllers": dict(request.controllers),
            "transfers": list(self._model.transfers),
            "prompt_format": used_format(self._model),
            "n_without_reference": len(outputs) - len(judged.annotations),
            "n_windowed": sum(bool(each.get("windowed")) for each in outputs),
            "provenance": provenance(
                request, data, models=describe_models([self._model.target]),
                controllers=describe_controllers(self._controllers),
                maps=describe_maps(list(self._controllers), self._model),
            ),
        }  # fmt: skip
