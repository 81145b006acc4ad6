"""Does the transfer check rank pairs as the full evaluation does, and at what part of its cost?

Pairs are the lab's targets by every fitting transfer, targets whose weights were damaged, and a
controller whose weights were. The full evaluation of a pair asks the target all its questions,
alone and under control, as `evaluate transfer` does; the check does all it does for a person, its
generations included. Both load what they need, and their processor time is compared. Of the full
evaluation's batches a part is asked, spread over all questions; the others cost as much.
"""

import copy
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import torch
from scipy.stats import spearmanr

from cmc.controller import Controller, load_controller
from cmc.data import read_records
from cmc.evaluation import ask
from cmc.evaluation.check import checked, map_health, spread
from cmc.evaluation.trial import Pair, likelihoods, shift_similarity
from cmc.generation import ControlledModel
from cmc.models import LanguageModel, load_language_model
from cmc.settings import CheckRequest, CoverSettings, TransferRequest
from tests.bench.row import Measurement

ASKED = 100  # of the full evaluation's questions; a whole number of its batches
# Noise relative to the spread of each weight matrix.
DAMAGED_TARGETS = (("lab:byte", 0.2), ("lab:byte", 0.4), ("lab:twin", 0.3), ("lab:unigram", 0.3))
DAMAGED_CONTROLLERS = {"lab:byte": (0.3,), "lab:twin": (0.6,)}


def measure() -> Iterator[Measurement]:
    """Yield exact match and what the check foretold for every pair, then correlation and cost."""
    asked = CheckRequest()
    controller, loading = _timed(lambda: load_controller(asked.controller))
    template, more = _timed(lambda: load_language_model(asked.template))
    there = Pair(controller, template, "auto", 1.0, CoverSettings())
    records = spread(read_records(asked.data, limit=TransferRequest.limit), ASKED)
    more_of_it = TransferRequest.limit / len(records)
    full, cheap, check_seconds, full_seconds = [], [], [], []
    alone = _Alone(records)
    for name, pair, target_loading in _pairs(controller):
        # The template goes with the controller as it is tried, damage included.
        tried = replace(there, controller=pair.controller)
        found, seconds = _timed(lambda tried=tried, pair=pair: _checked(tried, pair, asked))
        cheap.append(found["target_scores"]["expected"])
        check_seconds.append(seconds + loading + more + target_loading)
        match, seconds = _timed(lambda pair=pair: _exact_match(pair, records))
        full.append(match)
        asking = more_of_it * (seconds + alone.seconds(pair))
        full_seconds.append(asking + loading + target_loading)
        yield Measurement(name=f"{name}: exact match, n={len(records)}", value=full[-1], unit="")
        yield Measurement(name=f"{name}: foretold, n={asked.limit}", value=cheap[-1], unit="")
    rank = float(spearmanr(cheap, full).statistic)
    yield Measurement(
        name="rank correlation", value=rank, unit="", target=0.8, limit=1.0, is_lower_better=False
    )
    parts = [one / other for one, other in zip(check_seconds, full_seconds, strict=True)]
    whole = sum(check_seconds) / sum(full_seconds)
    yield Measurement(name="cost, all pairs", value=whole, unit="of full", target=0.1)
    yield Measurement(name="cost, dearest pair", value=max(parts), unit="of full", target=0.1)


def _timed(work: Callable[[], Any]) -> tuple[Any, float]:
    """Return what some work gives, and the processor time it took in seconds."""
    started = time.process_time()
    return work(), time.process_time() - started


def _pairs(controller: Controller) -> Iterator[tuple[str, Pair, float]]:
    """Yield every pair with its name, and the seconds its target took to load."""
    how = (1.0, CoverSettings())
    for target in ("lab:byte", "lab:twin", "lab:unigram"):
        model, loading = _timed(lambda target=target: load_language_model(target))
        for transfer in ("same" if target == "lab:twin" else "pm-mined", "cover"):
            yield f"{target} by {transfer}", Pair(controller, model, transfer, *how), loading
        for noise in DAMAGED_CONTROLLERS.get(target, ()):
            broken = copy.copy(controller)
            broken.delta = damaged(copy.deepcopy(controller.delta), noise)
            name = f"{target}, controller with noise {noise:g}"
            yield name, Pair(broken, model, "auto", *how), loading
    for target, noise in DAMAGED_TARGETS:
        model, loading = _timed(lambda target=target: load_language_model(target))
        broken = LanguageModel(target, damaged(model.model, noise), model.vocabulary)
        yield f"{target} with noise {noise:g}", Pair(controller, broken, "auto", *how), loading


def damaged(network: torch.nn.Module, noise: float) -> torch.nn.Module:
    """Add noise to every weight matrix, relative to its spread; always the same."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                drawn = torch.randn(weight.shape, generator=generator)
                weight.add_((noise * weight.std() * drawn).to(weight.device, weight.dtype))
    return network


def _checked(there: Pair, here: Pair, asked: CheckRequest) -> dict:
    """Do everything a check does, its generations too, though they foretell nothing."""
    every = read_records(asked.data)
    records = spread(every, asked.limit)
    list(ask(here.controlled(), records[: asked.generations], (1.0,), asked.generations))
    return checked({
        "map": map_health(here), "template": likelihoods(there, records),
        "target": likelihoods(here, records), "shift": shift_similarity(there, here, records),
    })  # fmt: skip


class _Alone:
    """What it costs to ask a target everything alone: the same for each of its pairs."""

    def __init__(self, records: list) -> None:
        self._records = records
        self._model: LanguageModel | None = None
        self._known: dict[str, float] = {}

    def seconds(self, pair: Pair) -> float:
        """Return the processor time; asked once per target in a row, and kept by its name."""
        if self._model is not pair.model:
            self._model = pair.model
            model, form = ControlledModel(pair.model, []), pair.controller.prompt_format
            size = TransferRequest.batch_size
            self._known[pair.model.name] = _timed(
                lambda: list(ask(model, self._records, (), size, form))
            )[1]
        return self._known[pair.model.name]


def _exact_match(pair: Pair, records: list) -> float:
    """Ask everything under control, as `evaluate transfer` does."""
    answers = list(ask(pair.controlled(), records, (pair.strength,), TransferRequest.batch_size))
    return sum(each.is_exact for each in answers) / len(answers)
