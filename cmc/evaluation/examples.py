"""One example after the other, both sides beside each other; tables and files of reports."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

FILTERS = ("all", "regressions", "wins", "longest")


@dataclass(frozen=True)
class Example:
    """One question to one model: what it said alone, and under control.

    `score` and `base_score` go from 0 to 1, no unit; None where a side has none.
    """

    question: str
    expected: str
    base: str
    controlled: str
    target: str
    controller: str
    strength: float
    base_score: float | None
    score: float | None
    reason: str = ""
    transfer: str = ""

    @property
    def difference(self) -> float:
        """The score under control less the base's; 0 where one of them is missing."""
        both = self.score is not None and self.base_score is not None
        return self.score - self.base_score if both else 0.0


def examples_of(records: Iterable[Mapping[str, Any]]) -> list[Example]:
    """Pair the controlled answers of a run's records with those of the base.

    Args:
        records: `key` and `found` each; what was found names the `key` of its base.
    """
    found = {each["key"]: each.get("found") or {} for each in records}
    examples = []
    for cell in found.values():
        answers = cell.get("answers") or []
        base = found.get(cell.get("base") or "", {}).get("answers") or []
        if not base and not (answers and "base" in answers[0]):
            continue  # a base itself, or answers that nothing is compared with
        for number, said in enumerate(answers):
            before = base[number] if number < len(base) else {}
            examples.append(_example(cell, said, before))
    return examples


def _example(cell: Mapping[str, Any], said: Mapping[str, Any], base: Mapping[str, Any]) -> Example:
    return Example(
        question=said["question"],
        expected=said.get("expected", ""),
        base=said.get("base", base.get("text", "")),
        controlled=said["text"],
        target=str(cell.get("target", "")),
        controller=str(cell.get("controller", "")),
        strength=float(cell.get("strength") or 0.0),
        base_score=said.get("base_score", base.get("score")),
        score=said.get("score"),
        reason=said.get("reason", ""),
        transfer=str(cell.get("transfer") or ""),
    )


def filtered(examples: Sequence[Example], which: str) -> list[Example]:
    """Return the examples of a filter: the greatest difference, or the longest answer, first."""
    if which == "regressions":
        return sorted((e for e in examples if e.difference < 0), key=lambda e: e.difference)
    if which == "wins":
        return sorted((e for e in examples if e.difference > 0), key=lambda e: -e.difference)
    if which == "longest":
        return sorted(examples, key=lambda each: -len(each.controlled))
    return list(examples)


def llm_comparator(examples: Sequence[Example]) -> dict[str, Any]:
    """Return examples in the JSON of LLM Comparator: A is the controlled side, B the base.

    Source:
        https://github.com/PAIR-code/llm-comparator, "JSON Data Format"; a positive score means
        that A is better.
    """
    return {
        "metadata": {"source_path": "cmc", "custom_fields_schema": []},
        "models": [{"name": "controlled"}, {"name": "base"}],
        "examples": [
            {
                "input_text": each.question,
                "tags": [each.target, f"{each.controller} at {each.strength:g}"],
                "output_text_a": each.controlled,
                "output_text_b": each.base,
                "score": each.difference,
                "individual_rater_scores": [
                    {"is_flipped": False, "score": each.difference, "rationale": each.reason,
                     "rating_label": _label(each.difference)}
                ],
                "custom_fields": {},
            }
            for each in examples
        ],
    }  # fmt: skip


def rows_of(report: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the rows of a report of any kind, flat, for a table or a spreadsheet."""
    if report.get("kind") == "suite":
        return [
            {"test": test, "target": each["target"], "controller": each["controller"],
             "strength": each["strength"], "passed": passed,
             "reason": each["reasons"].get(test, "")}
            for each in report["columns"] for test, passed in each["results"].items()
        ]  # fmt: skip
    if report.get("kind") == "check":
        kept = {name: report[name] for name in ("controller", "target", "strength", "carried")}
        return [kept | {"shift_similarity": report["shift_similarity"],
                        "grade": report["map"]["grade"], "verdict": report["verdict"],
                        **report["target_scores"]}]  # fmt: skip
    return [_flat(each) for each in report.get("rows") or []]


def as_csv(rows: Sequence[Mapping[str, Any]]) -> str:
    """Return rows as CSV; no cell is taken for a formula by a spreadsheet."""
    names = list(dict.fromkeys(name for row in rows for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, names, lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: _cell(row.get(name)) for name in names} for row in rows)
    return text.getvalue()


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in row.items():
        nested = value if isinstance(value, Mapping) else None
        flat |= {f"{name}_{key}": part for key, part in nested.items()} if nested else {name: value}
    return flat


def _cell(value: Any) -> Any:
    return f"'{value}" if isinstance(value, str) and value[:1] in "=+-@\t\r" else value


def _label(difference: float) -> str:
    if not difference:
        return "Same"
    return "A is better" if difference > 0 else "B is better"
