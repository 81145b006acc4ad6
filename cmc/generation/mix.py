"""All controllers' control of one batch of scores, and the rails it keeps to."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cmc.combine import centre, combine
from cmc.controller import Controller
from cmc.errors import SettingError
from cmc.generation.cover import CoverControl
from cmc.generation.details import Step
from cmc.generation.mapped import MappedControl
from cmc.generation.rails import guarded, is_off, is_uncertain
from cmc.generation.reader import Reader, TextReader
from cmc.generation.spelling import Spelling
from cmc.models import LanguageModel
from cmc.settings import CoverSettings, Rails
from cmc.vocab import VocabMap, Vocabulary, inspected_map, resolve_transfer

Control = MappedControl | CoverControl
# A controller, what carries its shift, and how many candidates `cover` scores.
Steering = tuple[Controller, VocabMap | Spelling, CoverSettings]


def carrier(
    controller: Controller, target: LanguageModel, transfer: str, vocab_map: VocabMap | None = None
) -> VocabMap | Spelling:
    """Return what carries a shift between two vocabularies.

    Raises:
        VocabMismatch: `same` was asked for between different vocabularies, or the map was built
            for others.
        SettingError: a map was given and the transfer follows none.
    """
    mine, theirs = controller.vocabulary, target.vocabulary
    if vocab_map is not None:
        if transfer not in ("auto", vocab_map.transfer) or vocab_map.transfer == "cover":
            raise SettingError(
                f"the transfer {transfer} does not follow this map, made for {vocab_map.transfer}",
                hint="Choose the transfer pm-mined and a map made for it, or give no map.",
            )
        vocab_map.check_pair(mine.fingerprint, theirs.fingerprint)
        return vocab_map
    if resolve_transfer(mine, theirs, transfer) == "cover":
        return Spelling(mine, theirs)
    return inspected_map(mine, theirs, transfer)


def control_of(
    steering: Steering, target: Vocabulary, reader: Reader | TextReader, strengths: Sequence[float]
) -> Control:
    """Return one controller's control of the texts a reader reads, one strength per text."""
    _, carried_by, settings = steering
    if isinstance(carried_by, Spelling):
        return CoverControl(reader, carried_by, strengths, settings)
    return MappedControl(reader, target, strengths, carried_by)


def uses_prior(steering: Steering) -> bool:
    """Say whether a controller's prior is read."""
    return isinstance(steering[1], Spelling) and steering[2].use_prior


class Mix:
    """Controls of the same texts, summed.

    Args:
        controls: one per controller.
        strengths: per row one per controller.
        rails: limits of control; all off by default.
    """

    def __init__(
        self, controls: Sequence[Control], strengths: Sequence[Sequence[float]], rails: Rails
    ) -> None:
        self.controls = list(controls)
        self._strengths = strengths
        self._rails = rails

    def push(self, chosen: Mapping[int, int]) -> None:
        """Tell which token each row went on with."""
        for number, control in enumerate(self.controls):
            for row, token in chosen.items():
                if self._strengths[row][number] != 0:
                    control.push(row, token)

    def is_windowed(self, row: int) -> bool:
        """Say whether a controller saw only the end of a row's text."""
        return any(
            strength != 0 and control.reader.followers[row].is_windowed
            for strength, control in zip(self._strengths[row], self.controls, strict=True)
        )

    def step(
        self, logits: Tensor, active: Sequence[int], forced: Sequence[int] | None = None
    ) -> Step:
        """Return the scores before and after control; see `Decoder.step`."""
        acting = is_uncertain(logits, active, self._rails)
        # A controller is asked only where its strength is not 0: the base stays what it is.
        asked = [
            (number, control, rows)
            for number, control in enumerate(self.controls)
            if (rows := [row for row in acting if self._strengths[row][number] != 0])
        ]
        # All see the target's own scores and score each other's candidates, in whatever order.
        candidates: dict[int, list[int]] = {}
        for _, control, rows in asked:
            for row, proposed in control.propose(logits, rows, forced).items():
                candidates[row] = list(dict.fromkeys([*candidates.get(row, ()), *proposed]))
        controls: list[Tensor | None] = [None] * len(self.controls)
        for number, control, rows in asked:
            controls[number] = control.control(logits, rows, candidates)
        scores = combine(logits, self._recentred(logits, controls))
        if asked and not is_off(self._rails):
            steered = sorted({row for _, _, rows in asked for row in rows})
            scores = guarded(logits, scores, self._strengths, steered, self._rails)
        return Step(logits, controls, scores)

    def _recentred(self, logits: Tensor, controls: Sequence[Tensor | None]) -> list[Tensor]:
        """Centre the sum of several mapped controls: what none of them knows keeps its mass."""
        asked = [(self.controls[i], each) for i, each in enumerate(controls) if each is not None]
        mapped = [each for each in asked if isinstance(each[0], MappedControl)]
        if len(mapped) < 2:
            return [each for _, each in asked]
        known = torch.stack([control.known(logits) for control, _ in mapped]).any(0)
        unknown = (~known).nonzero()[:, 0]
        total = centre(logits, torch.stack([each for _, each in mapped]).sum(0), unknown)
        return [total, *(each for control, each in asked if isinstance(control, CoverControl))]
