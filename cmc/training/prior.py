"""Pre-train a small language model on plain text, in a template's vocabulary: a prior."""

import array
import math
import os
import shutil
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import get_scheduler

from cmc.controller import random_network
from cmc.data.plain_texts import read_texts
from cmc.errors import DataError, RunError, TrainingError
from cmc.models import load_vocabulary
from cmc.settings import PriorSettings, as_plain, shape_called
from cmc.training.checkpoints import (
    load_checkpoint,
    load_weights,
    save_checkpoint,
    sweep,
    weights_of,
)
from cmc.training.folder import (
    CHECKPOINTS,
    RECORDS,
    SETTINGS,
    append_record,
    drop_lines_from,
    flush_tree,
    lock_held,
    read_json,
    write_json,
)
from cmc.training.journal import StopSignals
from cmc.vocab import Vocabulary

MODEL = "model"
HELD_OUT_MOST = 256  # windows
LOGITS_AT_ONCE = 64_000_000  # numbers; a large vocabulary is scored in parts
MAX_GRADIENT = 1.0  # norm, no unit


@dataclass(frozen=True)
class PriorRecord:
    """One step: the loss before it in nats per token, the held-out loss where it was measured."""

    step: int
    steps: int
    loss: float
    learning_rate: float
    tokens_per_second: float
    held_out: float | None = None


