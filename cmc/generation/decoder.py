"""One batch in progress: the target's cache and the controllers' texts."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from cmc.errors import ControlError, SettingError
from cmc.generation.details import Step
from cmc.generation.memory import memory_told
from cmc.generation.mix import Control, Mix, Steering, control_of, uses_prior
from cmc.generation.reader import Reader
from cmc.generation.spelling import Spelling
from cmc.models import LanguageModel, cache_keyword
from cmc.settings import Rails
from cmc.vocab import Vocabulary


@dataclass(frozen=True)
class Row:
    """One text to go on with: a formatted prompt and one strength per controller.

    Attributes:
        prompt: what the controllers read, and the target unless it has its own.
        strengths: one per controller.
        target_ids: what the target reads instead, such as its own chat template.
        begun: what the controllers read behind the prompt, before the target's first token.
    """

    prompt: str
    strengths: tuple[float, ...]
    target_ids: tuple[int, ...] | None = None
    begun: bytes = b""

    def ids(self, vocabulary: Vocabulary) -> list[int]:
        """Return what the target reads, never nothing."""
        ids = list(self.target_ids or vocabulary.encode_prompt(self.prompt))
        # A model needs something to go on from; the end of another text is the nearest to nothing.
        return ids or [vocabulary.eos_id]

    def response(self, prefix: str, answer: str) -> str:
        """Return an answer as it follows what the target reads.

        Args:
            prefix: what stands in front of an answer in the controllers' format.
            answer: without it.
        """
        return answer if self.target_ids else prefix + answer


class Decoder:
    """One batch in progress: the target's cache and the controllers' texts.

    Attributes:
        mix: the controllers' part of it.
    """

    def __init__(
        self, target: LanguageModel, rows: Sequence[Row], steering: Sequence[Steering],
        rails: Rails,
    ) -> None:  # fmt: skip
        """Prepare a batch; nothing is computed before `scores`.

        Raises:
            SettingError: a row has not one strength per controller.
        """
        self._target = target
        self._rows = rows
        for row in rows:
            if len(row.strengths) != len(steering):
                raise SettingError(
                    f"{len(row.strengths)} strengths for {len(steering)} controllers",
                    hint="Give every controller one strength.",
                )
        self.mix = Mix(
            [self._control(number, each) for number, each in enumerate(steering)],
            [[float(each) for each in row.strengths] for row in rows],
            rails,
        )
        ids = [row.ids(self._target.vocabulary) for row in rows]
        self._longest = max(map(len, ids))
        pad = self._target.vocabulary.pad_id
        self._input = torch.tensor([[pad] * (self._longest - len(each)) + each for each in ids])
        self._mask = torch.tensor(
            [[0] * (self._longest - len(each)) + [1] * len(each) for each in ids]
        )
        self._cache = DynamicCache(config=self._target.model.config)

    def _control(self, number: int, steering: Steering) -> Control:
        reader = reader_of(steering, self._rows)
        strengths = [float(row.strengths[number]) for row in self._rows]
        return control_of(steering, self._target.vocabulary, reader, strengths)

    def check_room(self, new_tokens: int) -> None:
        """Refuse what the target cannot read."""
        context = self._target.context
        if context is not None and self._longest + new_tokens > context:
            raise SettingError(
                f"{self._longest} tokens of prompt and {new_tokens} new ones exceed the "
                f"{context} tokens that {self._target.name} can read",
                hint="Shorten the prompt or ask for fewer new tokens.",
            )

    def is_windowed(self, row: int) -> bool:
        """Say whether a controller saw only the end of a row's text."""
        return self.mix.is_windowed(row)

    def scores(self, active: Sequence[int], forced: Sequence[int] | None = None) -> Tensor:
        """Return `(batch, vocab)` float32 controlled scores of the next token."""
        return self.step(active, forced).scores

    @torch.inference_mode()
    def step(self, active: Sequence[int], forced: Sequence[int] | None = None) -> Step:
        """Return the scores of the next token, before and after control.

        Args:
            active: rows that go on; the others are not controlled.
            forced: per row a target id that `cover` must score.
        """
        return self.mix.step(self._target_logits(), active, forced)

    def _target_logits(self) -> Tensor:
        device = self._target.device
        mask = self._mask.to(device)
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -self._input.shape[1] :]
        output = read(
            self._target, input_ids=self._input.to(device), attention_mask=mask,
            position_ids=positions, cache=self._cache, logits_to_keep=1,
        )  # fmt: skip
        return output[:, -1]

    def push(self, chosen: Sequence[int], active: Sequence[int]) -> None:
        """Go on by one token per row; rows that have ended go on with anything."""
        self._input = torch.tensor(chosen)[:, None]
        self._mask = torch.cat([self._mask, torch.ones(len(chosen), 1, dtype=torch.long)], 1)
        self.mix.push({row: chosen[row] for row in active})


def reader_of(steering: Steering, rows: Sequence[Row]) -> Reader:
    """Return what reads the texts of rows for one controller."""
    reader = Reader(steering[0], [row.prompt for row in rows], uses_prior(steering))
    if isinstance(steering[1], Spelling):  # maps know tokens, not what a token begins with
        for follower, row in zip(reader.followers, rows, strict=True):
            follower.push_bytes(row.begun)
    return reader


def read(target: LanguageModel, *, cache: DynamicCache, **inputs: Any) -> Tensor:
    """Return `(batch, time, vocab)` float32 logits of the target, which goes on from a cache.

    Raises:
        ControlError: there is too little memory, or the scores are no numbers.
    """
    with memory_told(target.name):
        named = {cache_keyword(target.model): cache}
        logits = target.model(**inputs, **named, use_cache=True).logits.float()
    if torch.isnan(logits.sum()):  # one spoils the sum, which takes less time than to look at each
        raise ControlError(
            f"{target.name} gave scores that are no numbers",
            hint="Its weights are damaged or need another precision; choose another target.",
        )
    return logits
