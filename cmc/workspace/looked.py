"""What control did to each token of one answer, in plain values to show and to keep."""

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class Rival:
    """One token that could have stood at a place; log-probabilities in nats."""

    text: str
    base_logprob: float
    logprob: float


@dataclass(frozen=True)
class Looked:
    """One token of the controlled answer.

    Attributes:
        text: the token with white space made visible.
        base_logprob: what the base gives it at this place, nats.
        logprob: what it has under control, nats.
        base_choice: what the base would have taken here.
        would_differ: whether that is another token.
        shifts: strength x shift of each controller on this token, nats, by name.
        before: the base's ten likeliest tokens, likeliest first.
        after: the same under control.
    """

    text: str
    base_logprob: float
    logprob: float
    base_choice: str
    would_differ: bool
    shifts: Mapping[str, float]
    before: tuple[Rival, ...]
    after: tuple[Rival, ...]

    @property
    def shift(self) -> float:
        """By how much control moved the log-probability of this token, nats."""
        return self.logprob - self.base_logprob
