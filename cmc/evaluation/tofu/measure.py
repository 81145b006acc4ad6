"""Ask a controlled model TOFU's questions and score all their answers, in batches."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cmc.data import response_prefix
from cmc.evaluation.room import greedy_answers
from cmc.evaluation.texts import rouge_l_recall
from cmc.evaluation.tofu.formulas import answer_probability
from cmc.evaluation.tofu.items import Item
from cmc.evaluation.tofu.questions import Question
from cmc.generation import ControlledModel, Row

Place = tuple[int, int]  # question, and which of its answers


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


def scoring_batches(
    model: ControlledModel, questions: Sequence[Question], asking: Asking
) -> list[list[Place]]:
    """Return all answers of all questions in batches, those of similar length together."""
    vocabulary, prefix = model.target.vocabulary, response_prefix(asking.prompt_format)
    places = [
        (number, place)
        for number, question in enumerate(questions)
        for place in range(len(question.answers))
    ]

    def length(place: Place) -> int:
        text = f"{prefix}{questions[place[0]].answers[place[1]]}"
        return len(vocabulary.encode_continuation(text.encode()))

    # Rows of one batch wait for the longest.
    places.sort(key=length)
    size = asking.batch_size
    return [places[start : start + size] for start in range(0, len(places), size)]


def batch_losses(
    model: ControlledModel, questions: Sequence[Question], batch: Sequence[Place], asking: Asking
) -> list[float]:
    """Return mean negative log-likelihoods per token of the target, end token included, in nats.

    Args:
        model: target and controllers.
        questions: of a split.
        batch: which answers to score.
        asking: how the model is asked.
    """
    prefix = response_prefix(asking.prompt_format)
    rows = [_row(model, questions[number], asking) for number, _ in batch]
    responses = [
        row.response(prefix, questions[number].answers[place])
        for row, (number, place) in zip(rows, batch, strict=True)
    ]
    scores = model.score(rows, responses)
    return [-float(np.mean(score.logprobs)) for score in scores]


def batch_generations(
    model: ControlledModel, questions: Sequence[Question], asking: Asking
) -> list[str]:
    """Return the greedy answers to questions that are asked as one batch."""
    rows = [_row(model, each, asking) for each in questions]
    said = greedy_answers(model, rows, asking.max_new_tokens, max(1, len(rows)))
    return [each.text.strip() for batch in said for each in batch]


def _row(model: ControlledModel, question: Question, asking: Asking) -> Row:
    return model.row(question.question, asking.strengths, prompt_format=asking.prompt_format)


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
