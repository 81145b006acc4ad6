"""What a generation tells: texts so far, finished rows, scores of given texts."""

from dataclasses import dataclass, field

from cmc.generation.details import TokenDetail


@dataclass(frozen=True)
class Chunk:
    """All rows' texts so far; an incomplete character is held back until it is whole."""

    texts: list[str]
    token_counts: list[int]
    finished: list[bool]
    seconds: float
    windowed: list[bool]  # rows of which a controller saw only the end
    # Per row its newest token, None where it had ended; empty unless asked for.
    details: list[TokenDetail | None] = field(default_factory=list)


@dataclass(frozen=True)
class Generation:
    """One finished row."""

    text: str
    token_ids: list[int]
    finished: bool  # ended by the model, not by the limit of tokens
    strengths: tuple[float, ...]
    is_windowed: bool  # whether a controller saw only the end of the text
    details: list[TokenDetail] = field(default_factory=list)  # one per token, if asked for


@dataclass(frozen=True)
class Score:
    """Log-probabilities of a given response, nats per token of the target."""

    token_ids: list[int]
    logprobs: list[float]


@dataclass
class Progress:
    """What a row has said so far."""

    token_ids: list[int] = field(default_factory=list)
    data: bytes = b""
    finished: bool = False
    is_windowed: bool = False
    details: list[TokenDetail] = field(default_factory=list)
