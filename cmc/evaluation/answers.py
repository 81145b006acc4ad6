"""Ask a controlled model questions and compare its answers with the expected ones."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cmc.data import Record
from cmc.evaluation.scores import exact_match
from cmc.generation import ControlledModel
from cmc.settings import Sampling

ANSWER_TOKENS = 96  # more than any answer of the lab needs in any of its vocabularies


@dataclass(frozen=True)
class Answer:
    """One question, what was expected and what was said."""

    question: str
    expected: str
    text: str

    @property
    def is_exact(self) -> bool:
        """Whether it is the expected answer, white space aside."""
        return exact_match(self.text, self.expected)

    @property
    def opening(self) -> str:
        """As much as the expected answer is long, in words: what comes behind tells nothing."""
        return " ".join(self.text.split()[: len(self.expected.split())])


def ask(
    model: ControlledModel,
    records: Sequence[Record],
    strengths: tuple[float, ...],
    batch_size: int,
    prompt_format: str | None = None,
    max_new_tokens: int = 0,
) -> Iterator[Answer]:
    """Yield the greedy answers of a model, in the order of the records.

    Args:
        model: target and controllers.
        records: questions with their expected answers.
        strengths: one per controller.
        batch_size: questions asked at once; no answer depends on it.
        prompt_format: how questions are put, by default as the controllers were trained; a target
            with a chat template is asked in that, except for texts to go on with (`plain`).
        max_new_tokens: of an answer at most, where fewer than usual are enough.
    """
    sampling = Sampling(max_new_tokens=min(max_new_tokens or ANSWER_TOKENS, ANSWER_TOKENS))
    for start in range(0, len(records), batch_size):
        part = records[start : start + batch_size]
        rows = [
            model.row(each.instruction, strengths, each.input, prompt_format or "") for each in part
        ]
        for record, said in zip(part, model.generate(rows, sampling), strict=True):
            text = said.text.strip() if said.finished else f"{said.text.strip()} …"
            yield Answer(record.instruction, record.output, text)
