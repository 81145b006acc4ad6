"""Training beside a frozen template: against a plain step, the limit of its FLOPs, and itself."""

import contextlib
import os
import random
import re
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from functools import cache
from multiprocessing import get_context
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import psutil
import torch
from torch import Tensor
from torch.nn import functional
from transformers import LlamaForCausalLM
from transformers.utils.logging import disable_progress_bar

from cmc.data import (
    Example,
    bucketed_batches,
    encode_example,
    read_records,
    token_batch,
)
from cmc.models import LanguageModel, load_language_model
from cmc.settings import TrainSettings, varied_settings
from cmc.training import run_together, run_training
from cmc.training.losses import StepBatches
from cmc.training.material import Material
from cmc.training.step import MAX_GRADIENT, TrainingState
from cmc.training.template import FrozenTemplate
from cmc.training.two_heads import LOSS, Base, two_head_sum
from tests.bench.row import Measurement
from tests.bench.stand_ins import network, shared, vocabulary

ROUNDS = 2  # of each measurement, taken in turn; the least counts
BATCH = 4
TOFU_WIDTH = 500  # tokens the reference pads every row to
TEMPLATE, DELTA = (768, 12), (288, 6)  # width and layers: 110M and 15M parameters
LOSS_ROWS, VOCAB, WIDTHS = 8192, 32_000, (768, 288)
VARIANTS = [
    "hidden_size=32", "hidden_size=64,layers=2", "learning_rate=1e-3",
    "learning_rate=1e-2,hidden_size=64", "strength_low=0.5,strength_high=1.5",
]  # fmt: skip


def measure() -> Iterator[Measurement]:
    """Yield ratios of processor time, one thread, and of memory."""
    torch.set_num_threads(1)
    disable_progress_bar()
    yield from _steps("Alpaca-like", _alpaca(), None, target=1.75)
    yield from _steps("TOFU-like", _tofu(), TOFU_WIDTH, target=6.0)
    yield _memory()
    yield from _together()


# --- one step ---------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Epochs:
    """Seconds of an epoch: of the plain step, of ours that runs the template, of ours after it."""

    plain: float
    first: float
    later: float


def _steps(
    name: str, examples: list[Example], width: int | None, *, target: float
) -> Iterator[Measurement]:
    difference = _largest_difference(examples, width)
    full = _padding(examples, width)
    rounds = [_epochs(examples, width) for _ in range(ROUNDS)]
    least = _Epochs(
        *(min(getattr(each, part) for each in rounds) for part in _Epochs.__match_args__)
    )
    plain, first, later = _flops(examples, width)
    told = f"seconds an epoch of {len(examples)} records: plain {least.plain:.1f}, ours "
    told += f"{least.first:.1f}, from the second on {least.later:.1f}; the plain step reads "
    told += f"{full:.2f} tokens for each of the records'"
    yield Measurement(
        name=f"{name}: largest difference of the losses of ours and the plain step",
        value=difference, unit="nats", target=1e-5,
    )  # fmt: skip
    yield Measurement(
        name=f"{name}: epoch 1, throughput of ours / plain step", value=least.plain / least.first,
        unit="x", target=target, limit=plain / first, is_lower_better=False, note=told,
    )  # fmt: skip
    yield Measurement(
        name=f"{name}: later epochs, throughput of ours / plain step",
        value=least.plain / least.later, unit="x", limit=plain / later, is_lower_better=False,
    )  # fmt: skip
    yield Measurement(
        name=f"{name}: later epochs, share of the limit that the FLOPs set",
        value=least.plain / least.later / (plain / later), unit="", target=0.85, limit=1.0,
        is_lower_better=False,
    )  # fmt: skip


def _epochs(examples: list[Example], width: int | None) -> _Epochs:
    """Train an epoch each way, all from the same weights."""
    order = random.Random(0).sample(examples, len(examples))
    drawn = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    plain = _PlainStep(_template().model, _delta(), len(drawn))
    frozen = FrozenTemplate(_template())
    ours = _ours(frozen, examples)
    batches = bucketed_batches(examples, BATCH, 0, 0, 0)
    return _Epochs(
        _seconds(lambda: [plain.update(batch, width) for batch in drawn]),
        _seconds(lambda: [ours.update(StepBatches(batch)) for batch in batches]),
        _seconds(lambda: [ours.update(StepBatches(batch)) for batch in batches]),
    )


def _largest_difference(examples: list[Example], width: int | None) -> float:
    """Train on the same batches both ways; the last one is the first, now from the cache."""
    batches = bucketed_batches(examples, BATCH, 0, 0, 0)
    batches = sorted(batches, key=lambda batch: batch.input_ids.numel())[:2]
    batches.append(batches[0])
    plain = _PlainStep(_template().model, _delta(), len(batches))
    ours = _ours(FrozenTemplate(_template()), examples, steps=len(batches))
    return max(
        abs(plain.update(batch.examples, width) - ours.update(StepBatches(batch)).loss)
        for batch in batches
    )


