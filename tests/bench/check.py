"""Does the transfer check rank pairs as the full evaluation does, and at what part of its cost?

Pairs are the lab's targets by every fitting transfer, targets whose weights were damaged, and a
controller whose weights were. Models are loaded beforehand; processor time is compared.
"""

import copy
import time
from collections.abc import Iterator
from dataclasses import replace

import torch
from scipy.stats import spearmanr

from cmc.controller import Controller, load_controller
from cmc.data import read_records
from cmc.evaluation import ask
from cmc.evaluation.check import Pair, checked, likelihoods, map_health, shift_similarity, spread
from cmc.generation import ControlledModel
from cmc.models import LanguageModel, load_language_model
from cmc.settings import CheckRequest, CoverSettings, TransferRequest
from tests.bench.row import Measurement

# Noise relative to the spread of each weight matrix.
DAMAGED_TARGETS = (("lab:byte", 0.2), ("lab:byte", 0.4), ("lab:twin", 0.3), ("lab:unigram", 0.3))
DAMAGED_CONTROLLERS = (("lab:byte", 0.3), ("lab:twin", 0.6))


def measure() -> Iterator[Measurement]:
    """Yield exact match and what the check foretold for every pair, then correlation and cost."""
    asked = CheckRequest()
    controller = load_controller(asked.controller)
    template = load_language_model(asked.template)
    records = read_records(asked.data, limit=TransferRequest.limit)
    few = spread(read_records(asked.data), asked.limit)
    there = Pair(controller, template, "auto", 1.0, CoverSettings())
    full, cheap, seconds = [], [], [0.0, 0.0]
    for name, pair in _pairs(controller):
        started = time.process_time()
        # The template goes with the controller as it is tried, damage included.
        found = _checked(replace(there, controller=pair.controller), pair, few)
        cheap.append(found["target_scores"]["expected"])
        seconds[0] += time.process_time() - started
        started = time.process_time()
        full.append(_exact_match(pair, records))
        seconds[1] += time.process_time() - started
        yield Measurement(name=f"{name}: exact match, n={len(records)}", value=full[-1], unit="")
        yield Measurement(name=f"{name}: foretold, n={len(few)}", value=cheap[-1], unit="")
    rank = float(spearmanr(cheap, full).statistic)
    yield Measurement(
        name="rank correlation", value=rank, unit="", target=0.8, limit=1.0, is_lower_better=False
    )
    yield Measurement(name="cost", value=seconds[0] / seconds[1], unit="of full", target=0.1)


def _pairs(controller: Controller) -> Iterator[tuple[str, Pair]]:
    how = (1.0, CoverSettings())
    for target in ("lab:byte", "lab:twin", "lab:unigram"):
        model = load_language_model(target)
        for transfer in ("same" if target == "lab:twin" else "pm-mined", "cover"):
            yield f"{target} by {transfer}", Pair(controller, model, transfer, *how)
    for target, noise in DAMAGED_TARGETS:
        model = load_language_model(target)
        broken = LanguageModel(target, damaged(model.model, noise), model.vocabulary)
        yield f"{target} with noise {noise:g}", Pair(controller, broken, "auto", *how)
    for target, noise in DAMAGED_CONTROLLERS:
        broken = copy.copy(controller)
        broken.delta = damaged(copy.deepcopy(controller.delta), noise)
        pair = Pair(broken, load_language_model(target), "auto", *how)
        yield f"{target}, controller with noise {noise:g}", pair


def damaged(network: torch.nn.Module, noise: float) -> torch.nn.Module:
    """Add noise to every weight matrix, relative to its spread; always the same."""
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for weight in network.parameters():
            if weight.dim() > 1:
                drawn = torch.randn(weight.shape, generator=generator)
                weight.add_((noise * weight.std() * drawn).to(weight.device, weight.dtype))
    return network


def _checked(there: Pair, here: Pair, records: list) -> dict:
    """Do everything a check does; its generations are no part of what it foretells."""
    return checked({
        "map": map_health(here), "template": likelihoods(there, records),
        "target": likelihoods(here, records),
        "shift": {"similarity": shift_similarity(there, here, records)},
    })  # fmt: skip


def _exact_match(pair: Pair, records: list) -> float:
    """Ask everything, alone and under control, as `evaluate transfer` does."""
    alone = ControlledModel(pair.model, [])
    form = pair.controller.prompt_format
    size = TransferRequest.batch_size
    list(ask(alone, records, (), size, form))
    answers = list(ask(pair.controlled(), records, (pair.strength,), size))
    return sum(each.is_exact for each in answers) / len(answers)
