"""What is forgotten and what stays: methods x targets, at a strength that other items chose."""

import hashlib
import json
import time
from collections.abc import Iterator, Mapping, MutableMapping, Sequence
from dataclasses import asdict, replace
from functools import cache, partial
from itertools import product
from typing import Any

import numpy as np

from cmc.controller import load_controller
from cmc.data import Record, fingerprint_records, read_records
from cmc.errors import DataError
from cmc.evaluation.answers import Answer, ask
from cmc.evaluation.cells import Cell, Progress, measured, told_answers
from cmc.evaluation.provenance import (
    describe_controllers,
    describe_models,
    provenance,
    weights_hash,
)
from cmc.evaluation.recommend import recommend
from cmc.evaluation.scores import mean_interval
from cmc.evaluation.texts import rouge_l_recall
from cmc.generation import ControlledModel
from cmc.models import LanguageModel, load_language_model
from cmc.settings import ForgettingRequest, TrainSettings, as_plain, home, lab_targets
from cmc.store import place_of
from cmc.training import run_training
from cmc.training.folder import CONTROLLER, STATUS, read_json

SETS = ("forget", "retain", "other")
# ROUGE-L recall: the first must fall under its figure, the others stay over theirs.
GOAL = {"forget": 0.35, "retain": 0.85, "other": 0.90}
MOONSHOT = {"forget": 0.20, "retain": 0.95, "other": 0.90}
CHOOSING, REPORTING = "choosing", "reporting"
SPARE_TOKENS = 8  # behind an answer as long as the expected one


def evaluate_forgetting(
    request: ForgettingRequest, kept: Mapping[str, dict[str, Any]] | None = None
) -> Iterator[Progress]:
    """Train a controller with every objective, choose strengths, measure what is forgotten.

    Every set of questions is cut in two. With one half of what must go and of what must stay,
    every method is tried at all strengths on every target, and `recommend` chooses; what is
    reported comes from the other half, and from facts that no training was told anything of.

    Args:
        request: what to measure.
        kept: cells that were measured before, by key; they are not measured again.

    Raises:
        CmcError: a model, controller or data file cannot be used, or training fails.
    """
    started = time.perf_counter()
    table = _Table(request, dict(kept or {}))
    done = 0
    for phase in (table.trainings, table.choices, table.reports):
        cells = phase()
        for each in measured(cells, table.found):
            yield replace(each, done=done + each.done, total=table.total)
        done += len({each.key for each in cells})
    report = {"kind": "forgetting", **table.report()}
    report["seconds"] = round(time.perf_counter() - started, 1)
    yield Progress(done, done, "done", report=report)


def reached(row: Mapping[str, Any]) -> str:
    """Return `moonshot`, `goal`, or what a row misses.

    >>> reached({each: {"score": score} for each, score in zip(SETS, (0.3, 0.9, 0.89))})
    'misses other 0.9'
    """
    for name, limits in (("moonshot", MOONSHOT), ("goal", GOAL)):
        missed = [each for each in SETS if not _is_good(each, row[each]["score"], limits[each])]
        if not missed:
            return name
    return "misses " + ", ".join(f"{each} {GOAL[each]:g}" for each in missed)


def _is_good(name: str, score: float, limit: float) -> bool:
    return score < limit if name == "forget" else score > limit


