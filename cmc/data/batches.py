"""Records as token ids, in batches of similar length."""

import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cmc.data.formats import format_prompt, response_prefix
from cmc.data.records import Record

if TYPE_CHECKING:
    from cmc.vocab import Vocabulary

MEGA_BATCH = 32  # batches that are sorted by length together


@dataclass(frozen=True)
class Example:
    """One record in the ids of one vocabulary; the answer ends with the end of text."""

    prompt_ids: tuple[int, ...]
    response_ids: tuple[int, ...]

    def __len__(self) -> int:
        """Return the number of ids."""
        return len(self.prompt_ids) + len(self.response_ids)


@dataclass(frozen=True, eq=False)
class TokenBatch:
    """Right padded ids; the label mask is true where an answer's token stands.

    `input_ids` is `(batch, time)` int64, `attention_mask` and `label_mask` are `(batch, time)`
    bool, `examples` are the rows as they were.
    """

    input_ids: Tensor
    attention_mask: Tensor
    label_mask: Tensor
    examples: tuple[Example, ...]


def encode_example(
    record: Record,
    prompt_format: str,
    vocabulary: "Vocabulary",
    max_length: int,
    *,
    has_end: bool = True,
) -> Example | None:
    """Return the record as ids, or None if the prompt leaves no place for an answer.

    An answer that is too long is cut, and then does not end with the end of text: the
    controller must not learn to stop in the middle of a sentence.

    Args:
        record: question and answer.
        prompt_format: one of `cmc.settings.PROMPT_FORMATS`.
        vocabulary: whose ids.
        max_length: tokens of prompt and answer together.
        has_end: whether the end of text is a part of the answer. What is to be forgotten has
            none: a controller that only keeps a model from stopping would seem to have done it.

    Raises:
        SettingError: the format is unknown; choose one of those listed.
    """
    prompt = format_prompt(prompt_format, record.instruction, record.input)
    prompt_ids = tuple(vocabulary.encode_prompt(prompt))
    response = (response_prefix(prompt_format) + record.output).encode()
    end = (vocabulary.eos_id,) if has_end and vocabulary.eos_ids else ()
    response_ids = (*vocabulary.encode_continuation(response), *end)
    room = max_length - len(prompt_ids)
    return Example(prompt_ids, response_ids[:room]) if room > 0 else None


def encode_records(
    records: Sequence[Record],
    prompt_format: str,
    vocabulary: "Vocabulary",
    max_length: int,
    *,
    has_end: bool = True,
) -> tuple[list[Example], int]:
    """Return the records that fit as examples, and how many prompts did not fit."""
    encoded = [
        encode_example(each, prompt_format, vocabulary, max_length, has_end=has_end)
        for each in records
    ]
    examples = [example for example in encoded if example is not None]
    return examples, len(encoded) - len(examples)


def token_batch(examples: Sequence[Example], pad_id: int) -> TokenBatch:
    """Return the examples as one right padded batch."""
    width = max(len(example) for example in examples)
    input_ids = torch.full((len(examples), width), pad_id, dtype=torch.int64)
    label_mask = torch.zeros(len(examples), width, dtype=torch.bool)
    for row, example in enumerate(examples):
        ids = example.prompt_ids + example.response_ids
        input_ids[row, : len(ids)] = torch.tensor(ids)
        label_mask[row, len(example.prompt_ids) : len(ids)] = True
    lengths = torch.tensor([len(example) for example in examples])
    attention_mask = torch.arange(width)[None] < lengths[:, None]
    return TokenBatch(input_ids, attention_mask, label_mask, tuple(examples))


def bucketed_batches(
    examples: Sequence[Example], batch_size: int, seed: int, epoch: int, pad_id: int
) -> list[TokenBatch]:
    """Return one epoch of batches, each of examples of similar length.

    Shuffled examples are cut into mega-batches, each is sorted by length and cut into batches,
    and the batches are shuffled: little padding, yet other neighbours in every epoch. The same
    seed and epoch give the same batches.

    Args:
        examples: all of them come exactly once.
        batch_size: examples in a batch; the last may be smaller.
        seed: of the run.
        epoch: counted from 0.
        pad_id: id that fills the rows.
    """
    order = random.Random(f"{seed}/{epoch}")
    shuffled = order.sample(range(len(examples)), len(examples))
    batches: list[list[int]] = []
    for start in range(0, len(shuffled), MEGA_BATCH * batch_size):
        mega = sorted(
            shuffled[start : start + MEGA_BATCH * batch_size], key=lambda row: len(examples[row])
        )
        batches += [mega[at : at + batch_size] for at in range(0, len(mega), batch_size)]
    order.shuffle(batches)
    return [token_batch([examples[row] for row in batch], pad_id) for batch in batches]
