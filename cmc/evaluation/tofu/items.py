"""What TOFU logs hold: per split and item losses, probabilities, recalls and texts."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

SPLITS = ("forget", "retain", "real_authors", "world_facts")
SHORT = {"forget": "forget", "retain": "retain", "real_authors": "ra", "world_facts": "wf"}
STATED = ("model_utility", "forget_quality")
LOCUSLAB = {
    "eval_log_forget": "forget", "eval_log": "retain",
    "eval_real_author_wo_options": "real_authors", "eval_real_world_wo_options": "world_facts",
}  # fmt: skip
KNOWN_LOGS = (
    "Give open-unlearning's TOFU_EVAL.json or TOFU_SUMMARY.json, or locuslab's "
    "eval_log_aggregated.json, one of its eval_log files or the folder they lie in."
)


@dataclass(frozen=True)
class Item:
    """What a log keeps of one question; None where it keeps nothing.

    Losses are nats per token of the answer, end token included; probabilities are theirs.
    """

    probability: float | None = None
    right_loss: float | None = None  # of the paraphrased answer where there is one
    wrong_losses: tuple[float, ...] | None = None
    wrong_probabilities: tuple[float, ...] | None = None
    normalised: float | None = None  # as the log states it; used where probabilities are missing
    ratio: float | None = None  # as the log states it; used where losses are missing
    rouge: float | None = None
    question: str = ""
    answer: str | None = None  # the expected one
    generation: str | None = None


@dataclass(frozen=True)
class TofuLog:
    """One model's results, per split and item.

    Attributes:
        format: `open-unlearning`, `open-unlearning summary` or `locuslab`.
        splits: items by their index in the split.
        epsilon: what this kind of log adds to denominators.
        stated: figures the log itself states.
    """

    format: str
    splits: Mapping[str, Mapping[str, Item]]
    epsilon: float = 0.0
    stated: Mapping[str, float] = field(default_factory=dict)


def number(value: Any) -> float | None:
    """Return a finite number, or None for anything else a log may hold in its place."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return float(value) if is_number and math.isfinite(value) else None


def numbers(values: Any) -> tuple[float, ...] | None:
    """Return finite numbers, one or several; None where one of them is none."""
    if number(values) is not None:
        values = [values]  # one wrong answer only
    if not isinstance(values, Sequence) or isinstance(values, str) or not values:
        return None
    found = [number(each) for each in values]
    return None if None in found else tuple(found)


def text(value: Any) -> str | None:
    """Return a text, or None for anything else a log may hold in its place."""
    return value if isinstance(value, str) else None
