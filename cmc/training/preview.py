"""What a training would learn from, before it starts: rows, columns, lengths, repeats, leaks."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

from cmc.data import (
    Record,
    chat_prompt,
    encode_example,
    format_prompt,
    prompt_text,
    read_records,
    response_prefix,
)
from cmc.data.records import read_columns
from cmc.data.repeats import asked_in, contradictions, exact_repeats, near_repeats, shared_rows
from cmc.models import load_vocabulary
from cmc.settings import CHAT, ON_DATA_ALONE, TrainSettings, lab_folder
from cmc.training.material import WITH_END, read_parts

if TYPE_CHECKING:
    from cmc.vocab import Vocabulary

MEASURED = 20_000  # records; what is looked for takes time, and a share of this many tells enough
UNCUT = 10**9  # tokens
ROWS = 3  # records shown of each part
QUESTIONS = ("held_out", "authors")  # the lab's sets for evaluation
NAMED = 3  # pairs of rows named in a warning


@dataclass(frozen=True)
class Source:
    """One set of records: its name, how many, its columns by field, and those not used."""

    name: str
    records: int
    columns: dict[str, str]
    unused: tuple[str, ...]


@dataclass(frozen=True)
class Row:
    """One record as it is trained on; tokens of prompt and answer, uncut."""

    part: str
    prompt: str
    response: str
    tokens: int


@dataclass(frozen=True)
class DataPreview:
    """What a training would learn from.

    Attributes:
        sources: data, and where there is one the retain set.
        prompt: the prompt as a text with named fields.
        rows: the first records, as they are trained on.
        parts: records to train on, to retain and to hold out.
        lengths: tokens of prompt and answer of each measured record, uncut.
        limit: tokens a record may have.
        cut: records whose answer is cut at the limit.
        skipped: records whose prompt alone fills it.
        repeated: records that repeat an earlier one to the letter.
        near: those that nearly do.
        measured: records looked at for lengths and repeats.
        warnings: sentences about what a person should know before training.
    """

    sources: tuple[Source, ...]
    prompt: str
    rows: tuple[Row, ...]
    parts: dict[str, int]
    lengths: tuple[int, ...]
    limit: int
    cut: int
    skipped: int
    repeated: int
    near: int
    measured: int
    warnings: tuple[str, ...]

    def as_plain(self) -> dict[str, Any]:
        """Return everything as JSON can hold it, with counts by length instead of all lengths."""
        plain = asdict(self)
        plain["lengths"] = dict(sorted(Counter(self.lengths).items()))
        return plain


def with_prompt_text(settings: TrainSettings) -> TrainSettings:
    """Return settings whose chat template is written out, so that it is kept and used later.

    Raises:
        SettingError: the template has no chat template that can be used.
    """
    if settings.prompt_format != CHAT:
        return settings
    return replace(settings, prompt_format=chat_prompt(load_vocabulary(settings.template)))


def preview_data(settings: TrainSettings, rows: int = ROWS) -> DataPreview:
    """Read the records of a training as it would, and measure what a person should know.

    Args:
        settings: of the training.
        rows: records to show of each part.

    Raises:
        CmcError: what the training would raise for its data, template or prompt.
    """
    vocabulary = load_vocabulary(settings.template)
    settings = with_prompt_text(settings)
    train, retained, held_out = read_parts(settings)
    parts = {"train": train, "retain": retained, "held out": held_out}
    measured = _measured(parts)
    lengths, prompts = _lengths(measured, settings, vocabulary)
    limit = settings.max_length
    everything = [each for part in measured.values() for each in part]
    exact, near = exact_repeats(everything), near_repeats(everything)
    over = sum(length > limit for length in lengths)
    skipped = sum(prompt >= limit for prompt in prompts)
    return DataPreview(
        sources=_sources(settings, {name: len(part) for name, part in parts.items()}),
        prompt=prompt_text(settings.prompt_format),
        rows=_rows(parts, settings, vocabulary, rows),
        parts={name: len(part) for name, part in parts.items() if part},
        lengths=tuple(lengths),
        limit=limit,
        cut=over - skipped,
        skipped=skipped,
        repeated=len(exact),
        near=len(near),
        measured=len(everything),
        warnings=(*_repeats_told(everything, exact, near), *_leaks(measured, settings)),
    )


def _measured(parts: dict[str, list[Record]]) -> dict[str, list[Record]]:
    """Return of each part as many first records as can be looked at, in proportion."""
    whole = sum(map(len, parts.values()))
    share = min(1.0, MEASURED / whole)
    return {name: part[: round(len(part) * share)] for name, part in parts.items()}


def _lengths(
    parts: dict[str, list[Record]], settings: TrainSettings, vocabulary: "Vocabulary"
) -> tuple[list[int], list[int]]:
    """Return tokens of prompt and answer, and of the prompt alone, of every record."""
    lengths, prompts = [], []
    for name, part in parts.items():
        has_end = name != "train" or settings.objective in WITH_END
        for record in part:
            example = encode_example(
                record, settings.prompt_format, vocabulary, UNCUT, has_end=has_end
            )
            if example is not None:
                lengths.append(len(example))
                prompts.append(len(example.prompt_ids))
    return lengths, prompts


def _rows(
    parts: dict[str, list[Record]], settings: TrainSettings, vocabulary: "Vocabulary", rows: int
) -> tuple[Row, ...]:
    prefix, shown = response_prefix(settings.prompt_format), []
    for name, part in parts.items():
        for record in part[:rows]:
            prompt = format_prompt(settings.prompt_format, record.instruction, record.input)
            lengths, _ = _lengths({name: [record]}, settings, vocabulary)
            shown.append(Row(name, prompt, prefix + record.output, lengths[0]))
    return tuple(shown)


def _sources(settings: TrainSettings, counts: dict[str, int]) -> tuple[Source, ...]:
    """Return what was read of each source that the objective reads."""
    counted = [(settings.data, counts["train"] + counts["held out"])]
    if settings.objective not in ON_DATA_ALONE:
        retained = counts["retain"] + counts["held out"]
        counted = [(settings.data, counts["train"]), (settings.retain, retained)]
    found = []
    for name, count in counted:
        columns, unused = read_columns(name, settings.columns)
        found.append(Source(name, count, columns, tuple(unused)))
    return tuple(found)


def _repeats_told(
    records: Sequence[Record], exact: list[tuple[int, int]], near: list[tuple[int, int]]
) -> list[str]:
    told = []
    if exact:
        told.append(f"{_count(len(exact), 'record')} repeated to the letter.")
    if near:
        told.append(f"{_count(len(near), 'record')} nearly the same as an earlier one.")
    if differing := contradictions(records):
        told.append(f"{_count(len(differing), 'question')} asked again with another answer.")
    return told


def _leaks(parts: dict[str, list[Record]], settings: TrainSettings) -> list[str]:
    """Say what stands where it should not: the measurements would flatter the controller."""
    told = []
    if both := shared_rows(parts["train"], parts["held out"]):
        where = "to train on" if settings.objective == "sft" else "to forget"
        told.append(
            f"{len(both)} of {len(parts['held out']):,} held-out records nearly stand among those "
            f"{where}: the held-out loss will flatter the controller."
        )
    if both := shared_rows(parts["train"], parts["retain"]):
        pairs = ", ".join(f"{row} and {other}" for row, other in both[:NAMED])
        told.append(
            f"{_count(len(both), 'record')} both to forget and to retain (rows {pairs}): "
            "training pulls both ways."
        )
    return [*told, *_lab_questions(parts["train"], settings)]


def _lab_questions(records: list[Record], settings: TrainSettings) -> list[str]:
    """Say how many of the lab's evaluation questions are trained on; to forget them is fair."""
    told = []
    for name in QUESTIONS if settings.objective == "sft" else ():
        if (lab_folder() / "data" / f"{name}.jsonl").is_file():
            rows = asked_in(records, read_records(f"lab:{name}"))
            if rows:
                told.append(
                    f"{_count(len(rows), 'question')} of lab:{name}, which the lab evaluates with "
                    f"(first in row {rows[0]}): its figures will flatter the controller."
                )
    return told


def _count(number: int, what: str) -> str:
    return f"{number:,} {what} is" if number == 1 else f"{number:,} {what}s are"
