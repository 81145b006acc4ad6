"""One optimizer step: objective, gradient, update, and the held-out loss."""

import contextlib
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from torch import Tensor
from transformers import get_scheduler

from cmc.data import Example, TokenBatch, token_batch
from cmc.errors import TrainingError
from cmc.settings import TrainSettings
from cmc.training.checkpoints import load_weights, weights_of
from cmc.training.guard import Guard, Progress
from cmc.training.losses import LOSSES, StepBatches, restraint
from cmc.training.material import Material
from cmc.training.rows import Frozen, RowScores, SteeredScores
from cmc.training.template import FrozenTemplate
from cmc.training.together import accelerator

if TYPE_CHECKING:
    from cmc.controller import Controller

MAX_GRADIENT = 1.0  # norm, no unit
DTYPES = {"fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass(frozen=True)
class Outcome:
    """A step: its loss before the update, its learning rate; why it was not taken, if so."""

    loss: float
    learning_rate: float
    skipped: str = ""


@dataclass
class TrainingState:
    """Delta, optimizer and schedule, and how far they are."""

    settings: TrainSettings
    material: Material
    templates: Sequence[FrozenTemplate]  # they take turns, batch by batch
    scores: SteeredScores
    prepared: Any  # the same module, made ready for several processes
    accelerator: Accelerator
    optimizer: Any
    scheduler: Any
    guard: Guard
    progress: Progress
    best: dict[str, Tensor] = field(default_factory=dict)  # weights of the least held-out loss
    step: int = 0
    drawn: int = 0  # batches, those of skipped steps included
    saved_step: int = 0
    seconds: float = 0.0
    _part: int = 0
    _parts: int = 1

    @classmethod
    def begin(
        cls,
        controller: "Controller",
        templates: Sequence[FrozenTemplate],
        settings: TrainSettings,
        material: Material,
    ) -> "TrainingState":
        """Put the delta beside the templates and make its optimizer and schedule."""
        split = templates[0].split
        controller.delta.to(device=split.device, dtype=torch.float32)
        controller.delta.eval().requires_grad_(True)
        dtype = DTYPES[settings.precision]
        scores = SteeredScores(controller.delta, split.size, dtype)
        # Fused: one pass over the weights instead of ten; in fp32, as the weights are.
        groups = _groups(scores, settings)
        optimizer = torch.optim.AdamW(groups, lr=settings.learning_rate, fused=True)
        # The schedule is not prepared: it steps once per step, however many processes there are.
        scheduler = get_scheduler(
            "cosine",
            optimizer,
            num_warmup_steps=round(settings.warmup_fraction * settings.max_steps),
            num_training_steps=settings.max_steps,
        )
        ready = accelerator()
        prepared, optimizer = ready.prepare(scores, optimizer)
        return cls(
            settings, material, templates, scores, prepared, ready, optimizer, scheduler,
            Guard(settings.spike), Progress(settings.patience),
        )  # fmt: skip

    def update(self, batches: StepBatches) -> Outcome:
        """Take one step, or leave the weights as they are where it would do harm.

        Raises:
            TrainingError: loss or gradient were not finite too often in a row.
        """
        rate = self.scheduler.get_last_lr()[0]
        self.drawn += 1
        self.optimizer.zero_grad(set_to_none=True)
        value = float(self.accelerator.reduce(self._gradient(batches), "mean"))
        norm = float(self.accelerator.clip_grad_norm_(self.scores.parameters(), MAX_GRADIENT))
        harm = self.guard.harm(value, norm)
        if harm:
            if self.guard.in_a_row > self.settings.max_skips:
                self.give_up(harm)
            return Outcome(value, rate, harm)
        self.optimizer.step()
        self.scheduler.step()
        self.step += 1
        return Outcome(value, rate)

    def total(self, kind: str, batch: TokenBatch) -> Tensor:
        """Return a sum over the labels of this share of a batch, with gradient to the delta."""
        share = self._share(batch)
        return self.prepared(share, self._frozen(batch, share), kind)

    def score(self, batch: TokenBatch) -> tuple[RowScores, TokenBatch]:
        """Score the labels of this share of a batch, with gradient to the delta."""
        share = self._share(batch)
        return self.prepared(share, self._frozen(batch, share)), share

    def share_of(self, batch: TokenBatch) -> tuple[Example, ...]:
        """Return the examples of a batch that this process has to do in this part of the step."""
        return batch.examples[self._start :: self._stride]

    def weight(self, batch: TokenBatch, whole: int) -> float:
        """Return what a sum over this share is worth in the mean over `whole` items.

        The processes' gradients are averaged, hence the number of processes; those of the parts
        of a step are added up.
        """
        return self.accelerator.num_processes / whole if self.share_of(batch) else 0.0

    @torch.no_grad()
    def held_out(self) -> dict[str, float]:
        """Return the mean loss on the held-out records, with and without the controller."""
        controlled = template = 0.0
        rows = 0
        for batch in self.material.held_out:
            known = Frozen(self.templates[0].rows(batch), self.templates[0].split.head)
            scores = self.scores(batch, known)
            controlled -= float(scores.controlled.double().sum())
            template -= float(scores.template.double().sum())
            rows += len(scores.template)
        if not rows:
            return {}
        return {
            "held_out_template": template / rows,
            "held_out_controlled": controlled / rows,
        }

    def watch(self, loss: float) -> None:
        """Take note of the held-out loss, in nats per token; keep the weights of the least."""
        if self.settings.patience and self.progress.is_new_least(loss, self.step):
            self.best = {name: each.clone() for name, each in self.weights().items()}

    def weights(self) -> dict[str, Tensor]:
        """Return the delta's weights on the CPU."""
        return weights_of(self.scores.delta)

    def take_best(self) -> None:
        """Give the delta the weights of the least held-out loss, where they were kept."""
        if self.best:
            load_weights(self.scores.delta, self.best)

    def give_up(self, why: str) -> None:
        """Say what became of the training, and what to do.

        Raises:
            TrainingError: always; the weights are those of the last step that was taken.
        """
        rate = self.scheduler.get_last_lr()[0]
        kept = f"Last good checkpoint: step {self.saved_step}. " if self.saved_step else ""
        raise TrainingError(
            f"{why} at step {self.step + 1} (learning rate {rate:.2g})",
            hint=f"{kept}Try a learning rate of {self.settings.learning_rate / 3:.1g}.",
        )

    @property
    def _start(self) -> int:
        return self.accelerator.process_index + self.accelerator.num_processes * self._part

    @property
    def _stride(self) -> int:
        return self.accelerator.num_processes * self._parts

    def _gradient(self, batches: StepBatches) -> Tensor:
        """Compute the gradient of a step part by part; return this process's share of its loss."""
        most = max(len(each.examples) for each in batches.all())
        # No part without an example: it would be computed in vain.
        self._parts = min(self.settings.accumulation, -(-most // self.accelerator.num_processes))
        losses = []
        for part in range(self._parts):
            self._part, is_last = part, part == self._parts - 1
            alone = contextlib.nullcontext() if is_last else self.accelerator.no_sync(self.prepared)
            with alone:
                loss = LOSSES[self.settings.objective](self, batches)
                if self.settings.restraint:
                    loss = loss + self.settings.restraint * restraint(self, batches)
                self.accelerator.backward(loss)
            losses.append(loss.detach())
        return torch.stack(losses).sum()

    def _share(self, batch: TokenBatch) -> TokenBatch:
        if self._stride == 1:
            return batch
        # Where a batch is smaller than the number of shares, some are scored in vain.
        return token_batch(self.share_of(batch) or batch.examples[:1], self.material.pad_id)

    def _frozen(self, batch: TokenBatch, share: TokenBatch) -> Frozen:
        """Return what is known of a share of a batch."""
        template = self.templates[(self.drawn - 1) % len(self.templates)]
        rows = template.rows(share)
        low, high = self.settings.strength_low, self.settings.strength_high
        if low == high == 1 and not self.settings.noise:
            return Frozen(rows, template.split.head)
        # Drawn for the whole batch, so that they do not depend on how it is shared out.
        draws = [
            random.Random(f"{self.settings.seed}/{self.drawn}/{place}")
            for place in range(len(batch.examples))
        ][self._start :: self._stride] or [random.Random(0)]
        strengths = None
        if not low == high == 1:
            strengths = torch.tensor([draw.uniform(low, high) for draw in draws])
        if self.settings.noise:
            rows = self._with_noise(rows, share, draws)
        return Frozen(rows, template.split.head, strengths)

    def _with_noise(
        self, rows: Tensor, share: TokenBatch, draws: Sequence[random.Random]
    ) -> Tensor:
        """Return features with Gaussian noise, a part of each row's own spread."""
        lengths = share.label_mask[:, 1:].sum(1).tolist()
        noise = [
            torch.randn(
                length, rows.shape[1], generator=torch.Generator().manual_seed(draw.getrandbits(62))
            )
            for length, draw in zip(lengths, draws, strict=True)
        ]
        spread = self.settings.noise * rows.float().std(-1, keepdim=True)
        return (rows + spread * torch.cat(noise).to(rows.device)).to(rows.dtype)


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
