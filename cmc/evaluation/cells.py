"""An evaluation as cells: each is measured once, kept, and skipped when a run goes on."""

from collections.abc import Callable, Iterator, Mapping, MutableMapping, Sequence
from dataclasses import dataclass, field
from itertools import zip_longest
from pathlib import Path
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
    """One finished measurement, and the report when all are done.

    A report says under `incomplete` what is missing where asking again may bring it.
    """

    done: int
    total: int
    message: str
    answers: list[Answer] = field(default_factory=list)
    report: dict[str, Any] | None = None
    found: dict[str, Any] | None = None  # what the cell called `message` gave
    then: str = ""  # the cell that is measured next
    write: Callable[[Path], None] | None = None  # the report's other files, into a folder


def measured(
    cells: Sequence[Cell], found: MutableMapping[str, dict[str, Any]], *, further: int = 0
) -> Iterator[Progress]:
    """Measure the cells that are not in `found`, in their order, and put them there.

    Args:
        cells: what to measure.
        found: what was measured, by key.
        further: measurements that come after these, for the total.
    """
    # The template may be a target too: what is asked twice is measured, and counted, once.
    cells = list({cell.key: cell for cell in cells}.values())
    missing = [cell for cell in cells if cell.key not in found]
    done = len(cells) - len(missing)
    for cell, then in zip_longest(missing, missing[1:]):
        found[cell.key] = cell.measure()
        done += 1
        answers = [Answer(each["question"], each["expected"], each["text"])
                   for each in found[cell.key].get("answers", [])]  # fmt: skip
        total = len(cells) + further
        yield Progress(done, total, cell.key, answers, found=found[cell.key],
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


def told_controllers(controllers: Mapping[str, float]) -> dict[str, Any]:
    """Return name and strength of what controls a target, as a record keeps them.

    Several controllers are told as one, with their strengths in its name.
    """
    if len(controllers) == 1:
        name, strength = next(iter(controllers.items()))
        return {"controller": name, "strength": strength}
    joined = " + ".join(f"{name}:{strength:g}" for name, strength in controllers.items())
    return {"controller": joined, "strength": 1.0 if controllers else 0.0}
