"""Rails: act only where it matters, say nothing the base finds absurd, move no token too far."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cmc.settings import Rails


def is_off(rails: Rails) -> bool:
    """Say whether control is left as it is."""
    return rails == Rails()


def is_uncertain(logits: Tensor, active: Sequence[int], rails: Rails) -> list[int]:
    """Return the rows whose controllers must be asked.

    With a gate on the base's entropy alone, the others need no controller at all.
    """
    if rails.gate_entropy == 0 or rails.gate_shift > 0:
        return list(active)
    entropies = entropy(logits[list(active)]).tolist()
    return [row for row, each in zip(active, entropies, strict=True) if each >= rails.gate_entropy]


def guarded(
    logits: Tensor, scores: Tensor, strengths: Sequence[Sequence[float]], rows: Sequence[int],
    rails: Rails,
) -> Tensor:  # fmt: skip
    """Return `scores` within the rails; rows that no controller steers stay as they are.

    Args:
        logits: `(batch, vocab)` of the base, nats up to a constant per row.
        scores: `(batch, vocab)` under control.
        strengths: per row one per controller.
        rows: those that are steered.
        rails: see `cmc.settings.Rails`.
    """
    kept = scores.clone()
    at = list(rows)
    base, change = _change(logits[at], scores[at])
    if rails.gate_shift > 0:
        acts = ((base + change).exp() * change).nan_to_num(0.0).sum(-1) >= rails.gate_shift
        if rails.gate_entropy > 0:
            acts |= entropy(logits[at]) >= rails.gate_entropy
        change = torch.where(acts[:, None], change, 0.0)
    if rails.cap > 0:
        change = change.clamp(-rails.cap, rails.cap)
    moved = base + change
    if rails.plausibility > 0:
        beyond = [any(abs(each) > 1 for each in strengths[row]) for row in rows]
        least = base.amax(-1, keepdim=True) + torch.tensor(rails.plausibility).log()
        absurd = (base < least) & torch.tensor(beyond, device=base.device)[:, None]
        moved = moved.masked_fill(absurd, float("-inf"))
    kept[at] = moved
    return kept


def entropy(logits: Tensor) -> Tensor:
    """Return `(batch,)` entropy of `(batch, vocab)` scores, nats."""
    logprobs = torch.log_softmax(logits, -1)
    return -(logprobs.exp() * logprobs).nan_to_num(0.0).sum(-1)


def _change(logits: Tensor, scores: Tensor) -> tuple[Tensor, Tensor]:
    base = torch.log_softmax(logits, -1)
    return base, torch.log_softmax(scores, -1) - base
