"""What control did to a token: before, after, and what each controller asked."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmc.vocab import Vocabulary


@dataclass(frozen=True)
class Step:
    """Scores of one step, `(batch, vocab)` float32 each, nats up to a constant per row.

    Attributes:
        base: the target alone.
        controls: strength x shift per controller; None where no row asked it.
        scores: base and controls together.
    """

    base: Tensor
    controls: list[Tensor | None]
    scores: Tensor


@dataclass(frozen=True)
class TokenOption:
    """One token that might have come next; log-probabilities in nats, at temperature 1."""

    token_id: int
    text: str
    base_logprob: float
    controlled_logprob: float

    @property
    def change(self) -> float:
        """How much likelier control made it, nats."""
        return self.controlled_logprob - self.base_logprob


@dataclass(frozen=True)
class TokenDetail:
    """One token that was said.

    Attributes:
        chosen: the token, before and after control.
        base_choice: what the base alone would have chosen here, from the same random draw.
        shifts: per controller, the change of the token's log-probability that it would make alone.
        before: the base's most likely tokens, best first.
        after: the most likely tokens under control, best first.
    """

    chosen: TokenOption
    base_choice: TokenOption
    shifts: tuple[float, ...]
    before: tuple[TokenOption, ...]
    after: tuple[TokenOption, ...]

    @property
    def is_changed(self) -> bool:
        """Whether the base would have chosen otherwise."""
        return self.chosen.token_id != self.base_choice.token_id


def token_details(
    step: Step, chosen: Sequence[int], base_chosen: Sequence[int], top: int, vocabulary: Vocabulary
) -> list[TokenDetail]:
    """Describe the chosen token of every row.

    Args:
        step: the scores it was chosen from.
        chosen: one id per row.
        base_chosen: one id per row, what the base alone would have chosen.
        top: how many of the most likely tokens to tell, before and after.
        vocabulary: the target's.
    """
    base, controlled = (torch.log_softmax(each, -1) for each in (step.base, step.scores))
    at = torch.tensor(chosen, device=base.device)[:, None]
    top = min(top, base.shape[1])
    ids = [torch.tensor(base_chosen, device=base.device)[:, None], at]
    ids = torch.cat([*ids, base.topk(top).indices, controlled.topk(top).indices], 1)
    shifts = [_asked(step.base, base, each, at).tolist() for each in step.controls]
    told = zip(ids.tolist(), base.gather(1, ids).tolist(), controlled.gather(1, ids).tolist(),
               strict=True)  # fmt: skip
    details = []
    for row, columns in enumerate(told):
        options = [
            TokenOption(token, token_text(vocabulary, token), before, after)
            for token, before, after in zip(*columns, strict=True)
        ]
        asked = tuple(each[row] for each in shifts)
        first, last = tuple(options[2 : 2 + top]), tuple(options[2 + top :])
        details.append(TokenDetail(options[1], options[0], asked, first, last))
    return details


def token_text(vocabulary: Vocabulary, token_id: int) -> str:
    """Return what a token spells, U+FFFD for parts of characters; the name of one with a role."""
    if token_id >= vocabulary.size:
        return ""
    spelled = vocabulary.token_bytes[token_id]
    if spelled is None:
        return vocabulary.tokens[token_id] or ""
    return spelled.decode("utf-8", "replace")


def _asked(logits: Tensor, base: Tensor, control: Tensor | None, at: Tensor) -> Tensor:
    """Return `(batch,)` the change of log-probability that one control alone makes."""
    if control is None:
        return torch.zeros(len(base), device=base.device)
    alone = torch.log_softmax(logits + control, -1)
    return (alone - base).gather(1, at)[:, 0]
