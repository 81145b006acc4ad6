"""Two answers to compare, what is said of them, and the order in which they are shown."""

import hashlib
from dataclasses import dataclass, field
from typing import Any, Protocol

from cmc.data import Record


@dataclass(frozen=True)
class Pair:
    """An instruction, the reference's answer and the model's."""

    instruction: str
    reference: str
    answer: str


@dataclass(frozen=True)
class Verdict:
    """What a judge says of a pair.

    Attributes:
        preference: 1, the reference is better, to 2, the model is; 1.5 is a draw; None if the
            judge gave no usable verdict.
        reason: its words, or why there is no verdict.
        first_shown: how far it leant to the answer shown first, 0 to 1, 0.5 not at all; None for
            judges that see no order.
        details: what else belongs into an annotation.
    """

    preference: float | None
    reason: str = ""
    first_shown: float | None = None
    details: dict[str, Any] = field(default_factory=dict)


class Judge(Protocol):
    """Compares pairs, one at a time.

    Attributes:
        name: what annotations call it.
        is_final: whether a verdict that is missing once stays so, however often it is asked for.
    """

    name: str
    is_final: bool

    def compare(self, pair: Pair) -> Verdict:
        """Return the verdict.

        Raises:
            JudgeError: it cannot be asked any longer, for this pair or another.
        """


def instruction_text(record: Record) -> str:
    """Return instruction and input as the one text by which answers are matched."""
    return "\n\n".join(filter(None, (record.instruction, record.input)))


def shows_reference_last(pair: Pair, seed: int) -> bool:
    """Say whether the model's answer is shown first: by chance, the same for the same pair."""
    text = f"{seed}\n{pair.instruction}\n{pair.reference}\n{pair.answer}"
    return bool(hashlib.sha256(text.encode()).digest()[0] & 1)