def pretrain_prior(settings: PriorSettings, folder: Path) -> Iterator[PriorRecord]:
    """Pre-train in `folder`, and go on there where it was stopped or killed.

    SIGTERM, Ctrl-C and closing the generator stop after the current step. Whatever the end,
    `model/` then holds the model so far, with the template's tokenizer: what `train --init` takes.

    Raises:
        CmcError: template or texts cannot be used, another process trains here, the settings are
            not those it began with, or the loss is not finite.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with lock_held(folder), StopSignals() as stop:
        known = read_json(folder / SETTINGS)
        plain = as_plain(settings) | {"data": list(settings.data)}
        if known and known != plain:
            raise RunError(
                f'the prior "{folder.name}" was begun with other settings',
                hint="Choose another name, or go on with --resume.",
            )
        write_json(folder / SETTINGS, plain)
        pretraining = _Pretraining.begin(settings, folder)
        try:
            while pretraining.step < settings.max_steps and not stop.is_asked():
                yield pretraining.take_step()
        except GeneratorExit:
            pretraining.save()
            raise
        pretraining.save()


@dataclass
class _Pretraining:
    """Model, optimizer and schedule, and how far they are."""

    settings: PriorSettings
    folder: Path
    vocabulary: Vocabulary
    network: Any
    optimizer: torch.optim.Optimizer
    scheduler: Any
    train: Tensor  # (windows, window) int32
    held_out: Tensor  # (windows, window) int32
    step: int = 0

    @classmethod
    def begin(cls, settings: PriorSettings, folder: Path) -> "_Pretraining":
        vocabulary = load_vocabulary(settings.template)
        network = random_network(vocabulary, shape_called(settings.size), settings.seed)
        network.requires_grad_(True).train()
        optimizer = torch.optim.AdamW(
            network.parameters(), lr=settings.learning_rate, betas=(0.9, 0.98),
            weight_decay=settings.weight_decay,
        )  # fmt: skip
        warmup = round(settings.warmup_fraction * settings.max_steps)
        scheduler = get_scheduler("cosine", optimizer, warmup, settings.max_steps)
        rows = token_windows(settings, vocabulary)
        held = min(HELD_OUT_MOST, round(settings.held_out_fraction * len(rows)))
        parts = (rows[: len(rows) - held], rows[len(rows) - held :])
        begun = cls(settings, folder, vocabulary, network, optimizer, scheduler, *parts)
        begun._resume()
        return begun

    def take_step(self) -> PriorRecord:
        """Learn from one batch; write the record, and a checkpoint where it is due."""
        began, settings = time.perf_counter(), self.settings
        # A batch depends on seed and step alone: a resumed run draws what it would have drawn.
        generator = torch.Generator().manual_seed(settings.seed * 10**8 + self.step)
        picked = torch.randint(len(self.train), (settings.batch_size,), generator=generator)
        rate = self.scheduler.get_last_lr()[0]
        loss = self._mean_loss(self.train[picked], learns=True)
        if not math.isfinite(loss):
            raise TrainingError(
                f"loss became {loss} at step {self.step + 1} (learning rate {rate:.2g})",
                hint=f"Try a learning rate of {settings.learning_rate / 3:.1g}.",
            )
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), MAX_GRADIENT)
        self.optimizer.step()
        self.scheduler.step()
        self.optimizer.zero_grad(set_to_none=True)
        self.step += 1
        is_last = self.step == settings.max_steps
        speed = picked.numel() * settings.window / (time.perf_counter() - began)
        held_out = None
        if len(self.held_out) and (is_last or self.step % settings.evaluate_every == 0):
            held_out = self._mean_loss(self.held_out, learns=False)
        record = PriorRecord(self.step, settings.max_steps, loss, rate, speed, held_out)
        append_record(self.folder / RECORDS, asdict(record))
        if self.step % settings.save_every == 0 and not is_last:
            self._save_checkpoint()
        return record

    def _mean_loss(self, rows: Tensor, *, learns: bool) -> float:
        """Return the mean loss in nats per token; a few rows are scored at a time."""
        at_once = max(1, LOGITS_AT_ONCE // (self.settings.window * self.vocabulary.size))
        total = 0.0
        for part in rows.split(at_once):
            ids = part.to(device=self.network.device, dtype=torch.int64)
            with torch.set_grad_enabled(learns):
                loss = self.network(input_ids=ids, labels=ids, use_cache=False).loss
                loss = loss * (len(part) / len(rows))
            if learns:
                loss.backward()
            total += float(loss.detach())
        return total

    def save(self) -> None:
        """Write the last checkpoint, and the model so that it is whole or as before."""
        if not self.step:
            return
        self._save_checkpoint()
        aside, old = (self.folder / f".tmp-{kind}-{os.getpid()}" for kind in ("new", "old"))
        self.network.save_pretrained(aside)
        self.vocabulary.tokenizer.save_pretrained(aside)
        flush_tree(aside)
        if (self.folder / MODEL).exists():
            (self.folder / MODEL).rename(old)
        aside.rename(self.folder / MODEL)
        shutil.rmtree(old, ignore_errors=True)

    def _save_checkpoint(self) -> None:
        schedule = self.scheduler.state_dict()
        state = {key: schedule[key] for key in schedule if key != "lr_lambdas"}
        save_checkpoint(
            self.folder / CHECKPOINTS, self.step, weights_of(self.network),
            self.optimizer.state_dict(), {"scheduler": state},
        )  # fmt: skip

    def _resume(self) -> None:
        sweep(self.folder)
        sweep(self.folder / CHECKPOINTS)
        checkpoint = load_checkpoint(self.folder / CHECKPOINTS)
        if checkpoint is not None:
            load_weights(self.network, checkpoint.weights)
            self.optimizer.load_state_dict(checkpoint.optimizer)
            formulas = {"lr_lambdas": [None] * len(self.optimizer.param_groups)}
            self.scheduler.load_state_dict(checkpoint.state["scheduler"] | formulas)
            self.step = checkpoint.step
        # A killed process may have written records past its last checkpoint.
        drop_lines_from(self.folder / RECORDS, self.step + 1)


def token_windows(settings: PriorSettings, vocabulary: Vocabulary) -> Tensor:
    """Return `(windows, window)` int32 ids: the texts, each ended by the end token, cut in rows.

    Raises:
        DataError: the texts fill not even two windows.
    """
    stream, window = array.array("i"), settings.window
    texts = (text for each in settings.data for text in read_texts(each, settings.column))
    for text in texts:
        stream.extend([*vocabulary.encode_prompt(text), *vocabulary.eos_ids[:1]])
        if len(stream) >= settings.most_tokens:
            break
    count = min(len(stream), settings.most_tokens) // window
    if count < 2:
        raise DataError(
            f"the texts have {len(stream):,} tokens, two windows of {window} need more",
            hint="Give more text, or a smaller window.",
        )
    return torch.tensor(stream[: count * window], dtype=torch.int32).view(count, window)
