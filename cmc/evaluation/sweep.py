"""Strengths x targets x controllers under one metric, and the strength to use for each pair."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np

from cmc.controller import Controller, load_controller
from cmc.data import read_records
from cmc.evaluation.answers import Answer, ask
from cmc.evaluation.cells import Cell, Progress, measured, told_answers
from cmc.evaluation.provenance import describe_controllers, describe_models, provenance
from cmc.evaluation.recommend import recommend
from cmc.evaluation.scores import Interval, bootstrap_interval, wilson_interval
from cmc.evaluation.texts import rouge_l_recall, token_f1
from cmc.generation import ControlledModel
from cmc.models import LanguageModel, load_language_model
from cmc.settings import SweepRequest, lab_targets
from cmc.store import place_of


def evaluate_sweep(
    request: SweepRequest, kept: Mapping[str, dict[str, Any]] | None = None
) -> Iterator[Progress]:
    """Measure every controller on every target at every strength.

    Args:
        request: what to measure; strength 0, the base, is always measured first.
        kept: cells that were measured before, by key; they are not measured again.

    Raises:
        CmcError: a model, controller or data file cannot be used.
    """
    started = time.perf_counter()
    sweep = _Sweep(request)
    found = dict(kept or {})
    # Targets outermost: no more than one of them is loaded at a time.
    triples = list(product(sweep.targets, request.controllers, request.strengths))
    cells = [sweep.cell(*each, found) for each in triples]
    yield from measured(cells, found)
    rows = [_row(each, found) for each in (cell.key for cell in cells)]
    report = {
        "kind": "sweep",
        "metric": request.metric,
        "rows": rows,
        "recommendations": [
            {"controller": controller, "target": target,
             **recommend([each for each in rows
                          if (each["controller"], each["target"]) == (controller, target)])}
            for target, controller in product(sweep.targets, request.controllers)
        ],
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": sweep.provenance(),
    }  # fmt: skip
    yield Progress(len(cells), len(cells), "done", report=report)


class _Sweep:
    """Loads what the next cell needs, and measures it."""

    def __init__(self, request: SweepRequest) -> None:
        self.targets = request.targets or lab_targets()
        self._request = request
        self._controllers = {name: load_controller(place_of(name)) for name in request.controllers}
        sources = [request.data, *([request.retain] if request.metric == "forget" else [])]
        self._records = {each: read_records(each, limit=request.limit) for each in sources}
        self._target: LanguageModel | None = None

    def cell(
        self, target: str, controller: str, strength: float, found: Mapping[str, dict[str, Any]]
    ) -> Cell:
        """Return one measurement; `found` holds that of the base when its turn comes."""
        base = _key(target, controller, 0.0)
        return Cell(
            _key(target, controller, strength),
            lambda: {
                "target": target, "controller": controller, "strength": strength,
                "base": base if strength else None,
                **self._measured(target, controller, strength, found.get(base)),
            },
        )  # fmt: skip

    def provenance(self) -> dict[str, Any]:
        """Return what the sweep was made from."""
        models = describe_models(self._loaded(name) for name in self.targets)
        controllers = describe_controllers(self._controllers)
        return provenance(self._request, self._records, models=models, controllers=controllers)

    def _measured(
        self, target: str, controller: str, strength: float, base: Mapping[str, Any] | None
    ) -> dict[str, Any]:
        model = self._model(target, self._controllers[controller])
        said = {
            source: list(ask(model, records, (strength,), self._request.batch_size))
            for source, records in self._records.items()
        }
        measure = {"exact_match": _exact, "forget": _recalled, "win_rate": _preferred}
        return {"transfer": model.transfers[0],
                **measure[self._request.metric](list(said.values()), base)}  # fmt: skip

    def _model(self, target: str, controller: Controller) -> ControlledModel:
        request = self._request
        loaded = self._loaded(target)
        return ControlledModel(loaded, [controller], transfer=request.transfer, cover=request.cover)

    def _loaded(self, name: str) -> LanguageModel:
        if self._target is None or self._target.name != name:
            self._target = None  # let go before the next one takes room
            self._target = load_language_model(name)
        return self._target


def _exact(said: Sequence[list[Answer]], _: Mapping[str, Any] | None) -> dict[str, Any]:
    """Score the share of exact answers."""
    hits = [each.is_exact for each in said[0]]
    return _told(wilson_interval(hits)) | {"answers": told_answers(said[0], list(map(float, hits)))}


def _recalled(said: Sequence[list[Answer]], _: Mapping[str, Any] | None) -> dict[str, Any]:
    """Score ROUGE-L recall of what must stay; `forget` is that of what is to be forgotten."""
    forgotten, stays = ([rouge_l_recall(each.opening, each.expected) for each in part]
                        for part in said)  # fmt: skip
    reasons = [*["to be forgotten"] * len(forgotten), *["must stay"] * len(stays)]
    answers = told_answers([*said[0], *said[1]], [*(1 - each for each in forgotten), *stays],
                           reasons)  # fmt: skip
    return {**_told(_mean(stays)), "forget": _told(_mean(forgotten)), "answers": answers}


def _preferred(said: Sequence[list[Answer]], base: Mapping[str, Any] | None) -> dict[str, Any]:
    """Score how often an answer is nearer to the expected one than the base's; a draw is half."""
    mine = [token_f1(each.text, each.expected) for each in said[0]]
    before = mine if base is None else [each["f1"] for each in base["answers"]]
    wins = [0.5 + 0.5 * ((one > other) - (one < other))
            for one, other in zip(mine, before, strict=True)]  # fmt: skip
    reasons = [f"F1 with the expected answer {one:.2f}, the base's {other:.2f}"
               for one, other in zip(mine, before, strict=True)]  # fmt: skip
    answers = told_answers(said[0], wins, reasons)
    for each, f1 in zip(answers, mine, strict=True):
        each["f1"] = f1
    return _told(_mean(wins)) | {"answers": answers}


def _mean(values: Sequence[float]) -> Interval:
    return bootstrap_interval([np.array(values)], lambda each: float(np.mean(each)))


def _told(interval: Interval) -> dict[str, Any]:
    told = asdict(interval)
    return {"score": told.pop("value"), **told}


def _row(key: str, found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what a report keeps of a cell, with its signed difference to the base."""
    cell = found[key]
    base = found[cell["base"] or key]
    kept = {name: value for name, value in cell.items() if name not in ("answers", "base")}
    row = kept | {"base": base["score"], "difference": cell["score"] - base["score"]}
    if "forget" in cell:
        row["forget_difference"] = cell["forget"]["score"] - base["forget"]["score"]
    return row


def _key(target: str, controller: str, strength: float) -> str:
    return f"{controller} on {target} at {strength:g}"
