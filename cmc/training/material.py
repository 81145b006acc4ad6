"""What a run learns from: encoded records, what is held out, and what there is to tell."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cmc.data import (
    Example,
    Record,
    TokenBatch,
    encode_example,
    read_records,
    read_refusals,
    refuse_records,
    split_records,
    token_batch,
)
from cmc.errors import DataError
from cmc.settings import ON_DATA_ALONE, TrainSettings

if TYPE_CHECKING:
    from cmc.controller import Controller
    from cmc.models import LanguageModel

HELD_OUT_MOST = 512  # records; more would cost time and tell nothing new


# What is to be forgotten has no end of text: a controller that only keeps a model from stopping
# would seem to have done it. A refusal, and what `reverse` learns, is said to its end.
WITH_END = ("sft", "idk", "reverse")


@dataclass(frozen=True)
class Material:
    """Examples to train on, to keep and to refuse with, held-out batches, and notes.

    `refusals` holds, for `dpo`, the refusal to every example to train on.
    """

    train: list[Example]
    retain: list[Example]
    held_out: list[TokenBatch]
    pad_id: int
    notes: tuple[str, ...]
    refusals: Mapping[Example, Example] = field(default_factory=dict)
    held_out_records: tuple[Record, ...] = ()

    def all(self) -> list[Example]:
        """Return every example that the frozen model reads."""
        held_out = [each for batch in self.held_out for each in batch.examples]
        return [*self.train, *self.retain, *self.refusals.values(), *held_out]

    def refused(self, batch: TokenBatch) -> TokenBatch | None:
        """Return the refusals to the questions of a batch, row by row; None where none are."""
        if not self.refusals:
            return None
        return token_batch([self.refusals[each] for each in batch.examples], self.pad_id)


def load_material(
    settings: TrainSettings, template: "LanguageModel", controller: "Controller"
) -> Material:
    """Read, split and encode the records of a run.

    For `sft` a part of the data is held out. For all other objectives every record of the data
    is to be forgotten, so that the held-out part comes from the records to retain, if any.

    Raises:
        DataError: a file cannot be used, or nothing fits into `max_length`.
    """
    data, retained, held_out = read_parts(settings)
    length, notes = _length(settings, template, controller)

    def encoded(records: list[Record], has_end: bool) -> list[Example | None]:
        how = (settings.prompt_format, template.vocabulary, length)
        return [encode_example(each, *how, has_end=has_end) for each in records]

    train = encoded(data, settings.objective in WITH_END)
    retain, held = encoded(retained, True), encoded(held_out, True)
    refusals: list[Example | None] = []
    if settings.objective == "dpo":
        refusals = encoded(refuse_records(data, read_refusals(settings.refusals)), True)
    skipped = sum(part.count(None) for part in (train, retain, held))
    kept = {name: _present(part) for name, part in (("train", train), ("retain", retain))}
    if not kept["train"] or (retained and not kept["retain"]):
        raise DataError(
            f"no record fits into {length} tokens",
            hint="Raise max_length, or choose a template with a longer context.",
        )
    if skipped:
        count = "1 record was" if skipped == 1 else f"{skipped:,} records were"
        notes.append(f"{count} skipped because the prompt alone fills {length} tokens.")
    pad_id = template.vocabulary.pad_id
    return Material(
        **kept,
        held_out=_batches(_present(held), settings.batch_size, pad_id),
        pad_id=pad_id,
        notes=tuple(notes),
        refusals={a: b for a, b in zip(train, refusals, strict=False) if a and b},
        held_out_records=tuple(held_out),
    )


def records_of(settings: TrainSettings, source: str) -> list[Record]:
    """Return the records of one source, read as the settings say."""
    return read_records(source, limit=settings.limit, columns=settings.columns)


def read_parts(settings: TrainSettings) -> tuple[list[Record], list[Record], list[Record]]:
    """Return what to train on, to retain and to hold out."""
    data = records_of(settings, settings.data)
    if settings.objective == "sft":
        data, held_out = _split(data, settings)
        return data, [], held_out
    if settings.objective == "idk":
        data = refuse_records(data, read_refusals(settings.refusals))
    if settings.objective in ON_DATA_ALONE:
        return data, [], []
    retained = records_of(settings, settings.retain)
    retained, held_out = _split(retained, settings)
    return data, retained, held_out


def _present(examples: list[Example | None]) -> list[Example]:
    return [example for example in examples if example is not None]


def _split(records: list[Record], settings: TrainSettings) -> tuple[list[Record], list[Record]]:
    fraction = min(settings.held_out_fraction, HELD_OUT_MOST / len(records))
    return split_records(records, fraction, settings.seed)


def _length(
    settings: TrainSettings, template: "LanguageModel", controller: "Controller"
) -> tuple[int, list[str]]:
    """Return the longest text that fits settings, template and delta, and a note if cut."""
    contexts = [
        getattr(model.config, "max_position_embeddings", None) or settings.max_length
        for model in (template.model, controller.delta)
    ]
    length = min(settings.max_length, *contexts)
    if length == settings.max_length:
        return length, []
    return length, [f"Texts are cut at {length} tokens, the context of template or controller."]


def _batches(examples: list[Example], batch_size: int, pad_id: int) -> list[TokenBatch]:
    """Return all examples by length in batches, always the same ones."""
    ordered = sorted(examples, key=len)
    return [
        token_batch(ordered[start : start + batch_size], pad_id)
        for start in range(0, len(ordered), batch_size)
    ]
