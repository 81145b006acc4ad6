"""A cheap test whether a controller will carry over to a target."""

import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from cmc.controller import load_controller
from cmc.data import Record, read_records
from cmc.evaluation.answers import ask
from cmc.evaluation.cells import Cell, Progress, measured, told_answers
from cmc.evaluation.provenance import (
    describe_controllers,
    describe_maps,
    describe_models,
    provenance,
)
from cmc.evaluation.trial import (
    Pair,
    carried_share,
    likelihoods,
    shift_similarity,
    told_likelihoods,
)
from cmc.models import load_language_model
from cmc.settings import CheckRequest
from cmc.store import place_of
from cmc.vocab import inspected_map, map_summary

CARRIED, PARTLY = 0.7, 0.3  # shares of the template's effect from which a verdict is given


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
        Cell("shift", lambda: shift_similarity(there, here, records)),
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
            maps=describe_maps([request.controller], here.controlled()),
        ),
    }  # fmt: skip
    yield Progress(len(cells), len(cells), "done", report=report)


def checked(found: Mapping[str, dict[str, Any]]) -> dict[str, Any]:
    """Return what the parts of a check say together, and the verdict in a sentence."""
    here, there = (told_likelihoods(found[name]) for name in ("target", "template"))
    carried = carried_share(found["target"], found["template"])
    told = {
        "map": found["map"], "target_scores": here, "template_scores": there,
        "shift_similarity": found["shift"]["similarity"],
        "shift_interval": {name: found["shift"][name] for name in ("low", "high", "n")},
        "carried": carried and carried["value"],
        "carried_interval": carried and {name: carried[name] for name in ("low", "high")},
    }  # fmt: skip
    return told | {"verdict": _verdict(here["gain"], carried, found["map"]["advice"])}


def spread(records: Sequence[Record], count: int) -> list[Record]:
    """Return `count` records taken evenly from the whole file, which may be sorted by subject."""
    count = min(count, len(records))
    return [records[number * len(records) // count] for number in range(count)]


def map_health(pair: Pair) -> dict[str, Any]:
    """Return grade, advice and shares of running text of the pair's vocab map."""
    mine, theirs = pair.controller.vocabulary, pair.model.vocabulary
    summary = map_summary(inspected_map(mine, theirs, pair.transfer), mine, theirs)
    return {name: summary[name] for name in ("transfer", "grade", "advice", "mass")}


def _generations(pair: Pair, records: Sequence[Record]) -> dict[str, Any]:
    """Return a few controlled answers, to be read."""
    model = pair.controlled()
    answers = list(ask(model, records, (pair.strength,), max(1, len(records))))
    scores = [float(each.is_exact) for each in answers]
    return {"base": None, "answers": told_answers(answers, scores)}


def _verdict(gain: float, carried: Mapping[str, float] | None, advice: str) -> str:
    if carried is None:
        return "Nothing can be told: the controller has no effect on its own template."
    ends = [f"{100 * max(0.0, min(1.0, carried[end])):.0f}" for end in ("value", "low", "high")]
    share = f"about {ends[0]} % [{ends[1]}, {ends[2]}] of its effect on the template arrives"
    if gain <= 0:
        return "Does harm here: the expected answers become less likely under control."
    if carried["value"] >= CARRIED:
        return f"Carries over: {share}."
    if carried["value"] >= PARTLY:
        return f"Carries over in part: {share}; try another strength before you rely on it."
    return f"Hardly carries over: {share}. {advice}"
