"""Have a judge compare two models' outputs; keep every verdict, say what is missing."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from cmc.errors import DataError, JudgeError
from cmc.evaluation.alpaca.files import write_list
from cmc.evaluation.alpaca.journal import append_line, read_lines
from cmc.evaluation.judges import Judge, Pair, Verdict
from cmc.evaluation.preferences import DRAW
from cmc.evaluation.scores import mean_interval


@dataclass
class Judged:
    """Annotations so far, and why the judge stopped before the end if it did."""

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


def judge_all(path: Path, rows: Sequence[Mapping[str, Any]], judge: Judge) -> Iterator[Judged]:
    """Compare all pairs that have no verdict yet, and yield what there is after each.

    Args:
        path: of the `annotations.json` to write; verdicts its `.jsonl` holds are kept.
        rows: from `paired`.
        judge: who compares.
    """
    kept = path.with_suffix(".jsonl")
    known = {
        _key(each): each
        for each in read_lines(kept)
        if each.get("annotator") == judge.name and each.get("preference") is not None
    }
    judged = Judged()
    for row in rows:
        annotation = known.get(_key(row))
        if annotation is None:
            annotation = {**row, "annotator": judge.name, **_compared(judge, row, judged)}
            append_line(kept, annotation)
        judged.annotations.append(annotation)
        yield judged
    write_list(path, judged.annotations)


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


def judging_report(judged: Judged, judge: Judge) -> dict[str, Any]:
    """Return who judged, how far the order shown mattered, and what has no verdict and why."""
    leaning = np.array(
        [each["first_shown"] for each in judged.annotations if "first_shown" in each]
    )
    interval = mean_interval(leaning) if len(leaning) else None
    missing = Counter(
        each["raw_completion"] for each in judged.annotations if each["preference"] is None
    )
    return {
        "judge": judge.name,
        # 0.5: the judge minds no order; above, it leans to the answer shown first.
        "position_bias": interval and {
            "first_shown": interval.value, "low": interval.low, "high": interval.high,
            "n": interval.n, "undecided": int((leaning == DRAW - 1).sum()),
        },
        "stopped": judged.stopped or None,
        "missing": [{"reason": reason, "n": n} for reason, n in missing.most_common(20)],
    }  # fmt: skip
