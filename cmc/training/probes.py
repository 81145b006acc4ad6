"""Probes: what template and controller say at fixed prompts as training goes on."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from cmc.data import Record
from cmc.errors import CmcError
from cmc.generation import ControlledModel, Row
from cmc.settings import ON_DATA_ALONE, Sampling, TrainSettings
from cmc.training.folder import PROBES, append_record, drop_lines_from
from cmc.training.material import read_parts

if TYPE_CHECKING:
    from cmc.controller import Controller
    from cmc.models import LanguageModel

TOKENS = 24  # of an answer; enough to see whether it is one
PROMPTS = 3


@dataclass
class Probes:
    """Asks the same few questions whenever the held-out loss is measured, greedily.

    Each line of `probes.jsonl` holds `step`, `instruction`, `part` (where the question comes
    from), `expected`, `base` and `controlled`.
    """

    controller: "Controller"
    template: "LanguageModel"
    settings: TrainSettings
    folder: Path
    _asked: list[tuple[str, Record]] = field(default_factory=list)
    _base: list[str] = field(default_factory=list)
    _is_begun: bool = False

    def after(self, step: int) -> None:
        """Ask where it is time, and write down what is said; training goes on in any case."""
        every = self.settings.evaluate_every
        if step > 1 and step % every and step != self.settings.max_steps:
            return
        if not self._is_begun:
            # A killed process may have asked past its last checkpoint.
            drop_lines_from(self.folder / PROBES, step)
            self._asked, self._is_begun = asked_records(self.settings), True
        try:
            # `reverse` is meant to be subtracted.
            strength = float(self.controller.settings["recommended_strength"])
            controlled, self._base = self._answers(strength), self._base or self._answers(0.0)
        # A prompt that fills the template's context, or no memory left: training goes on.
        except (CmcError, torch.OutOfMemoryError):
            return
        for (part, record), base, text in zip(self._asked, self._base, controlled, strict=True):
            append_record(self.folder / PROBES, {
                "step": step, "part": part, "instruction": record.instruction,
                "expected": record.output, "base": base, "controlled": text,
            })  # fmt: skip

    def _answers(self, strength: float) -> list[str]:
        # Made anew each time: what it keeps of the delta would be that of an earlier step.
        model = ControlledModel(self.template, [self.controller], transfer="same")
        prompts = [model.prompt(each.instruction, each.input) for _, each in self._asked]
        sampling = Sampling(max_new_tokens=TOKENS, temperature=0.0)
        rows = [Row(prompt, (strength,)) for prompt in prompts]
        return [each.text for each in model.generate(rows, sampling)]


def asked_records(settings: TrainSettings) -> list[tuple[str, Record]]:
    """Return the records that are asked, each with the part it comes from.

    For `sft` these are held out where anything is; for forgetting, some to forget and some to
    retain.
    """
    train, retained, held_out = read_parts(settings)
    if settings.objective == "sft":
        parts = [("held out", held_out or train)]
    elif settings.objective in ON_DATA_ALONE:
        parts = [("to forget", train)]
    else:
        parts = [("to forget", train), ("to retain", held_out or retained)]
    return [
        (part, record) for part, records in parts for record in records[: PROMPTS - len(parts) + 1]
    ]
