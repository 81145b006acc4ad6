"""How much of a controller's effect arrives on other targets, under every transfer."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmc.controller import Controller, load_controller
from cmc.data import Record, read_records
from cmc.errors import SettingError
from cmc.evaluation.answers import ask
from cmc.evaluation.cells import Cell, Progress, measured, told_answers
from cmc.evaluation.provenance import (
    describe_controllers,
    describe_maps,
    describe_models,
    provenance,
)
from cmc.evaluation.scores import wilson_interval
from cmc.evaluation.shifts import recovered_effect
from cmc.generation import ControlledModel
from cmc.models import LanguageModel, load_language_model
from cmc.settings import TransferRequest, lab_targets
from cmc.store import place_of
from cmc.vocab import resolve_transfer

TransferProgress = Progress


def evaluate_transfer(
    request: TransferRequest, kept: Mapping[str, dict[str, Any]] | None = None
) -> Iterator[Progress]:
    """Measure exact match of the template and of every target under every transfer.

    The recovered effect of a row is (controlled - base) / (template controlled - template base),
    no unit: 1 where control does for the target what it does for the template.

    Args:
        request: what to measure.
        kept: cells that were measured before, by key; they are not measured again.

    Raises:
        SettingError: a transfer does not fit one of the targets; nothing was measured.
        CmcError: a model, controller or data file cannot be used.
    """
    started = time.perf_counter()
    controller = load_controller(place_of(request.controller))
    records = read_records(request.data, limit=request.limit)
    names = request.targets or lab_targets()
    targets = {name: load_language_model(name) for name in names}
    plan = _planned(controller, targets, request.transfers)
    template = load_language_model(request.template)
    measure = _Measure(controller, records, request)
    alone, controlled = (f"{request.template} {how}" for how in ("alone", "controlled"))
    cells = [
        Cell(alone, lambda: measure(template, None)),
        Cell(controlled, lambda: measure(template, "auto", alone)),
        *(measure.cell(each) for each in targets.values()),
        *(measure.cell(targets[name], transfer) for name, transfer in plan),
    ]
    found = dict(kept or {})
    yield from measured(cells, found)
    report = {
        "kind": "transfer",
        "template": {"name": request.template, **_shares(found[controlled]),
                     "base": found[alone]["exact_match"]},
        "rows": _rows(request, plan, found, (alone, controlled)),
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": provenance(
            request, {request.data: records},
            models=describe_models([template, *targets.values()]),
            controllers=describe_controllers({request.controller: controller}),
            maps={name: each for target, transfer in plan for name, each in describe_maps(
                [request.controller], measure.controlled(targets[target], transfer)).items()},
        ),
    }  # fmt: skip
    yield Progress(len(cells), len(cells), "done", report=report)


def _rows(
    request: TransferRequest,
    plan: Sequence[tuple[str, str]],
    found: Mapping[str, dict[str, Any]],
    template: tuple[str, str],
) -> list[dict[str, Any]]:
    """Return a row per target and transfer, from the cells."""
    most = [_scores(found[key]) for key in template[::-1]]
    rows = []
    for name, transfer in plan:
        cell, alone = found[_key(name, transfer)], found[_key(name)]
        recovered = recovered_effect(_scores(cell), _scores(alone), *most)
        about = {"target": name, "transfer": transfer, "strength": request.strength}
        rows.append({
            **about, **_shares(cell), "base": alone["exact_match"],
            "recovered_effect": recovered and recovered.value,
            "recovered_interval": recovered and {"low": recovered.low, "high": recovered.high},
        })  # fmt: skip
    return rows


def _scores(cell: Mapping[str, Any]) -> list[float]:
    return [each["score"] for each in cell["answers"]]


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
    """Ask the same questions again and again."""

    def __init__(
        self, controller: Controller, records: Sequence[Record], request: TransferRequest
    ) -> None:
        self._controller = controller
        self._records = records
        self._request = request

    def cell(self, target: LanguageModel, transfer: str | None = None) -> Cell:
        """Return the measurement of a target alone, or under a transfer."""
        base = _key(target.name) if transfer else None
        return Cell(_key(target.name, transfer), lambda: self(target, transfer, base))

    def controlled(self, target: LanguageModel, transfer: str | None) -> ControlledModel:
        """Return a target under a transfer; none is the target alone."""
        controllers = [] if transfer is None else [self._controller]
        cover = self._request.cover
        return ControlledModel(target, controllers, transfer=transfer or "auto", cover=cover)

    def __call__(
        self, target: LanguageModel, transfer: str | None, base: str | None = None
    ) -> dict[str, Any]:
        """Return exact match with its interval, and the answers; no transfer is the base."""
        request, controller = self._request, self._controller
        model = self.controlled(target, transfer)
        controllers = model.controllers
        strengths = (request.strength,) * len(controllers)
        asked = ask(model, self._records, strengths, request.batch_size, controller.prompt_format)
        answers = list(asked)
        hits = [each.is_exact for each in answers]
        interval = wilson_interval(hits)
        return {
            "target": target.name, "controller": request.controller, "base": base,
            "strength": request.strength if controllers else 0.0, "transfer": transfer or "",
            "exact_match": interval.value, "low": interval.low, "high": interval.high,
            "n": interval.n, "answers": told_answers(answers, [float(hit) for hit in hits]),
        }  # fmt: skip


def _key(target: str, transfer: str | None = None) -> str:
    return f"{target} by {transfer}" if transfer else f"{target} alone"


def _shares(cell: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a report keeps of a cell."""
    return {name: cell[name] for name in ("exact_match", "low", "high", "n")}
