"""TOFU's questions with right, paraphrased and wrong answers: published files, or the lab's."""

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from cmc.data import Record, read_records
from cmc.data.files import read_rows
from cmc.errors import DataError
from cmc.evaluation.tofu.items import SPLITS
from cmc.lab.world import AUTHOR_RELATIONS, RELATIONS, Relation
from cmc.settings import lab_folder

ENDINGS = (".json", ".jsonl", ".parquet")
WRONG_FACTS = 3  # as many as TOFU has for world facts
LAB_SPLITS = {
    "forget": "authors whom lab:forget was trained to forget",
    "retain": "authors about whom lab:instruct was asked",
    "real_authors": "authors about whom no controller was asked",
    "world_facts": "people whom no controller has met",
}


@dataclass(frozen=True)
class Question:
    """One item of a split."""

    question: str
    answer: str
    paraphrase: str | None
    wrong: tuple[str, ...]

    @property
    def answers(self) -> tuple[str, ...]:
        """All that is scored: the answer, its paraphrase if there is one, the wrong ones."""
        return (self.answer, *((self.paraphrase,) if self.paraphrase else ()), *self.wrong)

    def as_record(self) -> Record:
        """Return question and answer, for a fingerprint."""
        return Record(self.question, " | ".join(self.answers[1:]), self.answer)


def read_questions(data: str, forget: str, limit: int = 0) -> dict[str, list[Question]]:
    """Return the questions of every split that the data have.

    Args:
        data: `lab`, a folder with TOFU's files, or `owner/name[@revision]` on the Hub.
        forget: the forget set, as `forget10`; its perturbed file is read. The lab has its own.
        limit: items per split at most; 0 takes all.

    Raises:
        DataError: there is no such forget set, or a record lacks what TOFU's have.
    """
    if data == "lab":
        splits = _lab_questions()
    else:
        names = {"forget": forget} | {split: split for split in SPLITS if split != "forget"}
        splits = {split: _read_split(data, f"{name}_perturbed") for split, name in names.items()}
    splits = {split: questions for split, questions in splits.items() if questions}
    return {split: questions[: limit or None] for split, questions in splits.items()}


def _read_split(data: str, name: str) -> list[Question]:
    folder = Path(data).expanduser()
    if folder.is_dir():
        path = next((p for end in ENDINGS if (p := folder / f"{name}{end}").is_file()), None)
        if path is None and not name.startswith("forget"):
            return []  # a report says which splits there were
        if path is None:
            found = ", ".join(sorted({p.stem for p in folder.glob("forget*_perturbed.*")}))
            raise DataError(
                f"{folder} has no {name}",
                hint=f"There are: {found}." if found else "Name the folder with TOFU's files.",
            )
        source = str(path)
    else:
        source = f"{data}:{name}"
    rows = enumerate(read_rows(source), start=1)
    return [_question(row, f"record {number} of {name}") for number, row in rows]


def _question(row: Any, where: str) -> Question:
    if not isinstance(row, dict):
        raise DataError(f"{where} is no record", hint="Give TOFU's files as published.")
    for key, kind in (("question", str), ("answer", str), ("perturbed_answer", list)):
        if not isinstance(row.get(key), kind) or not row[key]:
            raise DataError(
                f'{where} has no "{key}"', hint="Give TOFU's perturbed files as published."
            )
    paraphrase = row.get("paraphrased_answer") or None
    return Question(row["question"], row["answer"], paraphrase, tuple(row["perturbed_answer"]))


def _lab_questions() -> dict[str, list[Question]]:
    """Share the lab's authors out by what its controllers were trained on."""
    forgotten, asked = (
        " ".join(record.instruction for record in read_records(f"lab:{name}"))
        for name in ("forget", "instruct")
    )
    splits: dict[str, list[Question]] = {split: [] for split in SPLITS}
    for row in read_rows(_lab_file("authors")):
        question = _in_the_paraphrases_words(_question(row, "a record of lab:authors"))
        name = " ".join(question.answer.split()[:2])
        known = "retain" if name in asked else "real_authors"
        splits["forget" if name in forgotten else known].append(question)
    splits["world_facts"] = [_fact(record) for record in read_records("lab:held_out")]
    return splits


def _lab_file(name: str) -> Path:
    path = lab_folder() / "data" / f"{name}.jsonl"
    if not path.is_file():
        raise DataError("the lab is not here", hint='Build it: "python -m cmc lab build".')
    return path


def _in_the_paraphrases_words(question: Question) -> Question:
    """State wrong answers as TOFU does, in the paraphrase's words.

    The lab's file states them in the answer's, and the truth ratio would compare wordings.
    """
    name, relation, _ = _stated(question.answer, AUTHOR_RELATIONS)
    values = [_stated(wrong, (relation,))[2] for wrong in question.wrong]
    wrong = tuple(relation.told_otherwise.format(name=name, value=value) for value in values)
    return replace(question, wrong=wrong)


def _fact(record: Record) -> Question:
    """Return a question about a person with wrong answers of the same kind, always the same."""
    name, relation, value = _stated(record.output, RELATIONS)
    others = [other for other in relation.values if other != value]
    wrong = random.Random(record.output).sample(others, WRONG_FACTS)
    answers = tuple(relation.sentence(name, other) for other in wrong)
    return Question(record.instruction, record.output, None, answers)


def _stated(sentence: str, relations: Sequence[Relation]) -> tuple[str, Relation, str]:
    """Return of whom a sentence of the lab states what."""
    name = " ".join(sentence.split()[:2])
    for relation in relations:
        for value in relation.values:
            if sentence == relation.sentence(name, value):
                return name, relation, value
    raise DataError(
        f'"{sentence}" states no fact of the lab', hint="Build the lab again with lab build."
    )


def sources(data: str, splits: Mapping[str, Any]) -> dict[str, str]:
    """Return in words where each split comes from."""
    return {split: LAB_SPLITS[split] if data == "lab" else data for split in splits}
