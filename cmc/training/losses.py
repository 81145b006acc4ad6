"""What each objective asks of the batches of a step; the formulas are in `objectives`.

Every loss but `sft` forgets: it moves the answers of the data away, and all but `grad_ascent`
hold the answers of the retain records where they were. The template alone is the reference
model wherever one is needed, and costs nothing: its scores are there anyway.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from torch import Tensor

from cmc.data import TokenBatch
from cmc.training.objectives import dpo_loss, npo_loss, simnpo_loss, sum_by_owner
from cmc.training.rows import label_owners
from cmc.training.two_heads import DIVERGENCE, LOSS

if TYPE_CHECKING:
    from cmc.training.step import TrainingState


@dataclass(frozen=True)
class StepBatches:
    """What one step learns from: the data, what is to stay, refusals to the data's questions."""

    data: TokenBatch
    retain: TokenBatch | None = None
    refusals: TokenBatch | None = None  # row by row of `data`; `dpo` only

    def all(self) -> list[TokenBatch]:
        """Return those batches that are there."""
        return [each for each in (self.data, self.retain, self.refusals) if each is not None]


@dataclass(frozen=True)
class _Answers:
    """Whole answers of this process's share: log-probabilities in nats, lengths in tokens."""

    controlled: Tensor
    template: Tensor
    lengths: Tensor

    @property
    def ratios(self) -> Tensor:
        """Return `(batch,)` how much likelier control makes each answer, in nats."""
        return self.controlled - self.template


def _cross_entropy(state: "TrainingState", batch: TokenBatch) -> Tensor:
    """Cross entropy of template plus delta, mean over the labels of the whole batch."""
    return state.total(LOSS, batch) * state.weight(batch, _count_labels(batch))


def _divergence(state: "TrainingState", batch: TokenBatch) -> Tensor:
    """KL(template || controlled), mean over the labels of the whole batch."""
    return state.total(DIVERGENCE, batch) * state.weight(batch, _count_labels(batch))


def _answers(state: "TrainingState", batch: TokenBatch) -> _Answers:
    scores, share = state.score(batch)
    owners = label_owners(share).to(scores.controlled.device)
    count = len(share.examples)
    ones = scores.template.new_ones(len(owners))
    return _Answers(
        *(sum_by_owner(each, owners, count) for each in (scores.controlled, scores.template, ones))
    )


def _per_answer(state: "TrainingState", batch: TokenBatch, mean: Tensor, count: int) -> Tensor:
    """Return the mean over `count` answers of a share as its part in that of the whole batch."""
    return mean * count * state.weight(batch, len(batch.examples))


def _sft(state: "TrainingState", batches: StepBatches) -> Tensor:
    """`CE(data)`. Source: Wu et al., Cross-model Control, NeurIPS 2024."""
    return _cross_entropy(state, batches.data)


def _grad_ascent(state: "TrainingState", batches: StepBatches) -> Tensor:
    """`-CE(data)`: unbounded, so stop early. Source: Maini et al., TOFU, arXiv 2401.06121."""
    return -_cross_entropy(state, batches.data)


def _grad_diff(state: "TrainingState", batches: StepBatches) -> Tensor:
    """`-CE(data) + CE(retain)`. Source: Maini et al., TOFU, arXiv 2401.06121."""
    return _grad_ascent(state, batches) + _cross_entropy(state, batches.retain)


def _kl(state: "TrainingState", batches: StepBatches) -> Tensor:
    """`-CE(data) + KL(template || controlled)(retain)`. Source: as `grad_diff`."""
    return _grad_ascent(state, batches) + _divergence(state, batches.retain)


def _idk(state: "TrainingState", batches: StepBatches) -> Tensor:
    """`CE(data with refusals as answers) + CE(retain)`. Source: as `grad_diff`."""
    return _cross_entropy(state, batches.data) + _cross_entropy(state, batches.retain)


def _dpo(state: "TrainingState", batches: StepBatches) -> Tensor:
    """`DPO(refusal over answer) + CE(retain)`. Source: arXiv 2305.18290, as in 2401.06121."""
    wanted, unwanted = _answers(state, batches.refusals), _answers(state, batches.data)
    loss = dpo_loss(wanted.ratios, unwanted.ratios, state.settings.beta)
    forget = _per_answer(state, batches.data, loss, len(unwanted.ratios))
    return forget + _cross_entropy(state, batches.retain)


def _npo(state: "TrainingState", batches: StepBatches) -> Tensor:
    """`NPO(data) + KL(template || controlled)(retain)`. Source: arXiv 2404.05868."""
    said = _answers(state, batches.data)
    loss = npo_loss(said.controlled, said.template, state.settings.beta)
    forget = _per_answer(state, batches.data, loss, len(said.lengths))
    return forget + _divergence(state, batches.retain)


def _simnpo(state: "TrainingState", batches: StepBatches) -> Tensor:
    """`SimNPO(data) + CE(retain)`. Source: arXiv 2410.07163."""
    said = _answers(state, batches.data)
    # An answer cut to nothing has no token to push.
    loss = simnpo_loss(said.controlled / said.lengths.clamp(min=1), state.settings.beta)
    forget = _per_answer(state, batches.data, loss, len(said.lengths))
    return forget + _cross_entropy(state, batches.retain)


def _reverse(state: "TrainingState", batches: StepBatches) -> Tensor:
    """`CE(data) + KL(prior || prior plus delta)(retain)`: learn it, then subtract it.

    The frozen model is the prior here, and the strength to use afterwards is negative.
    Source: Ji et al., Reversing the Forget-Retain Objectives, arXiv 2406.08607.
    """
    return _cross_entropy(state, batches.data) + _divergence(state, batches.retain)


def restraint(state: "TrainingState", batches: StepBatches) -> Tensor:
    """Return `KL(template || controlled)(data)`, in nats: how far control moves what is said.

    Unlike the norm of the delta's logits it does not see the constant per place that training
    leaves open.
    """
    return _divergence(state, batches.data)


def _count_labels(batch: TokenBatch) -> int:
    return int(batch.label_mask[:, 1:].sum())


LOSSES: dict[str, Callable[["TrainingState", StepBatches], Tensor]] = {
    "sft": _sft, "grad_ascent": _grad_ascent, "grad_diff": _grad_diff, "kl": _kl, "idk": _idk,
    "dpo": _dpo, "npo": _npo, "simnpo": _simnpo, "reverse": _reverse,
}  # fmt: skip
