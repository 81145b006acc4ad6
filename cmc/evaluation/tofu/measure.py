"""Ask a controlled model TOFU's questions and score all their answers, in batches."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from cmc.data import format_prompt, response_prefix
from cmc.evaluation.room import greedy_answers
from cmc.evaluation.texts import rouge_l_recall
from cmc.evaluation.tofu.formulas import answer_probability
from cmc.evaluation.tofu.logs import Item
from cmc.evaluation.tofu.questions import Question
from cmc.generation import ControlledModel


@dataclass(frozen=True)
class Asking:
    """How a model is asked.

    Attributes:
        strengths: one per controller.
        prompt_format: how questions are put to target and controllers.
        max_new_tokens: of a generated answer; less where the target's context ends.
        batch_size: rows at once; no figure depends on it.
    """

    strengths: tuple[float, ...]
    prompt_format: str
    max_new_tokens: int
    batch_size: int


def answer_losses(
    model: ControlledModel, questions: Sequence[Question], asking: Asking
) -> Iterator[tuple[int, list[list[float]]]]:
    """Score every answer of every question.

    Yields:
        How many answers are scored so far, and, once all are, per question the losses of its
        `answers`: mean negative log-likelihood per token of the target, end token included, in
        nats. Until then the list is empty.
    """
    vocabulary, prefix = model.target.vocabulary, response_prefix(asking.prompt_format)
    rows = [
        (number, place, f"{prefix}{answer}")
        for number, question in enumerate(questions)
        for place, answer in enumerate(question.answers)
    ]
    # Rows of one batch wait for the longest: those of similar length go together.
    rows.sort(key=lambda row: len(vocabulary.encode_continuation(row[2].encode())))
    losses = [[0.0] * len(question.answers) for question in questions]
    prompts = [format_prompt(asking.prompt_format, each.question) for each in questions]
    for start in range(0, len(rows), asking.batch_size):
        part = rows[start : start + asking.batch_size]
        scores = model.score(
            [prompts[number] for number, _, _ in part],
            [answer for _, _, answer in part],
            asking.strengths,
        )
        for (number, place, _), score in zip(part, scores, strict=True):
            losses[number][place] = -float(np.mean(score.logprobs))
        done = start + len(part)
        yield done, losses if done == len(rows) else []


def generations(
    model: ControlledModel, questions: Sequence[Question], asking: Asking
) -> Iterator[list[str]]:
    """Yield the greedy answers, a batch at a time, in the order of the questions."""
    prompts = [format_prompt(asking.prompt_format, each.question) for each in questions]
    for said in greedy_answers(
        model, prompts, asking.strengths, asking.max_new_tokens, asking.batch_size
    ):
        yield [each.text.strip() for each in said]


def item(question: Question, losses: Sequence[float], generation: str) -> Item:
    """Return what a log keeps of one question."""
    wrong = tuple(losses[-len(question.wrong) :])
    return Item(
        probability=float(answer_probability([losses[0]])[0]),
        right_loss=losses[1] if question.paraphrase else losses[0],
        wrong_losses=wrong,
        wrong_probabilities=tuple(answer_probability(wrong).tolist()),
        rouge=rouge_l_recall(generation, question.answer),
        question=question.question,
        answer=question.answer,
        generation=generation,
    )
