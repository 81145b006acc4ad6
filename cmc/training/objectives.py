"""Training objectives as pure functions on logits, in nats."""

import torch
from torch import Tensor
from torch.nn import functional


def answer_logprobs(logits: Tensor, labels: Tensor) -> Tensor:
    """Return the log-probability of every label.

    Args:
        logits: `(rows, vocab)` scores, up to a constant per row.
        labels: `(rows,)` ids.

    Returns:
        `(rows,)` log-probabilities in nats.
    """
    return -functional.cross_entropy(logits, labels, reduction="none")


def npo_loss(controlled_logprobs: Tensor, template_logprobs: Tensor, beta: float) -> Tensor:
    """Return the loss of negative preference optimization: push answers below the reference.

    `-(2 / beta) log sigmoid(-beta (log pi - log pi_ref))`, where `pi` is template plus delta
    and `pi_ref` the template alone. Like gradient ascent at the start, it levels off as soon
    as an answer is clearly less likely than before, so nothing collapses.

    Args:
        controlled_logprobs: `(batch,)` log-probabilities of whole answers under control, nats.
        template_logprobs: `(batch,)` the same of the template alone.
        beta: no unit; the smaller, the further down an answer is pushed.

    Returns:
        Mean over answers, no unit.

    Source:
        Zhang et al., Negative Preference Optimization, arXiv 2404.05868, equation 3.
    """
    ratios = controlled_logprobs - template_logprobs
    return -(2 / beta) * functional.logsigmoid(-beta * ratios).mean()


def simnpo_loss(mean_logprobs: Tensor, beta: float) -> Tensor:
    """Return the loss of simple negative preference optimization: no reference model.

    `-(2 / beta) log sigmoid(-beta log pi / length)`, with the reward margin 0. What pushes is
    the answer's own likelihood per token, so that long and short answers are pushed alike.

    Args:
        mean_logprobs: `(batch,)` log-probabilities of answers under control, in nats per token.
        beta: no unit; the smaller, the further down an answer is pushed.

    Returns:
        Mean over answers, no unit.

    Source:
        Fan et al., Simplicity Prevails, arXiv 2410.07163, equation 4.
    """
    return -(2 / beta) * functional.logsigmoid(-beta * mean_logprobs).mean()


def dpo_loss(wanted_ratios: Tensor, unwanted_ratios: Tensor, beta: float) -> Tensor:
    """Return the loss of direct preference optimization: one answer rather than another.

    `-log sigmoid(beta (log pi/pi_ref of the wanted - log pi/pi_ref of the unwanted))`, where
    `pi` is template plus delta and `pi_ref` the template alone, which costs nothing here.

    Args:
        wanted_ratios: `(batch,)` log pi/pi_ref of the wanted answers, in nats.
        unwanted_ratios: `(batch,)` the same of the unwanted ones.
        beta: no unit; how strongly the template's own preferences hold.

    Returns:
        Mean over pairs, in nats.

    Source:
        Rafailov et al., Direct Preference Optimization, arXiv 2305.18290, equation 7.
    """
    return -functional.logsigmoid(beta * (wanted_ratios - unwanted_ratios)).mean()


def kl_rows(template_logits: Tensor, controlled_logits: Tensor) -> Tensor:
    """Return the Kullback-Leibler divergence KL(template || controlled) of every row.

    Args:
        template_logits: `(rows, vocab)` scores of the template alone.
        controlled_logits: `(rows, vocab)` scores under control.

    Returns:
        `(rows,)` divergences in nats.
    """
    template = template_logits.log_softmax(-1)
    return (template.exp() * (template - controlled_logits.log_softmax(-1))).sum(-1)


def sum_by_owner(values: Tensor, owners: Tensor, count: int) -> Tensor:
    """Add up the rows that belong to the same example.

    Args:
        values: `(rows,)`, one number per label.
        owners: `(rows,)` index of the example each label belongs to.
        count: number of examples.

    Returns:
        `(count,)` sums.
    """
    return torch.zeros(count, dtype=values.dtype, device=values.device).index_add(0, owners, values)
