"""One optimizer step: objective, gradient, update, and the held-out loss."""

import copy
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from transformers import get_scheduler

from cmc.data import Example, TokenBatch, token_batch
from cmc.errors import TrainingError
from cmc.settings import TrainSettings, as_plain
from cmc.training.checkpoints import load_checkpoint, load_weights, save_checkpoint, weights_of
from cmc.training.losses import LOSSES, StepBatches
from cmc.training.material import Material
from cmc.training.rows import RowScores, SteeredScores
from cmc.training.template import FrozenTemplate

if TYPE_CHECKING:
    from cmc.controller import Controller
    from cmc.models import LanguageModel

MAX_GRADIENT = 1.0  # norm, no unit


@dataclass
class TrainingState:
    """Delta, optimizer and schedule, and how far they are."""

    settings: TrainSettings
    material: Material
    template: FrozenTemplate
    scores: SteeredScores
    prepared: Any  # the same module, made ready for several processes
    accelerator: Accelerator
    optimizer: Any
    scheduler: Any
    step: int = 0
    saved_step: int = 0
    seconds: float = 0.0

    @classmethod
    def begin(
        cls,
        controller: "Controller",
        template: "LanguageModel",
        settings: TrainSettings,
        material: Material,
    ) -> "TrainingState":
        """Put the delta beside the template and make its optimizer and schedule."""
        frozen = FrozenTemplate(_frozen_beside(controller, template, settings.objective))
        controller.delta.to(device=frozen.split.device, dtype=torch.float32)
        controller.delta.eval().requires_grad_(True)
        scores = SteeredScores(controller.delta, template.vocabulary.size, frozen.split.head)
        optimizer = torch.optim.AdamW(_groups(scores, settings), lr=settings.learning_rate)
        # The schedule is not prepared: it steps once per step, however many processes there are.
        scheduler = get_scheduler(
            "cosine",
            optimizer,
            num_warmup_steps=round(settings.warmup_fraction * settings.max_steps),
            num_training_steps=settings.max_steps,
        )
        accelerator = Accelerator(device_placement=False)
        prepared, optimizer = accelerator.prepare(scores, optimizer)
        return cls(settings, material, frozen, scores, prepared, accelerator, optimizer, scheduler)

    def update(self, batches: StepBatches) -> tuple[float, float]:
        """Take one step; return the loss before it and the learning rate, no unit.

        Raises:
            TrainingError: loss or gradient are not finite; the weights are as before.
        """
        rate = self.scheduler.get_last_lr()[0]
        loss = LOSSES[self.settings.objective](self, batches)
        value = float(self.accelerator.reduce(loss.detach(), "mean"))
        self._require_finite("loss", value, rate)
        self.optimizer.zero_grad(set_to_none=True)
        self.accelerator.backward(loss)
        norm = self.accelerator.clip_grad_norm_(self.scores.parameters(), MAX_GRADIENT)
        self._require_finite("the gradient", float(norm), rate)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        return value, rate

    def score(self, batch: TokenBatch, *, with_kl: bool = False) -> tuple[RowScores, TokenBatch]:
        """Score this process's share of a batch, with gradient to the delta."""
        share = batch
        if self.accelerator.num_processes > 1:
            # Where a batch is smaller than the number of processes, some score it in vain.
            share = token_batch(self.share_of(batch) or batch.examples[:1], self.material.pad_id)
        return self.prepared(share, self.template.rows(share), with_kl), share

    def share_of(self, batch: TokenBatch) -> tuple[Example, ...]:
        """Return the examples of a batch that this process has to do."""
        return batch.examples[self.accelerator.process_index :: self.accelerator.num_processes]

    def weight(self, batch: TokenBatch, whole: int) -> float:
        """Return what a sum over this process's share is worth in the mean over `whole` items.

        The processes' gradients are averaged, hence the number of processes.
        """
        return self.accelerator.num_processes / whole if self.share_of(batch) else 0.0

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        """Return the mean loss on the held-out records, with and without the controller."""
        controlled = template = 0.0
        rows = 0
        for batch in self.material.held_out:
            scores = self.scores(batch, self.template.rows(batch))
            controlled -= float(scores.controlled.double().sum())
            template -= float(scores.template.double().sum())
            rows += len(scores.template)
        if not rows:
            return {}
        return {
            "held_out_template": template / rows,
            "held_out_controlled": controlled / rows,
        }

    def save(self, folder: Path) -> None:
        """Write a checkpoint of this step into `folder`, unless it has one.

        Raises:
            TrainingError: the weights are not finite, or they cannot be written.
        """
        if self.step in (0, self.saved_step) or not self.accelerator.is_main_process:
            return
        weights = weights_of(self.scores.delta)
        total = sum(float(each.double().sum()) for each in weights.values())
        self._require_finite("the sum of the weights", total, self.scheduler.get_last_lr()[0])
        schedule = self.scheduler.state_dict()
        state = {
            "settings": as_plain(self.settings),
            "seconds": self.seconds,
            "scheduler": {key: schedule[key] for key in schedule if key != "lr_lambdas"},
        }
        save_checkpoint(folder, self.step, weights, self.optimizer.state_dict(), state)
        self.saved_step = self.step

    def resume(self, folder: Path) -> list[str]:
        """Go back to the newest intact checkpoint; return what there is to tell about it.

        Raises:
            TrainingError: no checkpoint is intact, or it belongs to another run.
        """
        checkpoint = load_checkpoint(folder)
        if checkpoint is None:
            return []
        if checkpoint.state["settings"] != as_plain(self.settings):
            raise TrainingError(
                "the checkpoint was made with other settings", hint="Start a new run instead."
            )
        load_weights(self.scores.delta, checkpoint.weights)
        self.optimizer.load_state_dict(checkpoint.optimizer)
        # The schedule's formula is code and was not stored; only where it stands was.
        formulas = {"lr_lambdas": [None] * len(self.optimizer.param_groups)}
        self.scheduler.load_state_dict(checkpoint.state["scheduler"] | formulas)
        self.step = self.saved_step = checkpoint.step
        self.seconds = checkpoint.state["seconds"]
        damaged = [f"{sentence}; it was passed over." for sentence in checkpoint.skipped]
        return [*damaged, f"Resumed from step {self.step}."]

    def _require_finite(self, what: str, value: float, rate: float) -> None:
        if math.isfinite(value):
            return
        kind = "NaN" if math.isnan(value) else "infinite"
        kept = f"Last good checkpoint: step {self.saved_step}. " if self.saved_step else ""
        raise TrainingError(
            f"{what} became {kind} at step {self.step + 1} (learning rate {rate:.2g})",
            hint=f"{kept}Try a learning rate of {self.settings.learning_rate / 3:.1g}.",
        )


def _frozen_beside(
    controller: "Controller", template: "LanguageModel", objective: str
) -> "LanguageModel":
    """Return the frozen model whose scores the delta's are added to in training.

    `reverse` learns what is to be forgotten beside the prior: a template that already knows it
    would give no gradient.

    Raises:
        TrainingError: there is no prior to learn beside.
    """
    if objective != "reverse":
        return template
    if controller.prior is None:
        raise TrainingError(
            "reverse learns beside a prior, and a random controller has none",
            hint="Start from lab:prior or another small language model (init).",
        )
    # A copy: whoever trains the delta may have given the same network as delta and prior.
    prior = copy.deepcopy(controller.prior).to(device=template.device, dtype=torch.float32)
    return replace(template, name="prior", model=prior)


def _groups(model: torch.nn.Module, settings: TrainSettings) -> list[dict[str, Any]]:
    """Return the optimizer's groups: matrices decay, gains and biases do not."""
    weights = list(model.parameters())
    return [
        {
            "params": [each for each in weights if each.ndim > 1],
            "weight_decay": settings.weight_decay,
        },
        {"params": [each for each in weights if each.ndim <= 1], "weight_decay": 0.0},
    ]
