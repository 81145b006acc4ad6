"""An offline judge for data with right answers: what is nearer to them is better."""

from collections.abc import Sequence

from cmc.data import Record
from cmc.evaluation.judges.pairs import Pair, Verdict, instruction_text
from cmc.evaluation.preferences import DRAW, LOSS, WIN
from cmc.evaluation.scores import exact_match
from cmc.evaluation.texts import token_f1


class ReferenceJudge:
    """Prefers the answer that is exactly right, else the one with the higher token F1.

    Args:
        records: with the right answers, by their instructions.
        source: where they come from; the judge is called after it.
    """

    is_final = True

    def __init__(self, records: Sequence[Record], source: str) -> None:
        self.name = f"reference:{source}"
        self._gold = {instruction_text(each): each.output for each in records}

    def compare(self, pair: Pair) -> Verdict:
        """Return the verdict; equally near answers draw."""
        gold = self._gold.get(pair.instruction)
        if gold is None:
            return Verdict(None, "there is no right answer to this instruction")
        reference, answer = (_nearness(each, gold) for each in (pair.reference, pair.answer))
        preference = WIN if answer > reference else LOSS if answer < reference else DRAW
        reason = (
            f"right: {gold} | reference: {_told(*reference)} | model: {_told(*answer)}"
        )  # fmt: skip
        return Verdict(preference, reason)


def _nearness(answer: str, gold: str) -> tuple[bool, float]:
    return exact_match(answer, gold), token_f1(answer, gold)


def _told(is_exact: bool, f1: float) -> str:
    return "exact" if is_exact else f"F1 {f1:.2f}"
