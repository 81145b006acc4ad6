"""One row of any common layout as a question with its answer."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from cmc.errors import DataError

FIELDS = ("instruction", "input", "output")
# The names each field goes by in published data; the first that is there counts.
NAMES = {
    "instruction": ("instruction", "prompt", "question", "query"),
    "input": ("input", "context"),
    "output": ("output", "completion", "response", "answer"),
}
CONVERSATIONS = ("messages", "conversations")
USERS, ASSISTANTS = ("user", "human"), ("assistant", "gpt", "model")
MAX_FIELD = 100_000  # characters
NEEDED = (
    'Every record needs "instruction" and "output" (or prompt and completion, question and '
    'answer, or messages); "input" is optional.'
)


@dataclass(frozen=True)
class Record:
    """One question with its answer."""

    instruction: str
    input: str = ""
    output: str = ""


def as_record(item: Any, row: int, name: str, columns: Mapping[str, str]) -> Record:
    """Return row `row` (counted from 1) of the file `name` as a record.

    Args:
        item: a row as it was parsed.
        row: its number, for messages.
        name: of the file, for messages.
        columns: which column holds which field, where its name is none of the common ones.

    Raises:
        DataError: it is no record; the message names row and column.
    """
    where = f"row {row:,} of {name}"
    if not isinstance(item, dict):
        raise DataError(f"{where} is no record but {_kind(item)}", hint=NEEDED)
    talk = next((column for column in CONVERSATIONS if column in item), None)
    if talk and not columns:
        item = _first_exchange(item[talk], f'"{talk}" in {where}')
    places = {field: columns.get(field) or _place(field, item) for field in FIELDS}
    missing = [field for field in ("instruction", "output") if places[field] not in item]
    if missing:
        needed = " and ".join(f'"{field}"' for field in missing)
        there = ", ".join(f'"{column}"' for column in list(item)[:8]) or "none"
        raise DataError(
            f"{where} has no {needed}; its columns are {there}",
            hint=f"Rename the columns, or say which is which (columns). {NEEDED}",
        )
    values = {
        field: _field(item.get(place), place, field == "input", where)
        for field, place in places.items()
    }
    for field in ("instruction", "output"):
        if not any(each.isprintable() and not each.isspace() for each in values[field]):
            raise DataError(
                f'{where} has an empty "{places[field]}"', hint="Fill it in or remove the row."
            )
    return Record(**values)


def columns_of(item: Mapping[str, Any], columns: Mapping[str, str]) -> dict[str, str]:
    """Return which column of a row each field is taken from; a field that is not there is left out.

    Args:
        item: a row as it was parsed.
        columns: which column holds which field, where its name is none of the common ones.
    """
    talk = next((column for column in CONVERSATIONS if column in item), None)
    if talk and not columns:
        return {"instruction": f"{talk}: first question", "output": f"{talk}: its answer"}
    places = {field: columns.get(field) or _place(field, item) for field in FIELDS}
    return {field: place for field, place in places.items() if place in item}


def _place(field: str, item: Mapping[str, Any]) -> str:
    return next((name for name in NAMES[field] if name in item), field)


def _first_exchange(turns: Any, where: str) -> dict[str, Any]:
    """Return the first question of a conversation and the answer to it."""
    found: dict[str, Any] = {}
    for turn in turns if isinstance(turns, list) else []:
        if not isinstance(turn, dict):
            break
        speaker = turn.get("role", turn.get("from"))
        said = turn.get("content", turn.get("value"))
        if speaker in USERS and not found:
            found["instruction"] = said
        elif speaker in ASSISTANTS and found:
            return found | {"output": said}
    raise DataError(
        f"{where} holds no question with an answer",
        hint='Write turns as {"role": "user", "content": …}, {"role": "assistant", …}.',
    )


def _field(value: Any, field: str, is_optional: bool, where: str) -> str:
    """Return one field as text that can be encoded; a null that may be missing is empty."""
    if value is None and is_optional:
        return ""
    if not isinstance(value, str):
        is_nested = isinstance(value, dict | list | bytes)
        raise DataError(
            f'"{field}" in {where} is {_kind(value)}, not text',
            hint="Put the text itself there, or say which column holds it (columns)."
            if is_nested else "Put it in quotes, or remove the row.",
        )  # fmt: skip
    if len(value) > MAX_FIELD:
        raise DataError(
            f'"{field}" in {where} has {len(value):,} characters; the limit is {MAX_FIELD:,}',
            hint="Shorten it or split the record.",
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(
            f'"{field}" in {where} holds half a character (a lone surrogate)',
            hint="Remove the broken \\u escape.",
        ) from None
    return value.replace("\x00", "")


def _kind(value: Any) -> str:
    """Return what a person calls the JSON type of `value`."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    kinds[bytes] = "binary data"
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN or infinite"
    return "null" if value is None else kinds.get(type(value), "a number")