class _Table:
    """The cells of the three phases, each made when those before are measured."""

    def __init__(self, request: ForgettingRequest, found: MutableMapping[str, Any]) -> None:
        self.found = found
        self._request = request
        self._sources = dict(zip(SETS, (request.data, request.retain, request.other), strict=True))
        self._records = {name: read_records(each) for name, each in self._sources.items()}
        self._targets = request.targets or (request.template, *lab_targets())
        self._methods = request.controllers or request.objectives
        self._controller = cache(lambda method: load_controller(self._place(method)))
        self._target: LanguageModel | None = None

    @property
    def total(self) -> int:
        """How many cells there are at most: methods that do not forget share the base's."""
        pairs, targets = len(self._targets) * len(self._methods), len(self._targets)
        trainings = 0 if self._request.controllers else len(self._methods)
        return trainings + 2 * targets + pairs * (len(self._request.strengths) + 1)

    def trainings(self) -> list[Cell]:
        """Return a cell for every controller that has to be trained."""
        if self._request.controllers:
            return []
        return [
            Cell(_training(each), partial(_trained, each, self._request, self._records))
            for each in self._methods
        ]

    def choices(self) -> list[Cell]:
        """Return a cell for every strength of every method on every target, and for the bases."""
        return [
            cell
            for target in self._targets
            for cell in (
                self._cell(CHOOSING, target),
                *(self._cell(CHOOSING, target, each, strength)
                  for each in self._methods for strength in self._strengths(each)),
            )
        ]  # fmt: skip

    def reports(self) -> list[Cell]:
        """Return a cell for every method on every target, at the strength it was given."""
        return [
            cell
            for target in self._targets
            for cell in (
                self._cell(REPORTING, target),
                *(self._cell(REPORTING, target, each, self._chosen(each, target)["strength"] or 0.0)
                  for each in self._methods),
            )
        ]  # fmt: skip

    def report(self) -> dict[str, Any]:
        """Return the rows, how strengths were chosen, and what all was made from."""
        pairs = list(product(self._methods, self._targets))
        data = {each: self._records[name] for name, each in self._sources.items()}
        controllers = describe_controllers({each: self._controller(each) for each in self._methods})
        return {
            "rows": [self._row(*pair) for pair in pairs],
            "choices": [
                {"method": method, "target": target, **self._chosen(method, target),
                 "points": self._points(method, target)} for method, target in pairs
            ],
            "goal": GOAL, "moonshot": MOONSHOT,
            "provenance": provenance(
                self._request, data, controllers=controllers,
                models=describe_models(self._loaded(each) for each in self._targets),
            ),
        }  # fmt: skip

    def _row(self, method: str, target: str) -> dict[str, Any]:
        chosen = self._chosen(method, target)
        strength = chosen["strength"] or 0.0
        cell = self.found[_key(REPORTING, target, method, strength)]
        base = self.found[_key(REPORTING, target)]
        scores = {each: cell[each] | {"base": base[each]["score"]} for each in SETS}
        row = {"method": method, "target": target, "transfer": cell["transfer"],
               "strength": chosen["strength"], **scores}  # fmt: skip
        return row | {"reached": reached(row)}

    def _chosen(self, method: str, target: str) -> dict[str, Any]:
        return recommend(self._points(method, target))

    def _points(self, method: str, target: str) -> list[dict[str, Any]]:
        """Return what was measured to choose by, as `recommend` takes it."""
        cells = [self.found[_key(CHOOSING, target)]]
        cells += [self.found[_key(CHOOSING, target, method, s)] for s in self._strengths(method)]
        return [
            {"strength": each["strength"], **each["retain"], "forget": each["forget"]}
            for each in cells
        ]

    def _strengths(self, method: str) -> tuple[float, ...]:
        is_reversed = self._controller(method).settings["objective"] == "reverse"
        return tuple(-each if is_reversed else each for each in self._request.strengths)

    def _cell(self, half: str, target: str, method: str = "", strength: float = 0.0) -> Cell:
        key, base = _key(half, target, method, strength), _key(half, target)
        about = {"target": target, "controller": method, "strength": strength,
                 "base": base if key != base else None}  # fmt: skip
        return Cell(key, lambda: about | self._measured(half, target, method, strength))

    def _measured(self, half: str, target: str, method: str, strength: float) -> dict[str, Any]:
        """Return ROUGE-L recall of every set, and the answers."""
        # The base is the target alone, whatever its controllers were trained on.
        controllers = [self._controller(method)] if strength else []
        model = ControlledModel(self._loaded(target), controllers, cover=self._request.cover)
        found: dict[str, Any] = {"transfer": model.transfers[0] if controllers else None}
        answers: list[dict[str, Any]] = []
        for name in SETS if half == REPORTING else SETS[:2]:
            said = self._asked(model, self._half(name, half), (strength,) * len(controllers))
            recalls = [rouge_l_recall(each.opening, each.expected) for each in said]
            found[name] = _told(recalls)
            answers += told_answers(said, recalls, [name] * len(said))
        return found | {"answers": answers}

    def _asked(
        self, model: ControlledModel, records: Sequence[Record], strengths: tuple[float, ...]
    ) -> list[Answer]:
        longest = max(len(each.output.encode()) for each in records)
        request = self._request
        return list(ask(model, records, strengths, request.batch_size, request.prompt_format,
                        max_new_tokens=longest + SPARE_TOKENS))  # fmt: skip

    def _half(self, name: str, half: str) -> list[Record]:
        """Return every other record: those to choose by, or those to report on."""
        records = self._records[name]
        if len(records) < 2:
            raise DataError(
                f"{self._sources[name]} has one record, too few for two halves",
                hint="Give at least two, to choose a strength with and to report on.",
            )
        return records[half == REPORTING :: 2][: self._request.limit]

    def _place(self, method: str) -> str:
        if self._request.controllers:
            return place_of(method)
        return self.found[_training(method)]["folder"]

    def _loaded(self, name: str) -> LanguageModel:
        if self._target is None or self._target.name != name:
            self._target = None  # let go before the next one takes room
            self._target = load_language_model(name)
        return self._target


def _trained(
    objective: str, request: ForgettingRequest, records: Mapping[str, Sequence[Record]]
) -> dict[str, Any]:
    """Train a controller with one objective, or take the one that was trained just so."""
    settings = TrainSettings(
        template=request.template, data=request.data, init=request.init, objective=objective,
        retain=request.retain, prompt_format=request.prompt_format, name=f"forget-{objective}",
        max_steps=request.max_steps, batch_size=request.train_batch,
        learning_rate=request.learning_rate, held_out_fraction=0.05,
    )  # fmt: skip
    made_from = [
        as_plain(settings), *(fingerprint_records(records[each]) for each in SETS[:2]),
        *(weights_hash(each, "models") for each in (request.template, request.init)),
    ]  # fmt: skip
    digest = hashlib.sha256(json.dumps(made_from).encode()).hexdigest()[:12]
    folder = home() / "forgetting" / f"{objective}-{digest}"
    if read_json(folder / STATUS).get("state") != "finished":
        for _ in run_training(settings, folder):
            pass
    status = read_json(folder / STATUS)
    if status["state"] != "finished":
        raise KeyboardInterrupt  # whoever stops the training stops the evaluation
    about = {"folder": str(folder / CONTROLLER), "steps": status["step"]}
    return about | {name: status[name] for name in ("loss_first", "loss_last", "seconds")}


def _told(values: Sequence[float]) -> dict[str, Any]:
    told = asdict(mean_interval(np.array(values)))
    return {"score": told.pop("value"), **told}


def _training(objective: str) -> str:
    return f"{objective} is trained"


def _key(half: str, target: str, method: str = "", strength: float = 0.0) -> str:
    return f"{half}: {f'{method} at {strength:g}' if strength else 'base'} on {target}"
