"""Scores at the answers' places only: template plus delta, without ever holding all logits."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cmc.data import TokenBatch
from cmc.training.objectives import answer_logprobs, kl_rows
from cmc.training.split import SplitModel
from cmc.training.two_heads import DIVERGENCE, LOSS, Base, Head, chunk_rows, two_head_sum

ROWS = "rows"


@dataclass(frozen=True)
class RowScores:
    """Per label: log-probability under control and of the template alone, in nats."""

    controlled: Tensor
    template: Tensor


@dataclass(frozen=True)
class Frozen:
    """What is known of a batch beforehand.

    Attributes:
        rows: `(rows, width)` features of the template at the labels.
        head: makes `(rows, vocab)` fp32 logits of them.
        strengths: `(batch,)` what each example's shift is multiplied by, no unit; None is 1.
    """

    rows: Tensor
    head: Head
    strengths: Tensor | None = None


class SteeredScores(nn.Module):
    """Template plus delta at the labels; a module, so that several processes can share it."""

    def __init__(
        self,
        delta: nn.Module,
        size: int,
        dtype: torch.dtype = torch.float32,
    ) -> None:
        """Take the delta, whose first `size` output rows count; `dtype` is of its products."""
        super().__init__()
        self.delta = delta
        self._split = SplitModel(delta, size)
        self._dtype = dtype

    def forward(self, batch: TokenBatch, frozen: Frozen, kind: str = ROWS) -> RowScores | Tensor:
        """Score the labels of `batch`.

        Args:
            batch: `(batch, time)` ids and masks.
            frozen: the template at the labels.
            kind: `ROWS` for a score per label; `LOSS` for the sum of their cross entropies and
                `DIVERGENCE` for that of KL(template || controlled), scalars in nats.
        """
        device = self._split.device
        with torch.autocast(device.type, self._dtype, enabled=self._dtype != torch.float32):
            hidden = self._split.features(
                batch.input_ids.to(device), batch.attention_mask.to(device)
            )
        rows = hidden[label_places(batch).to(device)].float()
        base = Base(frozen.rows, frozen.head, batch_labels(batch).to(device))
        scale = None
        if frozen.strengths is not None:
            scale = frozen.strengths[label_owners(batch)].to(device)[:, None]
        matrix = self._split.matrix()
        if kind != ROWS and matrix is not None:
            steered = rows if scale is None else rows * scale
            return two_head_sum(kind, steered, matrix, base, self._dtype)
        controlled, template, kl = self._chunked(rows, base, scale, kind == DIVERGENCE)
        return {ROWS: RowScores(controlled, template), LOSS: -controlled.sum()}.get(kind, kl.sum())

    def _chunked(
        self, rows: Tensor, base: Base, scale: Tensor | None, with_kl: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        chunk = chunk_rows(self._split.size)
        scales = rows.new_ones(len(rows), 1) if scale is None else scale
        parts = (each.split(chunk) for each in (rows, base.rows, base.labels, scales))
        is_one = len(rows) <= chunk
        more = (base.head, with_kl)
        scores = [
            self._score(*piece, *more)
            if is_one
            # Backward computes the chunk's logits anew instead of keeping those of all chunks.
            else checkpoint(
                self._score, *piece, *more, use_reentrant=False, preserve_rng_state=False
            )
            for piece in zip(*parts, strict=True)
        ]
        return tuple(torch.cat(parts) for parts in zip(*scores, strict=True))

    def _score(
        self,
        rows: Tensor,
        template_rows: Tensor,
        labels: Tensor,
        scale: Tensor,
        head: Head,
        with_kl: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            base_logits = head(template_rows)
            template = answer_logprobs(base_logits, labels)
        with torch.autocast(rows.device.type, self._dtype, enabled=self._dtype != torch.float32):
            delta_logits = self._split.head(rows)
        logits = base_logits + scale * delta_logits
        kl = kl_rows(base_logits, logits) if with_kl else template
        return answer_logprobs(logits, labels), template, kl


def label_places(batch: TokenBatch) -> Tensor:
    """Return `(batch, time)` bool: the places whose scores choose a label, one before each."""
    places = torch.zeros_like(batch.label_mask)
    places[:, :-1] = batch.label_mask[:, 1:]
    return places


def batch_labels(batch: TokenBatch) -> Tensor:
    """Return `(rows,)` the labels' ids, row by row of the batch."""
    return batch.input_ids[:, 1:][batch.label_mask[:, 1:]]


def label_owners(batch: TokenBatch) -> Tensor:
    """Return `(rows,)` the row of the batch that each label belongs to."""
    return label_places(batch).nonzero()[:, 0]
