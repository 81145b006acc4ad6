"""A language model here as judge: both orders, by the probability of either verdict."""

import math

from cmc.errors import SettingError
from cmc.evaluation.judges.pairs import Pair, Verdict
from cmc.generation import ControlledModel, Row
from cmc.models import load_language_model

PROMPT = (
    "An instruction and two answers to it.\n\nInstruction: {instruction}\n\n"
    "Answer A: {first}\n\nAnswer B: {second}\n\nThe better answer is Answer"
)
VERDICTS = (" A", " B")


class LocalJudge:
    """Asks a model which answer is better, with each of the two in front once.

    What counts is the probability of one verdict against the other, not what the model would
    write: so models that follow no instructions can be asked too, and every pair gets a verdict.

    Args:
        name: of the model: lab name, folder or Hub id.
    """

    is_final = True

    def __init__(self, name: str) -> None:
        self._model = ControlledModel(load_language_model(name), [])
        self.name = f"local:{name}"

    def compare(self, pair: Pair) -> Verdict:
        """Return the mean of both orders; a model that only minds the order gives a draw."""
        orders = ((pair.reference, pair.answer), (pair.answer, pair.reference))
        rows = [
            # Not str.format of all at once: an answer may hold braces of its own.
            Row(_filled(pair.instruction, first, second), ())
            for first, second in orders
            for _ in VERDICTS
        ]
        try:
            scores = self._model.score(rows, [*VERDICTS, *VERDICTS])
        except SettingError as error:  # the texts are longer than the judge can read
            return Verdict(None, str(error))
        # Without the end token: a verdict may go on.
        first_a, first_b, second_a, second_b = (sum(each.logprobs[:-1]) for each in scores)
        in_front, behind = _share(first_a, first_b), _share(second_a, second_b)
        return Verdict(
            preference=1 + ((1 - in_front) + behind) / 2,
            reason=f"reference first: A {in_front:.2f} | model first: A {behind:.2f}",
            first_shown=(in_front + behind) / 2,
        )


def _filled(instruction: str, first: str, second: str) -> str:
    text = PROMPT
    for name, value in (("second", second), ("first", first), ("instruction", instruction)):
        before, _, after = text.partition(f"{{{name}}}")
        text = before + value + after
    return text


def _share(one: float, other: float) -> float:
    """Return the probability of one log-probability against another."""
    return 1 / (1 + math.exp(min(other - one, 700)))
