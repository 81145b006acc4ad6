"""Greedy answers of any number of prompts, each with as many tokens as the target has room for."""

from collections.abc import Iterator, Sequence

from cmc.errors import SettingError
from cmc.generation import ControlledModel, Row
from cmc.generation.told import Generation
from cmc.settings import Sampling

LEAST_NEW_TOKENS = 8  # with less room an answer says nothing about the model


def greedy_answers(
    model: ControlledModel,
    rows: Sequence[Row],
    max_new_tokens: int,
    batch_size: int,
) -> Iterator[list[Generation]]:
    """Yield what prompts are answered, a batch at a time, in their order.

    Args:
        model: target and controllers.
        rows: prompts with their strengths.
        max_new_tokens: fewer where the target's context ends.
        batch_size: prompts at once; no answer depends on it as long as all have room.

    Raises:
        SettingError: a prompt leaves no room for an answer.
    """
    for start in range(0, len(rows), batch_size):
        part = rows[start : start + batch_size]
        room = _room(model, part, max_new_tokens)
        yield model.generate(part, Sampling(max_new_tokens=room))


def _room(model: ControlledModel, rows: Sequence[Row], wanted: int) -> int:
    if model.target.context is None:
        return wanted
    longest = max(len(row.ids(model.target.vocabulary)) for row in rows)
    room = model.target.context - longest
    if room < min(wanted, LEAST_NEW_TOKENS):
        raise SettingError(
            f"a question of {longest} tokens leaves no room for an answer within the "
            f"{model.target.context} tokens that {model.target.name} can read",
            hint="Choose a target with a longer context.",
        )
    return min(wanted, room)
