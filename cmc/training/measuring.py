"""What is measured while training goes on: held-out losses, here and through the transfer."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from cmc.data import Record, response_prefix
from cmc.errors import DataError
from cmc.generation import ControlledModel
from cmc.models import LanguageModel, load_language_model
from cmc.training.step import TrainingState

if TYPE_CHECKING:
    from cmc.controller import Controller

WATCHED_MOST = 16  # records; scoring across vocabularies costs more than beside the template


class Measuring:
    """Measures when it is due, and tells the state what it found."""

    def __init__(self, state: TrainingState, controller: "Controller") -> None:
        """Load the target that is watched, if one is.

        Raises:
            DataError: no record is held out to stop by.
            ModelError: the target cannot be loaded.
        """
        settings = state.settings
        if (settings.patience or settings.watch) and not state.material.held_out_records:
            raise DataError(
                "no record is held out to stop by", hint="Give more records, or set patience to 0."
            )
        self._state, self._controller = state, controller
        device = state.templates[0].split.device
        self._target = (
            load_language_model(settings.watch, device=device) if settings.watch else None
        )

    def when_due(self) -> dict[str, float]:
        """Return the losses in nats per token, under the names of a record; empty when not due."""
        state = self._state
        settings = state.settings
        if state.step % settings.evaluate_every and state.step != settings.max_steps:
            return {}
        found = state.held_out()
        if self._target is not None:
            found["held_out_target"] = target_loss(
                self._target,
                self._controller,
                state.material.held_out_records[:WATCHED_MOST],
                settings.prompt_format,
                strength=-1.0 if settings.objective == "reverse" else 1.0,
            )
        watched = found.get("held_out_target", found.get("held_out_controlled"))
        if watched is not None:
            state.watch(watched)
        return found

    def told_at_the_end(self) -> str:
        """Return what there is to say of an early stop."""
        progress = self._state.progress
        whose = f" of {self._state.settings.watch}" if self._target is not None else ""
        return (
            f"Stopped early: the held-out loss{whose} has not fallen in {progress.patience:,} "
            f"measurements. The weights of step {progress.step:,} are kept "
            f"(loss {progress.least:.4f})."
        )


@torch.no_grad()
def target_loss(
    target: LanguageModel,
    controller: "Controller",
    records: Sequence[Record],
    prompt_format: str,
    strength: float = 1.0,
) -> float:
    """Return the mean loss of records' answers on a target under control, in nats per token.

    The tokens are the target's, the end of text is one of them; the shift is carried as it is in
    use, by identity in the same vocabulary and else by `cover`.
    """
    # Made anew: what an earlier one remembers belongs to earlier weights.
    model = ControlledModel(target, [controller])
    prefix = response_prefix(prompt_format)
    rows = [model.row(each.instruction, (strength,), each.input, prompt_format)
            for each in records]  # fmt: skip
    responses = [row.response(prefix, each.output) for row, each in zip(rows, records, strict=True)]
    scores = model.score(rows, responses)
    logprobs: list[Any] = [each for score in scores for each in score.logprobs]
    return -sum(logprobs) / len(logprobs)
