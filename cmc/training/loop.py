"""The training loop: a generator of records, one per step."""

import itertools
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cmc.data import Example, TokenBatch, bucketed_batches
from cmc.errors import VocabMismatch
from cmc.settings import TrainSettings
from cmc.training.checkpoints import sweep
from cmc.training.losses import StepBatches
from cmc.training.material import load_material
from cmc.training.step import TrainingState

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
    seconds: float = 0.0
    message: str = ""


def train_controller(
    controller: "Controller",
    template: "LanguageModel",
    settings: TrainSettings,
    *,
    resume_from: Path | None = None,
    folder: Path | None = None,
) -> Iterator[TrainRecord]:
    """Train the controller's delta beside the frozen template; yield one record per step.

    The loss is the cross entropy of template plus delta at the answers (`sft`), or one that
    forgets (`cmc.training.losses`). The delta runs
    without dropout, so that a step is a function of the weights, the data and the seed alone.
    Closing the generator stops after the step yielded last; `controller.delta` holds the
    weights so far.

    Args:
        controller: its delta is trained in place, in fp32, on the template's device.
        template: never changed.
        settings: `settings.data` (and `settings.retain`) name the records.
        resume_from: a run's folder; training goes on from its newest intact checkpoint.
        folder: the run's folder, which gets `checkpoints/`. None writes nothing.

    Raises:
        VocabMismatch: controller and template have different vocabularies.
        DataError: the records cannot be used.
        TrainingError: the loss is not finite, or a checkpoint cannot be written or read.
    """
    _check_vocabularies(controller, template)
    material = load_material(settings, template, controller)
    state = TrainingState.begin(controller, template, settings, material)
    message = " ".join(material.notes)
    if resume_from is not None:
        message = " ".join([message, *state.resume(resume_from / "checkpoints")]).strip()
    checkpoints = None
    if folder is not None:
        checkpoints = folder / "checkpoints"
        checkpoints.mkdir(parents=True, exist_ok=True)
        sweep(checkpoints)
    batches = _batches(material.train, settings, state.step, material.pad_id)
    retained = _batches(material.retain, settings, state.step, material.pad_id)
    try:
        while state.step < settings.max_steps:
            batch = next(batches)
            refused = material.refused(batch)
            together = StepBatches(batch, next(retained, None), refused)
            record = _do_step(state, together, message)
            message = ""
            if checkpoints and _is_due(state.step, settings.save_every, settings.max_steps):
                state.save(checkpoints)
            yield record
    except GeneratorExit:
        # Only here, where the weights are those of a whole step; a crash keeps what was saved.
        if checkpoints:
            state.save(checkpoints)
        raise


def _do_step(state: TrainingState, batches: StepBatches, message: str) -> TrainRecord:
    """Do one step and measure it."""
    began = time.perf_counter()
    loss, rate = state.update(batches)
    took = time.perf_counter() - began
    parts = (batches.data, batches.retain, batches.refusals)
    tokens = sum(int(each.attention_mask.sum()) for each in parts if each is not None)
    settings = state.settings
    is_due = _is_due(state.step, settings.evaluate_every, settings.max_steps)
    held_out = state.held_out() if is_due else {}
    state.seconds += time.perf_counter() - began
    return TrainRecord(
        step=state.step,
        steps=settings.max_steps,
        loss=loss,
        learning_rate=rate,
        tokens_per_second=tokens / took,
        **held_out,
        seconds=state.seconds,
        message=message,
    )


def _is_due(step: int, every: int, last: int) -> bool:
    return step % every == 0 or step == last


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


def _check_vocabularies(controller: "Controller", template: "LanguageModel") -> None:
    own, its = controller.vocabulary, template.vocabulary
    if own.fingerprint != its.fingerprint:
        raise VocabMismatch(
            f"controller {controller.name} and template {template.name} have different "
            f"vocabularies ({own.size:,} and {its.size:,} tokens)",
            hint="Train beside a template with the controller's tokenizer, or start from a new "
            "random controller.",
        )
