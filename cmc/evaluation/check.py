"""A cheap test whether a controller will carry over to a target."""

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

from cmc.controller import Controller, load_controller
from cmc.data import Record, format_prompt, read_records, response_prefix
from cmc.evaluation.answers import ask
from cmc.evaluation.cells import Cell, Progress, measured, told_answers
from cmc.evaluation.provenance import describe_controllers, describe_models, provenance
from cmc.generation import ControlledModel, Row, Score
from cmc.models import LanguageModel, load_language_model
from cmc.settings import CheckRequest, CoverSettings
from cmc.store import place_of
from cmc.vocab import inspected_map, map_summary

CARRIED, PARTLY = 0.7, 0.3  # shares of the template's effect from which a verdict is given


@dataclass(frozen=True)
class Pair:
    """A controller on one model, and the texts it is tried on."""

    controller: Controller
    model: LanguageModel
    transfer: str
    strength: float
    cover: CoverSettings

    def controlled(self) -> ControlledModel:
        """Return both together."""
        return ControlledModel(
            self.model, [self.controller], transfer=self.transfer, cover=self.cover
        )


def evaluate_check(
    request: CheckRequest, kept: Mapping[str, dict[str, Any]] | None = None
) -> Iterator[Progress]:
    """Try a controller on a target with a few texts, beside the template it was trained with.

    Args:
        request: the pair, and on how many texts it is tried.
        kept: cells that were measured before, by key; they are not measured again.

    Raises:
        CmcError: a model, controller or data file cannot be used.
    """
    started = time.perf_counter()
    controller = load_controller(place_of(request.controller))
    target, template = (load_language_model(each) for each in (request.target, request.template))
    records = spread(read_records(request.data), request.limit)
    how = (request.strength, request.cover)
    there = Pair(controller, template, "auto", *how)
    here = Pair(controller, target, request.transfer, *how)
    cells = [
        Cell("map", lambda: map_health(here)),
        Cell("template", lambda: likelihoods(there, records)),
        Cell("target", lambda: likelihoods(here, records)),
        Cell("shift", lambda: {"similarity": shift_similarity(there, here, records)}),
        Cell("generations", lambda: _generations(here, records[: request.generations])),
    ]
    found = dict(kept or {})
    yield from measured(cells, found)
    report = {
        "kind": "check",
        "controller": request.controller, "target": request.target, "strength": request.strength,
        **checked(found),
        "seconds": round(time.perf_counter() - started, 1),
        "provenance": provenance(
            request, {request.data: records},
            models=describe_models([template, target]),
            controllers=describe_controllers({request.controller: controller}),
        ),
    }  # fmt: skip
    yield Progress(len(cells), len(cells), "done", report=report)


