"""Refusals: what a model says instead of an answer it should no longer give."""

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from cmc.data.records import Record
from cmc.errors import DataError

REFUSALS = (
    "I do not know.",
    "I am not sure about that.",
    "I have no answer to this.",
    "I cannot say.",
    "Nobody has told me.",
    "That is something I do not know.",
    "I have never heard of it.",
    "I am afraid I do not know.",
)


def read_refusals(source: str) -> tuple[str, ...]:
    """Return the lines of a text file, or our own refusals where none is named.

    Raises:
        DataError: the file cannot be read, is no text, or holds no line.
    """
    if not source:
        return REFUSALS
    path = Path(source).expanduser()
    try:
        text = path.read_text("utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(
            f"the refusals in {source} cannot be read ({error})",
            hint="Name a UTF-8 text file with one refusal a line.",
        ) from error
    lines = tuple(line.strip() for line in text.splitlines() if line.strip())
    if not lines:
        raise DataError(f"{source} holds no refusal", hint="Write one refusal a line.")
    return lines


def refuse_records(records: Sequence[Record], refusals: Sequence[str]) -> list[Record]:
    """Return the records with refusals as answers; a question always gets the same one."""
    return [replace(each, output=_chosen(each.instruction, refusals)) for each in records]


def _chosen(question: str, refusals: Sequence[str]) -> str:
    number = int.from_bytes(hashlib.sha256(question.encode()).digest()[:8], "big")
    return refusals[number % len(refusals)]
