"""How much of a controller's effect arrives on other targets, under every transfer."""

import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
import transformers

from cmc.controller import Controller, load_controller
from cmc.data import Record, fingerprint_records, read_records
from cmc.errors import SettingError
from cmc.evaluation.answers import Answer, ask
from cmc.evaluation.scores import wilson_interval
from cmc.generation import ControlledModel
from cmc.models import LanguageModel, load_language_model
from cmc.settings import TransferRequest, lab_targets
from cmc.vocab import resolve_transfer


@dataclass(frozen=True)
class TransferProgress:
    """One finished measurement, and the report when all are done."""

    done: int
    total: int
    message: str
    answers: list[Answer] = field(default_factory=list)
    report: dict[str, Any] | None = None


def evaluate_transfer(request: TransferRequest) -> Iterator[TransferProgress]:
    """Measure exact match of the template and of every target under every transfer.

    The recovered effect of a row is (controlled - base) / (template controlled - template base),
    no unit: 1 where control does for the target what it does for the template.

    Raises:
        SettingError: a transfer does not fit one of the targets; nothing was measured.
        CmcError: a model, controller or data file cannot be used.
    """
    started = time.perf_counter()
    controller = load_controller(request.controller)
    records = read_records(request.data, limit=request.limit)
    names = request.targets or lab_targets()
    targets = {name: load_language_model(name) for name in names}
    plan = _planned(controller, targets, request.transfers)
    total = len(plan) + len(targets) + 2
    measure = _Measure(controller, records, request)
    template = load_language_model(request.template)
    template_base = measure(template, None)
    yield TransferProgress(1, total, f"{request.template} alone", measure.answers)
    template_controlled = measure(template, "auto")
    yield TransferProgress(2, total, f"{request.template} controlled", measure.answers)
    bases = {}
    for name, target in targets.items():
        bases[name] = measure(target, None)
        yield TransferProgress(2 + len(bases), total, f"{name} alone", measure.answers)
    effect = template_controlled["exact_match"] - template_base["exact_match"]
    rows = []
    for name, transfer in plan:
        row = measure(targets[name], transfer)
        base = bases[name]["exact_match"]
        recovered = (row["exact_match"] - base) / effect if effect > 0 else None
        about = {"target": name, "transfer": transfer, "strength": request.strength}
        rows.append({**about, **row, "base": base, "recovered_effect": recovered})
        done = total - len(plan) + len(rows)
        yield TransferProgress(done, total, f"{name} by {transfer}", measure.answers)
    report = {
        "kind": "transfer",
        "template": {"name": request.template, **template_controlled,
                     "base": template_base["exact_match"]},
        "rows": rows,
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": _provenance(request, records),
    }  # fmt: skip
    yield TransferProgress(total, total, "done", report=report)


def _planned(
    controller: Controller, targets: Mapping[str, LanguageModel], transfers: Sequence[str]
) -> list[tuple[str, str]]:
    """Return the pairs of target and transfer to measure, once every one of them fits."""
    plan = [
        (name, transfer)
        for name, target in targets.items()
        for transfer in transfers or fitting_transfers(controller, target)
    ]
    mine = controller.vocabulary.fingerprint
    for name, transfer in plan:
        if transfer == "same" and targets[name].vocabulary.fingerprint != mine:
            raise SettingError(
                f"the transfer same does not fit {name}, whose vocabulary is another",
                hint=f"Leave out {name}, or choose cover or pm-mined.",
            )
    return plan


def fitting_transfers(controller: Controller, target: LanguageModel) -> tuple[str, ...]:
    """Return the transfers worth comparing for a pair."""
    is_same = resolve_transfer(controller.vocabulary, target.vocabulary, "auto") == "same"
    return ("same" if is_same else "pm-mined", "cover")


class _Measure:
    """Ask the same questions again and again; keep the last answers for looking at."""

    def __init__(
        self, controller: Controller, records: Sequence[Record], request: TransferRequest
    ) -> None:
        self._controller = controller
        self._records = records
        self._request = request
        self.answers: list[Answer] = []

    def __call__(self, target: LanguageModel, transfer: str | None) -> dict[str, Any]:
        """Return exact match with its interval; no transfer stands for the base."""
        request, controller = self._request, self._controller
        controllers = [] if transfer is None else [controller]
        model = ControlledModel(
            target, controllers, transfer=transfer or "auto", cover=request.cover
        )
        strengths = (request.strength,) * len(controllers)
        asked = ask(model, self._records, strengths, request.batch_size, controller.prompt_format)
        self.answers = list(asked)
        interval = wilson_interval([each.is_exact for each in self.answers])
        return {
            "exact_match": interval.value, "low": interval.low, "high": interval.high,
            "n": interval.n,
        }  # fmt: skip


def _provenance(request: TransferRequest, records: Sequence[Record]) -> dict[str, Any]:
    return {
        "request": asdict(request),
        "data": fingerprint_records(records),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "device": "cuda" if torch.cuda.is_available() else "cpu",
    }
