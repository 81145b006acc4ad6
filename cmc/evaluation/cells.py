"""An evaluation as cells: each is measured once, kept, and skipped when a run goes on."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from typing import Any

from cmc.evaluation.answers import Answer


@dataclass(frozen=True)
class Cell:
    """One measurement.

    Attributes:
        key: what is measured; the same whenever the same is asked for.
        measure: returns what was found, as JSON can hold it.
    """

    key: str
    measure: Callable[[], dict[str, Any]]


@dataclass(frozen=True)
class Progress:
    """One finished measurement, and the report when all are done."""

    done: int
    total: int
    message: str
    answers: list[Answer] = field(default_factory=list)
    report: dict[str, Any] | None = None
    found: dict[str, Any] | None = None  # what the cell called `message` gave
    then: str = ""  # the cell that is measured next


def measured(
    cells: Sequence[Cell], found: MutableMapping[str, dict[str, Any]]
) -> Iterator[Progress]:
    """Measure the cells that are not in `found`, in their order, and put them there."""
    # The template may be a target too: what is asked twice is measured, and counted, once.
    cells = list({cell.key: cell for cell in cells}.values())
    missing = [cell for cell in cells if cell.key not in found]
    done = len(cells) - len(missing)
    for cell, then in zip_longest(missing, missing[1:]):
        found[cell.key] = cell.measure()
        done += 1
        answers = [Answer(each["question"], each["expected"], each["text"])
                   for each in found[cell.key].get("answers", [])]  # fmt: skip
        yield Progress(done, len(cells), cell.key, answers, found=found[cell.key],
                       then=then.key if then else "")  # fmt: skip


def told_answers(
    answers: Sequence[Answer], scores: Sequence[float], reasons: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Return answers with their scores, and where there are some with reasons, for a record."""
    plain = [
        {"question": each.question, "expected": each.expected, "text": each.text, "score": score}
        for each, score in zip(answers, scores, strict=True)
    ]
    for each, reason in zip(plain, reasons, strict=False):
        each["reason"] = reason
    return plain
