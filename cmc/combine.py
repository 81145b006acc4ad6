"""The one formula: target scores + strength x shift."""

import torch
from torch import Tensor


def combine(target_logits: Tensor, controls: list[Tensor]) -> Tensor:
    """Push the target's next-token scores along what the controllers ask for.

    Args:
        target_logits: `(batch, vocab)`, scores of the target alone, nats up to a constant.
        controls: `(batch, vocab)` each, strength x shift of one controller in nats, already in
            the target's vocabulary. No controls leave the scores as they are, bit for bit.

    Returns:
        `(batch, vocab)` scores in nats, up to a constant per row.

    Raises:
        ValueError: the shapes differ; carry the shift into the target's vocabulary first.

    Source:
        Wu et al., Cross-model Control, NeurIPS 2024, equation 4; for several controllers
        Dekoninck et al., Language Model Arithmetic, 2311.14479.
    """
    scores = target_logits
    for control in controls:
        if control.shape != target_logits.shape:
            raise ValueError(
                f"target_logits {tuple(target_logits.shape)} and control "
                f"{tuple(control.shape)} differ; carry the shift into the target's vocabulary"
            )
        scores = scores + control
    return scores


def centre(scores: Tensor, control: Tensor, unknown: Tensor) -> Tensor:
    """Take the constant out of a control that speaks of only some tokens.

    A controller's scores carry a constant per position that training cannot see. Left in, it
    would move all known tokens against the unknown ones. Centred, the unknown tokens keep their
    total probability and their proportions, whatever the constant.

    Args:
        scores: `(batch, vocab)`, what the control is added to, nats up to a constant.
        control: `(batch, vocab)`, strength x shift, any constant per row.
        unknown: `(tokens,)` int64, those the controller does not know.

    Returns:
        `(batch, vocab)`: the control less its constant on known tokens, 0 elsewhere.
    """
    # Filling a few places takes a fraction of the time that masks of a whole vocabulary do.
    seen = scores.index_fill(1, unknown, float("-inf")) if len(unknown) else scores
    constant = torch.logsumexp(seen + control, -1, keepdim=True)
    constant -= torch.logsumexp(seen, -1, keepdim=True)
    return (control - constant).index_fill_(1, unknown, 0.0)
