"""One batch in progress: the target's cache and the controllers' texts."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import DynamicCache

from cmc.combine import centre, combine
from cmc.controller import Controller
from cmc.errors import ControlError, SettingError
from cmc.generation.cover import CoverControl
from cmc.generation.details import Step
from cmc.generation.mapped import MappedControl
from cmc.generation.spelling import Spelling
from cmc.models import LanguageModel
from cmc.settings import CoverSettings
from cmc.vocab import VocabMap

Control = MappedControl | CoverControl
# A controller, what carries its shift, and how many candidates `cover` scores.
Steering = tuple[Controller, VocabMap | Spelling, CoverSettings]


@dataclass(frozen=True)
class Row:
    """One text to go on with: a formatted prompt and one strength per controller."""

    prompt: str
    strengths: tuple[float, ...]


class Decoder:
    """One batch in progress: the target's cache and the controllers' texts."""

    def __init__(
        self, target: LanguageModel, rows: Sequence[Row], steering: Sequence[Steering]
    ) -> None:
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
        self._controls = [
            self._control(each, [float(row.strengths[number]) for row in rows])
            for number, each in enumerate(steering)
        ]
        ids = [self._target.vocabulary.encode_prompt(row.prompt) for row in rows]
        # A model needs something to go on from; the end of another text is the nearest to nothing.
        ids = [each or [self._target.vocabulary.eos_id] for each in ids]
        self._longest = max(map(len, ids))
        pad = self._target.vocabulary.pad_id
        self._input = torch.tensor([[pad] * (self._longest - len(each)) + each for each in ids])
        self._mask = torch.tensor(
            [[0] * (self._longest - len(each)) + [1] * len(each) for each in ids]
        )
        self._cache = DynamicCache(config=self._target.model.config)

    def _control(self, steering: Steering, strengths: Sequence[float]) -> Control:
        controller, carried_by, settings = steering
        prompts = [row.prompt for row in self._rows]
        if isinstance(carried_by, Spelling):
            return CoverControl(controller, carried_by, prompts, strengths, settings)
        vocabulary = self._target.vocabulary
        return MappedControl(controller, vocabulary, prompts, strengths, carried_by)

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
        return any(
            strength != 0 and control.reader.followers[row].is_windowed
            for strength, control in zip(self._rows[row].strengths, self._controls, strict=True)
        )

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
        logits = self._target_logits()
        # A controller is asked only where its strength is not 0: the base stays what it is.
        asked = [
            (number, control, rows)
            for number, control in enumerate(self._controls)
            if (rows := [row for row in active if self._rows[row].strengths[number] != 0])
        ]
        # All see the target's own scores and score each other's candidates, in whatever order.
        candidates: dict[int, list[int]] = {}
        for _, control, rows in asked:
            for row, proposed in control.propose(logits, rows, forced).items():
                candidates[row] = list(dict.fromkeys([*candidates.get(row, ()), *proposed]))
        controls: list[Tensor | None] = [None] * len(self._controls)
        for number, control, rows in asked:
            controls[number] = control.control(logits, rows, candidates)
        return Step(logits, controls, combine(logits, self._recentred(logits, controls)))

    def _recentred(self, logits: Tensor, controls: Sequence[Tensor | None]) -> list[Tensor]:
        """Centre the sum of several mapped controls: what none of them knows keeps its mass."""
        asked = [(i, each) for i, each in enumerate(controls) if each is not None]
        mapped = [
            (self._controls[i], each)
            for i, each in asked
            if isinstance(self._controls[i], MappedControl)
        ]
        if len(mapped) < 2:
            return [each for _, each in asked]
        known = torch.stack([control.known(logits) for control, _ in mapped]).any(0)
        total = centre(logits, torch.stack([each for _, each in mapped]).sum(0), known)
        others = [each for i, each in asked if not isinstance(self._controls[i], MappedControl)]
        return [total, *others]

    def _target_logits(self) -> Tensor:
        device = self._target.device
        mask = self._mask.to(device)
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -self._input.shape[1] :]
        output = self._target.model(
            input_ids=self._input.to(device), attention_mask=mask, position_ids=positions,
            past_key_values=self._cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        logits = output.logits[:, -1].float()
        if torch.isnan(logits).any():
            raise ControlError(
                f"{self._target.name} gave scores that are no numbers",
                hint="Its weights are damaged or need another precision; choose another target.",
            )
        return logits

    def push(self, chosen: Sequence[int], active: Sequence[int]) -> None:
        """Go on by one token per row; rows that have ended go on with anything."""
        self._input = torch.tensor(chosen)[:, None]
        self._mask = torch.cat([self._mask, torch.ones(len(chosen), 1, dtype=torch.long)], 1)
        for number, control in enumerate(self._controls):
            for row in active:
                if self._rows[row].strengths[number] != 0:
                    control.push(row, chosen[row])
