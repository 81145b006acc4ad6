"""What a run learns from: encoded records, what is held out, and what there is to tell."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from cmc.data import (
    Example,
    Record,
    TokenBatch,
    encode_records,
    fingerprint_records,
    read_records,
    split_records,
    token_batch,
)
from cmc.errors import DataError
from cmc.settings import TrainSettings

if TYPE_CHECKING:
    from cmc.controller import Controller
    from cmc.models import LanguageModel

HELD_OUT_MOST = 512  # records; more would cost time and tell nothing new


@dataclass(frozen=True)
class Material:
    """Examples to train on, examples to keep (`npo` only), held-out batches, and notes."""

    train: list[Example]
    retain: list[Example]
    held_out: list[TokenBatch]
    pad_id: int
    notes: tuple[str, ...]
    fingerprints: dict[str, str]


def load_material(
    settings: TrainSettings, template: "LanguageModel", controller: "Controller"
) -> Material:
    """Read, split and encode the records of a run.

    For `sft` a part of the data is held out. For `npo` every record of the data is to be
    forgotten, so that the held-out part comes from the records to retain.

    Raises:
        DataError: a file cannot be used, or nothing fits into `max_length`.
    """
    records = read_records(settings.data, limit=settings.limit)
    fingerprints = {settings.data: fingerprint_records(records)}
    retained: list[Record] = []
    if settings.objective == "npo":
        retained = read_records(settings.retain, limit=settings.limit)
        fingerprints[settings.retain] = fingerprint_records(retained)
        retained, held_out = _split(retained, settings)
    else:
        records, held_out = _split(records, settings)
    length, notes = _length(settings, template, controller)
    encoded = {}
    skipped = 0
    for name, part in {"train": records, "retain": retained, "held_out": held_out}.items():
        has_end = settings.objective != "npo" or name != "train"
        encoded[name], missed = encode_records(
            part, settings.prompt_format, template.vocabulary, length, has_end=has_end
        )
        skipped += missed
    if not encoded["train"] or (retained and not encoded["retain"]):
        raise DataError(
            f"no record fits into {length} tokens",
            hint="Raise max_length, or choose a template with a longer context.",
        )
    if skipped:
        count = "1 record was" if skipped == 1 else f"{skipped:,} records were"
        notes.append(f"{count} skipped because the prompt alone fills {length} tokens.")
    pad_id = template.vocabulary.pad_id
    return Material(
        train=encoded["train"],
        retain=encoded["retain"],
        held_out=_batches(encoded["held_out"], settings.batch_size, pad_id),
        pad_id=pad_id,
        notes=tuple(notes),
        fingerprints=fingerprints,
    )


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
