"""Strengths x targets x controllers under one metric, and the strength to use for each pair."""

import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from itertools import product
from typing import Any

import numpy as np

from cmc.controller import load_controller
from cmc.data import read_records
from cmc.evaluation.answers import Answer, ask
from cmc.evaluation.cells import Cell, Progress, measured, told_answers
from cmc.evaluation.judges import chosen_judge
from cmc.evaluation.judges.reference import ReferenceJudge
from cmc.evaluation.preferred import compared, draws, told_wins, verdict_key
from cmc.evaluation.provenance import (
    describe_controllers,
    describe_maps,
    describe_models,
    provenance,
)
from cmc.evaluation.recommend import recommend
from cmc.evaluation.scores import Interval, mean_interval, wilson_interval
from cmc.evaluation.texts import rouge_l_recall
from cmc.generation import ControlledModel
from cmc.models import LanguageModel, load_language_model
from cmc.settings import SweepRequest, lab_targets
from cmc.store import place_of

Found = Mapping[str, dict[str, Any]]


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
    cells = [cell for each in triples for cell in sweep.cells(*each, found)]
    yield from measured(cells, found)
    rows = [_row(key, found) for key in dict.fromkeys(_key(*each) for each in triples)]
    report = {
        "kind": "sweep",
        "metric": request.metric,
        "judge": sweep.judge_name,
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


def rows_so_far(found: Mapping[str, dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows of a sweep that is not finished, from the cells that are measured."""
    # Answers and single verdicts are cells as well, and make no row yet.
    whole = [key for key, cell in found.items() if {"strength", "transfer"} <= set(cell)]
    return [_row(key, found) for key in whole]


class _Sweep:
    """Loads what the next cell needs, and measures it."""

    def __init__(self, request: SweepRequest) -> None:
        self.targets = request.targets or lab_targets()
        self._request = request
        self._controllers = {name: load_controller(place_of(name)) for name in request.controllers}
        sources = [request.data, *([request.retain] if request.metric == "forget" else [])]
        self._records = {each: read_records(each, limit=request.limit) for each in sources}
        judges = request.metric == "win_rate"
        given = self._records[request.data], request.data
        self._judge = chosen_judge(request.judging, *given) if judges else None
        self._target: LanguageModel | None = None

    def cells(self, target: str, controller: str, strength: float, found: Found) -> list[Cell]:
        """Return one measurement, and before it those it is made of where they cost much.

        `found` holds the base, and what comes before, when their turn comes.
        """
        key, base = _key(target, controller, strength), _key(target, controller, 0.0)
        whole = Cell(
            key,
            lambda: {
                "target": target, "controller": controller, "strength": strength,
                "base": base if strength else None,
                **self._measured(target, controller, strength, found),
            },
        )  # fmt: skip
        if not strength or self._judge is None or isinstance(self._judge, ReferenceJudge):
            return [whole]
        records = self._records[self._request.data]
        return [
            Cell(f"{key}, answers", lambda: {"said": [
                asdict(each) for each in self._asked(target, controller, strength)[0]
            ]}),
            *(Cell(verdict_key(key, number),
                   lambda number=number: self._compared(key, base, number, found))
              for number in range(len(records))),
            whole,
        ]  # fmt: skip

    @property
    def judge_name(self) -> str | None:
        """Who says which answer is better; None where nobody is asked."""
        return self._judge and self._judge.name

    def provenance(self) -> dict[str, Any]:
        """Return what the sweep was made from."""
        models: dict[str, Any] = {}
        maps: dict[str, Any] = {}
        for target in self.targets:
            models |= describe_models([self._loaded(target)])
            for name in self._controllers:
                maps |= describe_maps([name], self._model(target, name))
        controllers = describe_controllers(self._controllers)
        return provenance(
            self._request, self._records, models=models, controllers=controllers, maps=maps
        )

    def _measured(
        self, target: str, controller: str, strength: float, found: Found
    ) -> dict[str, Any]:
        key, base = _key(target, controller, strength), _key(target, controller, 0.0)
        kept = found.get(f"{key}, answers")
        said = [[Answer(**each) for each in kept["said"]]] if kept else self._asked(
            target, controller, strength
        )  # fmt: skip
        told = {"transfer": self._model(target, controller).transfers[0]}
        if self._request.metric == "exact_match":
            return told | _exact(said[0])
        if self._request.metric == "forget":
            return told | _recalled(said)
        return told | self._preferred(key, found.get(base) if strength else None, said[0], found)

    def _asked(self, target: str, controller: str, strength: float) -> list[list[Answer]]:
        """Return the answers to every source of questions."""
        model, size = self._model(target, controller), self._request.batch_size
        return [list(ask(model, each, (strength,), size)) for each in self._records.values()]

    def _preferred(
        self, key: str, base: Mapping[str, Any] | None, said: Sequence[Answer], found: Found
    ) -> dict[str, Any]:
        """Score how often the judge prefers the answers to the base's; a draw is half."""
        if base is None:
            return told_wins(said, draws(len(said)))
        records = self._records[self._request.data]
        verdicts = [
            found.get(verdict_key(key, number))
            or compared(self._judge, record, base["answers"][number]["text"], each.text)
            for number, (record, each) in enumerate(zip(records, said, strict=True))
        ]
        return told_wins(said, verdicts)

    def _compared(self, key: str, base: str, number: int, found: Found) -> dict[str, Any]:
        """Return one verdict, from answers that are there."""
        record = self._records[self._request.data][number]
        before = found[base]["answers"][number]["text"]
        return compared(
            self._judge, record, before, found[f"{key}, answers"]["said"][number]["text"]
        )

    def _model(self, target: str, name: str) -> ControlledModel:
        request, controller = self._request, self._controllers[name]
        loaded = self._loaded(target)
        return ControlledModel(loaded, [controller], transfer=request.transfer, cover=request.cover)

    def _loaded(self, name: str) -> LanguageModel:
        if self._target is None or self._target.name != name:
            self._target = None  # let go before the next one takes room
            self._target = load_language_model(name)
        return self._target


def _exact(said: Sequence[Answer]) -> dict[str, Any]:
    """Score the share of exact answers."""
    hits = [each.is_exact for each in said]
    return _told(wilson_interval(hits)) | {"answers": told_answers(said, list(map(float, hits)))}


def _recalled(said: Sequence[list[Answer]]) -> dict[str, Any]:
    """Score ROUGE-L recall of what must stay; `forget` is that of what is to be forgotten."""
    forgotten, stays = ([rouge_l_recall(each.opening, each.expected) for each in part]
                        for part in said)  # fmt: skip
    reasons = [*["to be forgotten"] * len(forgotten), *["must stay"] * len(stays)]
    answers = told_answers([*said[0], *said[1]], [*(1 - each for each in forgotten), *stays],
                           reasons)  # fmt: skip
    return {**_told(_mean(stays)), "forget": _told(_mean(forgotten)), "answers": answers}


def _mean(values: Sequence[float]) -> Interval:
    return mean_interval(np.array(values))


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
