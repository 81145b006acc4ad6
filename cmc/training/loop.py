"""The training loop: a generator of records, one per step."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmc.data import Example, TokenBatch, bucketed_batches
from cmc.settings import TrainSettings
from cmc.training.checkpoints import sweep
from cmc.training.folder import CHECKPOINTS
from cmc.training.frozen import check_vocabularies, frozen_beside, in_turn
from cmc.training.losses import StepBatches
from cmc.training.material import load_material
from cmc.training.measuring import Measuring
from cmc.training.resuming import resume_state, save_state
from cmc.training.step import TrainingState
from cmc.training.template import FrozenTemplate

if TYPE_CHECKING:
    from cmc.controller import Controller
    from cmc.models import LanguageModel


@dataclass(frozen=True)
class TrainRecord:
    """One step: losses in nats per token, times in seconds.

    `loss` is that of the step's batch before the update (for forgetting, its objective);
    the held-out losses are set when they were measured; `message` tells what a person should
    know, once.
    """

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    held_out_template: float | None = None
    held_out_controlled: float | None = None
    held_out_target: float | None = None  # of the target that is watched, under control
    seconds: float = 0.0
    message: str = ""


def train_controller(
    controller: "Controller",
    template: "LanguageModel",
    settings: TrainSettings,
    *,
    resume_from: Path | None = None,
    folder: Path | None = None,
    frozen: Sequence[FrozenTemplate] = (),
) -> Iterator[TrainRecord]:
    """Train the controller's delta beside the frozen template; yield one record per step.

    The loss is the cross entropy of template plus delta at the answers (`sft`), or one that
    forgets (`cmc.training.losses`). The delta runs
    without dropout, so that a step is a function of the weights, the data and the seed alone.
    Closing the generator stops after the step yielded last; `controller.delta` holds the
    weights so far. With `settings.patience` it holds those of the least held-out loss in the end.

    Args:
        controller: its delta is trained in place, in fp32, on the template's device.
        template: never changed.
        settings: `settings.data` (and `settings.retain`) name the records.
        resume_from: a run's folder; training goes on from its newest intact checkpoint.
        folder: the run's folder, which gets `checkpoints/`. None writes nothing.
        frozen: the template and the one it takes turns with, where other controllers train
            beside them too or their features are kept on disk; by default both are made anew.

    Raises:
        VocabMismatch: controller and template have different vocabularies.
        DataError: the records cannot be used.
        TrainingError: the loss is not finite, or a checkpoint cannot be written or read.
    """
    check_vocabularies(controller, template)
    material = load_material(settings, template, controller)
    if settings.objective == "reverse":
        frozen = [FrozenTemplate(frozen_beside(controller, template))]
    frozen = frozen or [FrozenTemplate(each) for each in in_turn(template, settings)]
    state = TrainingState.begin(controller, frozen, settings, material)
    notes = [*material.notes, *(note for each in frozen for note in each.expect(material.all()))]
    if resume_from is not None:
        notes += resume_state(state, resume_from / CHECKPOINTS)
    checkpoints = None
    if folder is not None:
        checkpoints = folder / CHECKPOINTS
        checkpoints.mkdir(parents=True, exist_ok=True)
        sweep(checkpoints)
    measure = Measuring(state, controller)
    try:
        yield from _steps(state, measure, notes, checkpoints)
    except GeneratorExit:
        # Only here, where the weights are those of a whole step; a crash keeps what was saved.
        if checkpoints:
            save_state(state, checkpoints)
        if state.step >= settings.max_steps:
            state.take_best()
        raise
    state.take_best()


def _steps(
    state: TrainingState, measure: Measuring, notes: list[str], checkpoints: Path | None
) -> Iterator[TrainRecord]:
    """Do steps until the last one, or until the loss that is watched falls no more."""
    settings, material = state.settings, state.material
    batches = _batches(material.train, settings, state.drawn, material.pad_id)
    retained = _batches(material.retain, settings, state.drawn, material.pad_id)
    while state.step < settings.max_steps and not state.progress.is_over:
        batch = next(batches)
        together = StepBatches(batch, next(retained, None), material.refused(batch))
        record = _do_step(state, together, measure, notes)
        if record is None:
            continue
        yield record
        # Only now, as the record is written: one without a checkpoint comes again, a checkpoint
        # without its record would leave a hole in the curve.
        is_last = record.step == settings.max_steps or state.progress.is_over
        if checkpoints and (is_last or record.step % settings.save_every == 0):
            save_state(state, checkpoints)


def _do_step(
    state: TrainingState, batches: StepBatches, measure: Measuring, notes: list[str]
) -> TrainRecord | None:
    """Do one step and measure it; None where it was skipped, which the next record tells."""
    began = time.perf_counter()
    outcome = state.update(batches)
    took = time.perf_counter() - began
    if outcome.skipped:
        state.seconds += took
        notes.append(f"A batch was skipped at step {state.step + 1}: {outcome.skipped}.")
        return None
    tokens = sum(int(each.attention_mask.sum()) for each in batches.all())
    measured = measure.when_due()
    if state.progress.is_over:
        notes.append(measure.told_at_the_end())
    state.seconds += time.perf_counter() - began
    record = TrainRecord(
        step=state.step,
        steps=state.settings.max_steps,
        loss=outcome.loss,
        learning_rate=outcome.learning_rate,
        tokens_per_second=tokens / took,
        **measured,
        seconds=state.seconds,
        message=" ".join(notes),
    )
    notes.clear()
    return record


def _batches(
    examples: Sequence[Example], settings: TrainSettings, start: int, pad_id: int
) -> Iterator[TokenBatch]:
    """Yield batches epoch after epoch, beginning with batch number `start` of the whole run."""
    if not examples:
        return
    first, done = divmod(start, -(-len(examples) // settings.batch_size))
    for epoch in itertools.count(first):
        batches = bucketed_batches(examples, settings.batch_size, settings.seed, epoch, pad_id)
        yield from batches[done:]
        done = 0
