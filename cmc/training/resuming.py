"""A training's state in checkpoints: written at a step, found again as it was."""

import math
from pathlib import Path

from cmc.errors import TrainingError
from cmc.settings import as_plain
from cmc.training.checkpoints import load_checkpoint, load_weights, save_checkpoint
from cmc.training.guard import Guard, Progress, kept
from cmc.training.step import TrainingState


def save_state(state: TrainingState, folder: Path) -> None:
    """Write a checkpoint of this step into `folder`, unless it has one.

    Raises:
        TrainingError: the weights are not finite, or they cannot be written.
    """
    if state.step in (0, state.saved_step) or not state.accelerator.is_main_process:
        return
    weights = state.weights()
    if not math.isfinite(sum(float(each.double().sum()) for each in weights.values())):
        state.give_up("the sum of the weights became NaN or infinite")
    schedule = state.scheduler.state_dict()
    plain = {
        "settings": as_plain(state.settings),
        "seconds": state.seconds,
        "drawn": state.drawn,
        "guard": kept(state.guard),
        "progress": kept(state.progress),
        "scheduler": {key: schedule[key] for key in schedule if key != "lr_lambdas"},
    }
    save_checkpoint(
        folder, state.step, weights, state.optimizer.state_dict(), plain, best=state.best
    )
    state.saved_step = state.step


def resume_state(state: TrainingState, folder: Path) -> list[str]:
    """Go back to the newest intact checkpoint; return what there is to tell about it.

    Raises:
        TrainingError: no checkpoint is intact, or it belongs to another run.
    """
    checkpoint = load_checkpoint(folder)
    if checkpoint is None:
        return []
    if checkpoint.state["settings"] != as_plain(state.settings):
        raise TrainingError(
            "the checkpoint was made with other settings", hint="Start a new run instead."
        )
    load_weights(state.scores.delta, checkpoint.weights)
    state.optimizer.load_state_dict(checkpoint.optimizer)
    # The schedule's formula is code and was not stored; only where it stands was.
    formulas = {"lr_lambdas": [None] * len(state.optimizer.param_groups)}
    state.scheduler.load_state_dict(checkpoint.state["scheduler"] | formulas)
    state.step = state.saved_step = checkpoint.step
    state.seconds, state.drawn = checkpoint.state["seconds"], checkpoint.state["drawn"]
    state.guard = Guard(**checkpoint.state["guard"])
    state.progress = Progress(**checkpoint.state["progress"])
    state.best = dict(checkpoint.best)
    damaged = [f"{sentence}; it was passed over." for sentence in checkpoint.skipped]
    return [*damaged, f"Resumed from step {state.step}."]