class _PlainStep:
    """What the published code does, as the paper describes it: every position, every logit.

    Written anew from the description; the template's log-softmax, the padding and the logits at
    places without a label are there because they are there.
    """

    def __init__(self, template: LlamaForCausalLM, delta: LlamaForCausalLM, steps: int) -> None:
        self.template, self.delta = template, delta.requires_grad_(True)
        settings = _settings(steps)
        matrices = [each for each in delta.parameters() if each.ndim > 1]
        gains = [each for each in delta.parameters() if each.ndim <= 1]
        self.optimizer = torch.optim.AdamW(
            [
                {"params": matrices, "weight_decay": settings.weight_decay},
                {"params": gains, "weight_decay": 0.0},
            ],
            lr=settings.learning_rate,
            fused=True,
        )
        self.schedule = torch.optim.lr_scheduler.CosineAnnealingLR(self.optimizer, steps)

    def update(self, examples: Sequence[Example], width: int | None) -> float:
        ids, mask, labels = _padded(examples, width)
        with torch.no_grad():
            template = self.template(input_ids=ids, attention_mask=mask).logits.log_softmax(-1)
        delta = self.delta(input_ids=ids, attention_mask=mask).logits
        scores = (template + delta)[:, :-1]
        loss = functional.cross_entropy(
            scores.reshape(-1, scores.shape[-1]), labels[:, 1:].flatten()
        )
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.delta.parameters(), MAX_GRADIENT)
        self.optimizer.step()
        self.schedule.step()
        return loss.item()


def _padded(examples: Sequence[Example], width: int | None) -> tuple[Tensor, Tensor, Tensor]:
    """Return ids, mask and labels (-100 where there is none), `(batch, time)` each."""
    batch = token_batch(examples, 0)
    more = (width or 0) - batch.input_ids.shape[1]
    parts = (batch.input_ids, batch.attention_mask.long(), batch.label_mask)
    ids, mask, is_label = (functional.pad(each, (0, max(0, more))) for each in parts)
    return ids, mask, ids.masked_fill(~is_label, -100)


