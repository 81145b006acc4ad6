"""A model's answers in AlpacaEval's format."""

from collections.abc import Mapping, Sequence
from typing import Any

from cmc.data import Record
from cmc.evaluation.judges.pairs import instruction_text
from cmc.evaluation.room import greedy_answers
from cmc.generation import ControlledModel


def generator_name(target: str, controllers: Mapping[str, float]) -> str:
    """Return how a target under control is called in outputs and annotations."""
    return " + ".join([target, *(f"{name}:{v:g}" for name, v in controllers.items() if v)])


def answered(
    model: ControlledModel,
    records: Sequence[Record],
    controllers: Mapping[str, float],
    max_new_tokens: int,
) -> list[dict[str, Any]]:
    """Answer the records as one batch, and return the outputs.

    Args:
        model: target and controllers.
        records: the questions.
        controllers: strength by name, in the order the model has them.
        max_new_tokens: of an answer; less where the target's context ends.
    """
    asked_in = "" if model.controllers else used_format(model)
    strengths = tuple(controllers.values())
    rows = [model.row(each.instruction, strengths, each.input, asked_in) for each in records]
    said = greedy_answers(model, rows, max_new_tokens, max(1, len(rows)))
    name = generator_name(model.target.name, controllers)
    return [
        {"instruction": instruction_text(record), "output": each.text.strip(), "generator": name,
         "windowed": each.is_windowed}
        for record, each in zip(records, (each for batch in said for each in batch), strict=True)
    ]  # fmt: skip


def used_format(model: ControlledModel) -> str:
    """Return how questions are put: as the controllers learnt them, or as the lab's are."""
    return model.prompt_format if model.controllers else "qa"
