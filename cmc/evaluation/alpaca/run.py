"""AlpacaEval on a model under control: outputs, verdicts, report; a second run goes on."""

import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cmc.controller import load_controller
from cmc.data import read_records
from cmc.errors import SettingError
from cmc.evaluation.alpaca.files import read_outputs
from cmc.evaluation.alpaca.judging import judge_all, judging_report, paired
from cmc.evaluation.alpaca.outputs import generate_outputs, same_request, used_format
from cmc.evaluation.alpaca.report import report_annotations
from cmc.evaluation.judges import chosen_judge
from cmc.evaluation.provenance import describe_controllers, describe_models, provenance
from cmc.generation import ControlledModel
from cmc.models import load_language_model
from cmc.settings import AlpacaRequest


@dataclass(frozen=True)
class AlpacaProgress:
    """How many answers and verdicts there are, and the report when all are."""

    done: int
    total: int
    message: str
    report: dict[str, Any] | None = None


def evaluate_alpaca(request: AlpacaRequest) -> Iterator[AlpacaProgress]:
    """Generate answers, have them judged against the reference's, then report.

    All answers and verdicts are written to `request.out` as they come: closed or killed at any
    moment, the same request goes on where it was. A judge that cannot be asked any longer ends
    the judging, not the report, which says what is missing.

    Raises:
        SettingError: no folder is named, or it holds what another request made.
        CmcError: model, controller, data or judge cannot be used.
    """
    started = time.perf_counter()
    if not request.out:
        raise SettingError("no folder is named for the answers", hint="Name one with out.")
    records = read_records(request.data, limit=request.limit)
    folder = _prepared(request)
    judge = chosen_judge(request.judging)
    controllers = {name: load_controller(name) for name in request.controllers}
    target = load_language_model(request.target)
    model = ControlledModel(
        target, list(controllers.values()), transfer=request.transfer, cover=request.cover
    )
    strengths = tuple(request.controllers.values())
    needs_base = request.reference == "base"
    total = len(records) * (3 if needs_base else 2)
    reference = None if needs_base else read_outputs(request.reference)
    outputs: list[dict[str, Any]] = []
    for outputs in generate_outputs(
        folder / "model_outputs.json", model, records, strengths, request
    ):
        yield AlpacaProgress(len(outputs), total, f"answers of {request.target}")
    if reference is None:
        # Strength 0 is the target alone, asked in the controllers' format.
        nothing = (0.0,) * len(strengths)
        for reference in generate_outputs(
            folder / "reference_outputs.json", model, records, nothing, request
        ):
            done = len(outputs) + len(reference)
            yield AlpacaProgress(done, total, f"answers of {request.target} alone")
    done = total - len(records)
    for judged in judge_all(folder / "annotations.json", paired(outputs, reference), judge):
        yield AlpacaProgress(done + len(judged.annotations), total, f"judged by {judge.name}")
    report = report_annotations(judged.annotations) | judging_report(judged, judge) | {
        "target": request.target,
        "controllers": dict(request.controllers),
        "transfers": list(model.transfers),
        "prompt_format": used_format(model),
        "n_without_reference": len(outputs) - len(judged.annotations),
        "n_windowed": sum(bool(each.get("windowed")) for each in outputs),
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": provenance(
            request, {request.data: records}, models=describe_models([target]),
            controllers=describe_controllers(controllers),
        ),
    }  # fmt: skip
    yield AlpacaProgress(total, total, "done", report)


def _prepared(request: AlpacaRequest) -> Path:
    """Return the folder, made if need be, once it is sure that it belongs to this request."""
    folder = Path(request.out).expanduser()
    folder.mkdir(parents=True, exist_ok=True)
    made = asdict(request)
    # Another judge, batch or number of questions may use the same answers.
    for name in ("out", "judging", "batch_size", "limit"):
        del made[name]
    if not same_request(folder, made):
        raise SettingError(
            f"{folder} holds the answers of another request",
            hint="Name another folder, or repeat the request that is in its request.json.",
        )
    return folder
