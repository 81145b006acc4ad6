"""The sum of a loss over two heads, chunk by chunk, with its gradient found on the way."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

CHUNK_SCORES = 2**24  # rows x vocabulary that are held at a time: 64 MB in fp32
Head = Callable[[Tensor], Tensor]
LOSS, DIVERGENCE = "loss", "divergence"


def chunk_rows(vocab: int) -> int:
    """Return how many rows of scores are held at a time."""
    return max(1, CHUNK_SCORES // vocab)


@dataclass(frozen=True)
class Base:
    """What the frozen model says at the labels.

    Attributes:
        rows: `(rows, width)` its features.
        head: makes `(rows, vocab)` fp32 logits of them.
        labels: `(rows,)` ids.
    """

    rows: Tensor
    head: Head
    labels: Tensor


def two_head_sum(
    kind: str, rows: Tensor, matrix: Tensor, base: Base, dtype: torch.dtype = torch.float32
) -> Tensor:
    """Return a sum over all rows, without ever holding the logits of more than one chunk.

    With `z = base.head(base.rows) + rows @ matrix.T`, the slope of either loss at `z` is a
    difference of two distributions, so that it is known as soon as a chunk's scores are: the
    backward pass has nothing to compute anew.

    Args:
        kind: `LOSS`, the cross entropy of `z` and the labels, or `DIVERGENCE`, the
            Kullback-Leibler divergence of `z` from the base.
        rows: `(rows, width)` features of the delta.
        matrix: `(vocab, width)` head of the delta.
        base: the frozen model at the same places.
        dtype: in which the delta's matrix products are done; scores are fp32.

    Returns:
        The sum in nats, a scalar with gradient to `rows` and `matrix`.

    Source:
        The derivative is that of softmax cross entropy; to keep the gradient instead of the
        scores is the idea of Apple's cut cross entropy (arXiv 2411.09009) and of Liger.
    """
    return _TwoHeads.apply(rows, matrix, kind, base, dtype)


class _TwoHeads(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, rows: Tensor, matrix: Tensor, kind: str, base: Base, dtype: torch.dtype
    ) -> Tensor:
        slopes = {LOSS: _loss_slope, DIVERGENCE: _divergence_slope}[kind]
        total = rows.new_zeros((), dtype=torch.float64)
        rows_slope, matrix_slope = torch.empty_like(rows), torch.zeros_like(matrix)
        wide = matrix.to(dtype)
        size = chunk_rows(len(matrix))
        for start in range(0, len(rows), size):
            part = slice(start, start + size)
            narrow = rows[part].to(dtype)
            value, slope = slopes(base, part, narrow, wide)
            total += value
            slope = slope.to(dtype)
            rows_slope[part] = slope @ wide
            if dtype == matrix.dtype:
                matrix_slope.addmm_(slope.T, narrow)
            else:
                matrix_slope += slope.T @ narrow
        ctx.save_for_backward(rows_slope, matrix_slope)
        return total.to(torch.float32)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rows_slope, matrix_slope = ctx.saved_tensors
        # In place: they are large, and nobody else has them.
        return rows_slope.mul_(grad), matrix_slope.mul_(grad), None, None, None


def _both(base_logits: Tensor, narrow: Tensor, wide: Tensor) -> Tensor:
    """Return base plus delta, fp32 `(rows, vocab)`."""
    if wide.dtype == base_logits.dtype:
        return torch.addmm(base_logits, narrow, wide.T)
    return base_logits + (narrow @ wide.T)


def _loss_slope(base: Base, part: slice, narrow: Tensor, wide: Tensor) -> tuple[Tensor, Tensor]:
    """Return the chunk's cross entropy, and its slope in the scores."""
    scores = functional.log_softmax(_both(base.head(base.rows[part]), narrow, wide), -1)
    labels = base.labels[part, None]
    value = -scores.gather(1, labels).double().sum()
    slope = scores.exp_()
    return value, slope.scatter_add_(1, labels, -torch.ones_like(slope[:, :1]))


def _divergence_slope(
    base: Base, part: slice, narrow: Tensor, wide: Tensor
) -> tuple[Tensor, Tensor]:
    """Return the chunk's divergence from the base, and its slope in the scores."""
    base_logits = base.head(base.rows[part])
    controlled = functional.log_softmax(_both(base_logits, narrow, wide), -1)
    template = functional.log_softmax(base_logits, -1)
    shares = template.exp()
    value = (shares * template.sub_(controlled)).double().sum()
    return value, controlled.exp_().sub_(shares)
