"""Win rates against the base: one judged pair after the other, each kept on its own."""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from cmc.data import Record
from cmc.evaluation.answers import Answer
from cmc.evaluation.cells import told_answers
from cmc.evaluation.judges import Judge, Pair, instruction_text
from cmc.evaluation.preferences import DRAW, LOSS
from cmc.evaluation.scores import mean_interval


def verdict_key(key: str, number: int) -> str:
    """Return the key of the verdict on one pair of the cell called `key`."""
    return f"{key}, verdict {number + 1}"


def compared(judge: Judge, record: Record, base: str, text: str) -> dict[str, Any]:
    """Return a judge's preference between two answers, and its reason."""
    verdict = judge.compare(Pair(instruction_text(record), base, text))
    return {"preference": verdict.preference, "reason": verdict.reason}


def told_wins(said: Sequence[Answer], verdicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the win rate as a share with its interval, and the answers with their verdicts.

    A draw is half a win; a pair without a verdict is left out and counted as missing.
    """
    preferences = [each["preference"] for each in verdicts]
    scores = [None if each is None else each - LOSS for each in preferences]
    judged = np.array([each for each in scores if each is not None], dtype=float)
    found = mean_interval(judged)
    return {
        "score": found.value, "low": found.low, "high": found.high, "n": found.n,
        "n_missing": len(scores) - found.n,
        "answers": told_answers(said, scores, [each["reason"] for each in verdicts]),
    }  # fmt: skip


def draws(count: int) -> list[dict[str, Any]]:
    """Return the verdicts on the base against itself."""
    return [{"preference": DRAW, "reason": "the base itself"}] * count
