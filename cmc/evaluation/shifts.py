"""How alike two models' shifts are (KL, JS, Sinkhorn), and how much of an effect is recovered."""

from collections.abc import Sequence

import numpy as np

from cmc.evaluation.scores import Interval, bootstrap_interval

TOP = 100  # tokens of a shift that count, as in the paper's comparison
BLUR = 0.01  # as in the paper's comparison, in nats
STEPS, LAST_STEPS = 20, 200  # at each scale and at the last; within 1 % of the exact cost


def shift_distribution(shift: np.ndarray) -> np.ndarray:
    """Return `(rows, vocab)` where a shift wants probability to go: its softmax, per row.

    A constant added to a shift changes nothing.
    """
    moved = np.exp(shift - shift.max(-1, keepdims=True))
    return moved / moved.sum(-1, keepdims=True)


def kl_divergence(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return `(rows,)` KL(one || other) of two shifts' distributions, nats, from 0 up.

    Args:
        one: `(rows, vocab)` changes of log-probability, in nats.
        other: the same positions and vocabulary, of another model.
    """
    difference = _log_distribution(one) - _log_distribution(other)
    return np.maximum(0, (shift_distribution(one) * difference).sum(-1))


def js_divergence(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """Return `(rows,)` Jensen-Shannon divergence in bits, 0 (alike) to 1 (disjoint).

    Source:
        Lin, Divergence measures based on the Shannon entropy, IEEE Trans. IT 37 (1991).
    """
    logs = np.log2(np.e) * np.stack([_log_distribution(one), _log_distribution(other)])
    middle = np.logaddexp2(*logs) - 1
    halves = [(2**log * (log - middle)).sum(-1) / 2 for log in logs]
    return np.clip(sum(halves), 0, 1)


def _log_distribution(shift: np.ndarray) -> np.ndarray:
    shift = np.asarray(shift, dtype=float)
    high = shift.max(-1, keepdims=True)
    return shift - high - np.log(np.exp(shift - high).sum(-1, keepdims=True))


def shift_sinkhorn(one: np.ndarray, other: np.ndarray, *, top: int = TOP) -> float:
    """Return the Sinkhorn divergence of two clouds of shifts, divided by `top`; from 0 up.

    Every position is a point with a coordinate for each of the `top` tokens that the two shifts
    move most. The constant that a shift leaves open is taken out.

    Args:
        one: `(rows, vocab)` changes of log-probability, in nats.
        other: `(rows, vocab)` of another model, in the same vocabulary.
        top: tokens that count.

    Source:
        Wu et al., Cross-model Control, NeurIPS 2024, compare shifts by such a divergence of
        their top 100 tokens with p = 2 and blur 0.01; which points they took is not published.
    """
    one, other = (each - each.mean(-1, keepdims=True) for each in (one, other))
    moved = np.abs(one).mean(0) + np.abs(other).mean(0)
    tokens = np.argsort(-moved, kind="stable")[:top]
    return sinkhorn_divergence(one[:, tokens], other[:, tokens]) / top


def sinkhorn_divergence(one: np.ndarray, other: np.ndarray, *, blur: float = BLUR) -> float:
    """Return the debiased entropic transport cost of two clouds of points, from 0 up.

    The cost of moving is half the squared distance; all points weigh the same. As `blur` goes to
    0 it becomes half the squared Wasserstein-2 distance.

    Args:
        one: `(points, coordinates)`.
        other: `(points, coordinates)`; it may have another number of points.
        blur: length below which points are not told apart, in the unit of the coordinates.

    Source:
        Feydy et al., Interpolating between optimal transport and MMD using Sinkhorn
        divergences, AISTATS 2019, with their halving of the scale.
    """
    costs = [_cost(a, b) for a, b in ((one, other), (one, one), (other, other))]
    across, within, within_other = (_potentials(cost, blur) for cost in costs)
    own = (within[0] + within[1]) / 2, (within_other[0] + within_other[1]) / 2
    found = np.mean(across[0] - own[0]) + np.mean(across[1] - own[1])
    return max(0.0, float(found))


def _cost(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    squares = (one**2).sum(-1)[:, None] + (other**2).sum(-1)[None] - 2 * one @ other.T
    return np.maximum(squares, 0) / 2


def _potentials(cost: np.ndarray, blur: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the dual potentials of two uniform clouds, from coarse to fine."""
    scale = max(np.sqrt(2 * cost.max()), blur)
    first, second = np.zeros(cost.shape[0]), np.zeros(cost.shape[1])
    while True:
        temperature, steps = scale**2, LAST_STEPS if scale == blur else STEPS
        for _ in range(steps):  # both at once and averaged: symmetric, and it does not swing
            new = _soft_minimum(cost, second, temperature)
            other = _soft_minimum(cost.T, first, temperature)
            first, second = (first + new) / 2, (second + other) / 2
        if scale == blur:
            return first, second
        scale = max(scale * 0.7, blur)


def _soft_minimum(cost: np.ndarray, potential: np.ndarray, temperature: float) -> np.ndarray:
    scores = (potential[None] - cost) / temperature
    high = scores.max(1)
    return -temperature * (high + np.log(np.exp(scores - high[:, None]).mean(1)))


def recovered_effect(
    controlled: Sequence[float],
    base: Sequence[float],
    template_controlled: Sequence[float],
    template_base: Sequence[float],
) -> Interval | None:
    """Return the target's gain by control relative to the template's gain, with its interval.

    No unit; 1 where control does for the target what it does for the template, 0 where it does
    nothing, below 0 where it harms. None where the template gains nothing. All four score the
    same questions, which are drawn anew together.

    Args:
        controlled: score of every question, 0 to 1, under control.
        base: without.
        template_controlled: of the template, likewise.
        template_base: of the template alone.
    """
    scores = np.column_stack([controlled, base, template_controlled, template_base]).astype(float)
    if scores[:, 2].mean() <= scores[:, 3].mean():
        return None
    return bootstrap_interval([scores], _recovered)


def _recovered(scores: np.ndarray) -> float:
    controlled, base, template_controlled, template_base = scores.mean(0)
    effect = template_controlled - template_base
    return (controlled - base) / effect if effect > 0 else 0.0