def checked(found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what the parts of a check say together, and the verdict in a sentence."""
    here, there = found["target"], found["template"]
    gain, most = here["expected"] - here["expected_alone"], there["expected"]
    most -= there["expected_alone"]
    carried = gain / most if most > 0 else None
    told = {
        "map": found["map"], "target_scores": here, "template_scores": there,
        "shift_similarity": found["shift"]["similarity"], "carried": carried,
    }  # fmt: skip
    return told | {"verdict": _verdict(found, carried)}


def spread(records: Sequence[Record], count: int) -> list[Record]:
    """Return `count` records taken evenly from the whole file, which may be sorted by subject."""
    count = min(count, len(records))
    return [records[number * len(records) // count] for number in range(count)]


def map_health(pair: Pair) -> dict[str, Any]:
    """Return grade, advice and shares of running text of the pair's vocab map."""
    mine, theirs = pair.controller.vocabulary, pair.model.vocabulary
    summary = map_summary(inspected_map(mine, theirs, pair.transfer), mine, theirs)
    return {name: summary[name] for name in ("transfer", "grade", "advice", "mass")}


def likelihoods(pair: Pair, records: Sequence[Record]) -> dict[str, Any]:
    """Return how likely the expected answers are, alone and under control.

    Returns:
        `gain`: what control adds to an answer's log-probability, nats per byte of the answer;
        `expected`, `expected_alone`: mean probability of the expected answer as a whole, which
        is the exact match of answers drawn at temperature 1; `n`: texts.
    """
    model = pair.controlled()
    form = model.prompt_format
    prompts = [format_prompt(form, each.instruction, each.input) for each in records]
    answers = [response_prefix(form) + each.output for each in records]
    alone, controlled = (
        [math.fsum(each.logprobs) for each in _scores(model, prompts, answers, strength)]
        for strength in (0.0, pair.strength)
    )
    size = sum(len(each.encode()) for each in answers)
    return {
        "gain": (math.fsum(controlled) - math.fsum(alone)) / size,
        "expected": math.fsum(map(math.exp, controlled)) / len(records),
        "expected_alone": math.fsum(map(math.exp, alone)) / len(records),
        "n": len(records),
    }


def _scores(
    model: ControlledModel, prompts: Sequence[str], answers: Sequence[str], strength: float
) -> list[Score]:
    return model.score(prompts, answers, (strength,))


def shift_similarity(there: Pair, here: Pair, records: Sequence[Record]) -> float:
    """Return how alike the shifts on two models are, from 0 to 1, no unit.

    Different vocabularies are compared by the first byte of the next word. Both shifts are
    applied to the base of the first model; of the two distributions that gives, the similarity
    is 1 minus the mean Jensen-Shannon divergence in bits.
    """
    base, mine = _next_bytes(there, records)
    other_base, other = _next_bytes(here, records)
    moved = torch.softmax(base + (other - other_base), -1)
    divergence = jensen_shannon(torch.softmax(mine, -1), moved)
    return 1 - float(divergence.mean())


def jensen_shannon(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
    """Return the divergence of `(…, outcomes)` distributions, in bits: 0 equal, 1 disjoint."""
    middle = ((one + other) / 2).clamp_min(1e-30)
    parts = [(each * (each.clamp_min(1e-30) / middle).log2()).sum(-1) for each in (one, other)]
    return (parts[0] + parts[1]) / 2


def _next_bytes(pair: Pair, records: Sequence[Record]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return `(places, 257)` log-probabilities of the next word's first byte: base, controlled.

    The places are the start and the middle of every expected answer; the last outcome is the end
    of the text, or a space alone.
    """
    model = pair.controlled()
    form = model.prompt_format
    starts = []
    for record in records:
        prompt, words = format_prompt(form, record.instruction, record.input), record.output.split()
        half = " ".join(words[: len(words) // 2])
        starts += [prompt, prompt + response_prefix(form) + half]
    rows = [Row(text, (strength,)) for strength in (0.0, pair.strength) for text in starts]
    scores = model.decoder(rows).scores(range(len(rows)))
    first = [(each or b"").strip()[:1] for each in pair.model.vocabulary.token_bytes]
    outcome = torch.full((scores.shape[1],), 256, device=scores.device)
    outcome[: len(first)] = torch.tensor(
        [each[0] if each else 256 for each in first], device=scores.device
    )
    shares = torch.zeros(len(rows), 257, device=scores.device)
    shares.index_add_(1, outcome, torch.softmax(scores, -1))
    logprobs = shares.clamp_min(1e-12).log().cpu()
    return logprobs[: len(starts)], logprobs[len(starts) :]


def _generations(pair: Pair, records: Sequence[Record]) -> dict[str, Any]:
    """Return a few controlled answers, to be read."""
    model = pair.controlled()
    answers = list(ask(model, records, (pair.strength,), max(1, len(records))))
    scores = [float(each.is_exact) for each in answers]
    return {"base": None, "answers": told_answers(answers, scores)}


def _verdict(found: Mapping[str, dict[str, Any]], carried: float | None) -> str:
    gain = found["target"]["gain"]
    if carried is None:
        return "Nothing can be told: the controller has no effect on its own template."
    share = f"about {100 * max(0.0, min(1.0, carried)):.0f} % of its effect on the template arrives"
    if gain <= 0:
        return "Does harm here: the expected answers become less likely under control."
    if carried >= CARRIED:
        return f"Carries over: {share}."
    if carried >= PARTLY:
        return f"Carries over in part: {share}; try another strength before you rely on it."
    return f"Hardly carries over: {share}. {found['map']['advice']}"
