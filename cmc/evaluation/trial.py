"""A controller tried on a few texts: how likely it makes them, how alike its shifts are."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from cmc.controller import Controller
from cmc.data import Record, response_prefix
from cmc.evaluation.scores import Interval, bootstrap_interval, mean_interval
from cmc.generation import ControlledModel, Row
from cmc.models import LanguageModel
from cmc.settings import CoverSettings


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


def likelihoods(pair: Pair, records: Sequence[Record]) -> dict[str, Any]:
    """Return per text the log-probability of its expected answer as a whole, in nats.

    Returns:
        `alone` and `controlled`: one each per record; `bytes`: the size of the answers.
    """
    model = pair.controlled()
    prefix, found = response_prefix(model.prompt_format), {}
    for name, strength in (("alone", 0.0), ("controlled", pair.strength)):
        rows = [model.row(each.instruction, (strength,), each.input) for each in records]
        answers = [row.response(prefix, each.output)
                   for row, each in zip(rows, records, strict=True)]  # fmt: skip
        found[name] = [math.fsum(each.logprobs) for each in model.score(rows, answers)]
    return found | {"bytes": [len(each.encode()) for each in answers]}


def told_likelihoods(found: Mapping[str, Sequence[float]]) -> dict[str, Any]:
    """Return what likelihoods of single texts say together.

    Returns:
        `gain`: what control adds to an answer's log-probability, nats per byte of the answer;
        `expected`, `expected_alone`: mean probability of the expected answer as a whole, which
        is the exact match of answers drawn at temperature 1; with 95 % bootstrap intervals;
        `n`: texts.
    """
    alone, controlled, size = (
        np.array(found[name], dtype=float) for name in ("alone", "controlled", "bytes")
    )
    rows = np.column_stack([controlled - alone, size])
    gain = bootstrap_interval([rows], lambda drawn: drawn[:, 0].sum() / drawn[:, 1].sum())
    expected, before = (mean_interval(np.exp(each)) for each in (controlled, alone))
    return {
        "gain": gain.value, "gain_interval": _ends(gain),
        "expected": expected.value, "expected_interval": _ends(expected),
        "expected_alone": before.value, "expected_alone_interval": _ends(before),
        "n": len(alone),
    }  # fmt: skip


def carried_share(
    here: Mapping[str, Sequence[float]], there: Mapping[str, Sequence[float]]
) -> dict[str, Any] | None:
    """Return how much of the template's gain in probability the target has, no unit.

    None where the template gains nothing. The interval draws the texts anew, both models' together.

    Args:
        here: likelihoods of the target.
        there: of the template, for the same texts.
    """
    rows = np.exp(np.column_stack([here["controlled"], here["alone"],
                                   there["controlled"], there["alone"]]))  # fmt: skip
    if rows[:, 2].mean() <= rows[:, 3].mean():
        return None

    def share(drawn: np.ndarray) -> float:
        controlled, alone, most, least = drawn.mean(0)
        return float((controlled - alone) / (most - least)) if most > least else 0.0

    found = bootstrap_interval([rows], share)
    return {"value": found.value, **_ends(found)}


def shift_similarity(there: Pair, here: Pair, records: Sequence[Record]) -> dict[str, Any]:
    """Return how alike the shifts on two models are, from 0 to 1, no unit, with its interval.

    Different vocabularies are compared by the first byte of the next word. Both shifts are
    applied to the base of the first model; of the two distributions that gives, the similarity
    is 1 minus the mean Jensen-Shannon divergence in bits.
    """
    base, mine = _next_bytes(there, records)
    other_base, other = _next_bytes(here, records)
    moved = torch.softmax(base + (other - other_base), -1)
    divergence = jensen_shannon(torch.softmax(mine, -1), moved)
    found = mean_interval(1 - divergence.double().numpy())
    return {"similarity": found.value, **_ends(found), "n": found.n}


def _ends(interval: Interval) -> dict[str, float]:
    return {"low": interval.low, "high": interval.high}


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
    rows = [
        row
        for strength in (0.0, pair.strength)
        for each in records
        for row in _places(model, each, strength)
    ]
    scores = model.decoder(rows).scores(range(len(rows)))
    first = [(each or b"").strip()[:1] for each in pair.model.vocabulary.token_bytes]
    outcome = torch.full((scores.shape[1],), 256, device=scores.device)
    outcome[: len(first)] = torch.tensor(
        [each[0] if each else 256 for each in first], device=scores.device
    )
    shares = torch.zeros(len(rows), 257, device=scores.device)
    shares.index_add_(1, outcome, torch.softmax(scores, -1))
    logprobs = shares.clamp_min(1e-12).log().cpu()
    return logprobs.tensor_split(2)


def _places(model: ControlledModel, record: Record, strength: float) -> tuple[Row, Row]:
    """Return rows at the start and in the middle of an expected answer."""
    row, words = model.row(record.instruction, (strength,), record.input), record.output.split()
    half = row.response(response_prefix(model.prompt_format), " ".join(words[: len(words) // 2]))
    if row.target_ids is None:
        return row, replace(row, prompt=row.prompt + half)
    read = model.target.vocabulary.encode_continuation(half.encode())
    begun = row.begun + half.encode()
    return row, replace(row, target_ids=(*row.target_ids, *read), begun=begun)
