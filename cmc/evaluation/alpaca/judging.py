"""Have a judge compare two models' outputs; keep every verdict, say what is missing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from cmc.errors import DataError, JudgeError
from cmc.evaluation.judges import Judge, Pair, Verdict
from cmc.evaluation.preferences import DRAW, LOSS
from cmc.evaluation.scores import mean_interval


@dataclass
class Judged:
    """Annotations of all pairs, and why the judge stopped before the end if it did."""

    annotations: list[dict[str, Any]] = field(default_factory=list)
    stopped: str = ""


def paired(
    outputs: Sequence[Mapping[str, Any]], reference: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return annotations without verdicts: every output beside the reference's.

    Raises:
        DataError: the two have no instruction in common.
    """
    theirs = {each["instruction"]: each for each in reference}
    rows = []
    for mine in outputs:
        other = theirs.get(mine["instruction"])
        if other is None:
            continue
        subset = {"dataset": other["dataset"]} if "dataset" in other else {}
        rows.append({
            "instruction": mine["instruction"], "output_1": other["output"],
            "generator_1": other.get("generator", "reference"), **subset,
            "output_2": mine["output"], "generator_2": mine["generator"],
        })  # fmt: skip
    if not rows:
        raise DataError(
            "outputs and reference have no instruction in common",
            hint="Give reference outputs for the same questions.",
        )
    return rows


def judge_all(
    rows: Sequence[Mapping[str, Any]],
    judge: Judge,
    found: Mapping[str, Mapping[str, Any]],
    judged: Judged,
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Compare all pairs that have no verdict yet; yield number and annotation to be kept.

    A verdict that is missing is kept only where asking again would not bring it.

    Args:
        rows: from `paired`.
        judge: who compares.
        found: what is kept; verdicts of this judge on these very texts are used.
        judged: gets the annotations of all rows.
    """
    kept = (each["annotation"] for each in found.values() if "annotation" in each)
    known = {_key(each): each for each in kept if each["annotator"] == judge.name}
    for number, row in enumerate(rows, start=1):
        annotation = known.get(_key(row))
        if annotation is None:
            annotation = {**row, "annotator": judge.name, **_compared(judge, row, judged)}
            if annotation["preference"] is not None or judge.is_final:
                yield number, annotation
        judged.annotations.append(annotation)


def _compared(judge: Judge, row: Mapping[str, Any], judged: Judged) -> dict[str, Any]:
    if not judged.stopped:
        try:
            pair = Pair(row["instruction"], row["output_1"], row["output_2"])
            return _annotated(judge.compare(pair))
        except JudgeError as error:
            judged.stopped = str(error)
    return _annotated(Verdict(None, f"not asked: {judged.stopped}"))


def _annotated(verdict: Verdict) -> dict[str, Any]:
    first = {} if verdict.first_shown is None else {"first_shown": verdict.first_shown}
    return {
        "preference": verdict.preference, "raw_completion": verdict.reason, **first,
        **verdict.details,
    }  # fmt: skip


def _key(row: Mapping[str, Any]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in ("instruction", "output_1", "output_2"))


def as_answer(annotation: Mapping[str, Any], expected: str) -> dict[str, Any]:
    """Return an annotation as an example to look at; scores from 0 to 1, None where missing."""
    preference = annotation["preference"]
    share = None if preference is None else preference - LOSS
    return {
        "question": annotation["instruction"], "expected": expected,
        "text": annotation["output_2"], "base": annotation["output_1"],
        "score": share, "base_score": None if share is None else 1 - share,
        "reason": annotation["raw_completion"],
    }  # fmt: skip


def judging_report(judged: Judged, judge: Judge) -> dict[str, Any]:
    """Return who judged, how far the order shown mattered, and what has no verdict and why."""
    leaning = np.array(
        [each["first_shown"] for each in judged.annotations if "first_shown" in each]
    )
    interval = mean_interval(leaning) if len(leaning) else None
    missing = Counter(
        each["raw_completion"] for each in judged.annotations if each["preference"] is None
    )
    count = missing.total()
    incomplete = f"{count} of {len(judged.annotations)} verdicts are missing"
    return {
        "judge": judge.name,
        # 0.5: the judge minds no order; above, it leans to the answer shown first.
        "position_bias": interval and {
            "first_shown": interval.value, "low": interval.low, "high": interval.high,
            "n": interval.n, "undecided": int((leaning == DRAW - 1).sum()),
        },
        "stopped": judged.stopped or None,
        "missing": [{"reason": reason, "n": n} for reason, n in missing.most_common(20)],
        "incomplete": incomplete if count and not judge.is_final else None,
    }  # fmt: skip