def _ours(frozen: FrozenTemplate, examples: list[Example], steps: int = 0) -> TrainingState:
    material = Material(examples, [], [], 0, (), {})
    controller: Any = SimpleNamespace(delta=_delta())
    steps = steps or 2 * -(-len(examples) // BATCH)
    return TrainingState.begin(controller, [frozen], _settings(steps), material)


def _settings(steps: int) -> TrainSettings:
    return TrainSettings(
        max_steps=steps, batch_size=BATCH, warmup_fraction=0, learning_rate=1e-4, spike=0
    )


def _flops(examples: list[Example], width: int | None) -> tuple[float, float, float]:
    """Return the floating point operations of an epoch: plain, ours first, ours later.

    A matrix takes two per weight and row forward and four backward, attention four per pair of
    places and unit of width. Ours: no padding, logits at labels only, nothing twice.
    """
    order = random.Random(0).sample(examples, len(examples))
    plain = 0.0
    for at in range(0, len(order), BATCH):
        batch = order[at : at + BATCH]
        time_ = width or max(map(len, batch))
        plain += len(batch) * (
            _body(TEMPLATE, time_) + _head(TEMPLATE, time_)
            + 3 * (_body(DELTA, time_) + _head(DELTA, time_))
        )  # fmt: skip
    later = sum(
        3 * (_body(DELTA, len(each)) + _head(DELTA, len(each.response_ids)))
        + _head(TEMPLATE, len(each.response_ids))
        for each in examples
    )
    return plain, later + sum(_body(TEMPLATE, len(each)) for each in examples), later


def _padding(examples: list[Example], width: int | None) -> float:
    """Return how many tokens the plain step reads for each token of the records."""
    order = random.Random(0).sample(examples, len(examples))
    batches = [order[at : at + BATCH] for at in range(0, len(order), BATCH)]
    read = sum(len(batch) * (width or max(map(len, batch))) for batch in batches)
    return read / sum(map(len, examples))


def _body(shape: tuple[int, int], tokens: int) -> float:
    """Return the operations of a forward pass without head; the stand-ins are Llamas."""
    width, layers = shape
    weights = 4 * width**2 + 3 * width * (width * 8 // 3)
    return layers * (2 * tokens * weights + 4 * tokens**2 * width)


def _head(shape: tuple[int, int], rows: int) -> float:
    return 2.0 * rows * shape[0] * VOCAB


@cache
def _template() -> LanguageModel:
    known = vocabulary("llama2")
    hidden, layers = TEMPLATE
    return LanguageModel(
        "stand-in", network(known.size, hidden=hidden, layers=layers, seed=1), known
    )


def _delta() -> LlamaForCausalLM:
    hidden, layers = DELTA
    return network(VOCAB, hidden=hidden, layers=layers, seed=2)


def _alpaca() -> list[Example]:
    return _alike(shared("alpaca", "alpaca_en_demo.json"), "alpaca", 3)


def _tofu() -> list[Example]:
    return _alike(shared("tofu", "forget10.json"), "qa", 2)


def _alike(path: Path, prompt_format: str, groups: int) -> list[Example]:
    """Return a few records like the whole: a batch of neighbours at each quantile of the lengths.

    Batches of similar length are then as full as they are with tens of thousands of records.
    """
    known = vocabulary("llama2")
    encoded = (encode_example(each, prompt_format, known, 1024) for each in read_records(path))
    ordered = sorted((each for each in encoded if each is not None), key=len)
    starts = [(2 * at + 1) * len(ordered) // (2 * groups) for at in range(groups)]
    return [each for start in starts for each in ordered[start : start + BATCH]]


# --- memory of the loss -----------------------------------------------------------------------


def _memory() -> Measurement:
    plain, ours = (_in_own_process(each) for each in (_plain_loss, _two_head_loss))
    return Measurement(
        name=f"peak memory of the loss at {LOSS_ROWS:,} label rows: plain / ours",
        value=plain[1] / ours[1], unit="x", target=10.0, is_lower_better=False,
        note=f"{plain[1] / 1e6:,.0f} and {ours[1] / 1e6:,.0f} MB; the losses differ by "
        f"{abs(plain[0] - ours[0]):.1e} nats",
    )  # fmt: skip


def _in_own_process(work: Callable[[list[Tensor]], float]) -> tuple[float, int]:
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(_loss_and_peak, work).result()


def _loss_and_peak(work: Callable[[list[Tensor]], float]) -> tuple[float, int]:
    """Return a loss, and by how many bytes it and its gradient raised the process's memory."""
    torch.set_num_threads(1)
    make = torch.Generator().manual_seed(0)
    tensors = [
        torch.randn(rows, width, generator=make) * 0.1
        for width in WIDTHS
        for rows in (LOSS_ROWS, VOCAB)
    ]
    for each in tensors[2:]:
        each.requires_grad_(True).grad = torch.zeros_like(each)
    labels = torch.randint(VOCAB, (LOSS_ROWS,), generator=make)
    before = psutil.Process().memory_info().rss
    loss = work([*tensors, labels])
    return loss, _peak() - before


def _peak() -> int:
    """Return the most bytes of memory this program has had; `ru_maxrss` counts its parent's too."""
    told = Path("/proc/self/status").read_text("utf-8")
    return int(re.search(r"VmHWM:\s+(\d+) kB", told)[1]) * 1024


def _plain_loss(given: list[Tensor]) -> float:
    template_rows, template_head, rows, head, labels = given
    with torch.no_grad():
        template = (template_rows @ template_head.T).log_softmax(-1)
    delta = rows @ head.T
    scores = template + delta
    loss = functional.cross_entropy(scores, labels)
    loss.backward()
    return loss.item()


def _two_head_loss(given: list[Tensor]) -> float:
    template_rows, template_head, rows, head, labels = given
    base = Base(template_rows, lambda part: part @ template_head.T, labels)
    loss = two_head_sum(LOSS, rows, head, base) / len(labels)
    loss.backward()
    return loss.item()


# --- several controllers ----------------------------------------------------------------------


def _together() -> Iterator[Measurement]:
    """Yield what five controllers cost in one job, and in five."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        settings = _job(folder)
        variants = varied_settings(settings, VARIANTS)
        with _home(folder / "apart"):
            apart = sum(
                _seconds(lambda each=each: list(run_training(each, folder / each.name)))
                for each in (replace(each, cache_gigabytes=0) for each in variants)
            )
        with _home(folder / "one"):
            runs = {folder / f"one-{each.name}": each for each in variants}
            one = _seconds(lambda: list(run_together(runs)))
        with _home(folder / "one"):
            later = replace(variants[2], name="later", seed=1)
            more = _seconds(lambda: list(run_training(later, folder / "later")))
    told = f"{apart:.1f} s in five jobs, {one:.1f} s in one, models loaded in both"
    yield Measurement(
        name="five controllers, one epoch: five jobs / one job", value=apart / one, unit="x",
        target=3.0, limit=5.0, is_lower_better=False, note=told,
    )  # fmt: skip
    yield Measurement(
        name="one more controller later, features on disk: one job of five / it",
        value=apart / 5 / more, unit="x", is_lower_better=False, note=f"{more:.1f} s",
    )  # fmt: skip


def _job(folder: Path) -> TrainSettings:
    """Return a job beside a template of 25M parameters in the lab's vocabulary."""
    like = load_language_model("lab:template").vocabulary
    network(like.size, hidden=512, layers=8, seed=1).save_pretrained(folder / "template")
    like.tokenizer.save_pretrained(folder / "template")
    return TrainSettings(
        template=str(folder / "template"), data="lab:instruct", limit=160, held_out_fraction=0.1,
        prompt_format="qa", max_steps=9, batch_size=16, evaluate_every=100, name="five",
    )  # fmt: skip


@contextlib.contextmanager
def _home(folder: Path) -> Iterator[None]:
    """Keep runs and features in a folder of this benchmark."""
    before = os.environ.get("CMC_HOME")
    os.environ["CMC_HOME"] = str(folder)
    try:
        yield
    finally:
        os.environ.pop("CMC_HOME")
        if before is not None:
            os.environ["CMC_HOME"] = before


def _seconds(work: Callable[[], Any]) -> float:
    """Return the processor time of some work."""
    started = time.process_time()
    work()
    return time.process_time() - started
