"""Kill a training at random moments and at every file operation; nothing may be lost or broken."""

import itertools
import json
import multiprocessing
import os
import random
import signal
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
import transformers.models.llama.modeling_llama  # noqa: F401  (before the fork, not after each)
from safetensors.torch import load_file

from cmc.settings import TrainSettings
from cmc.training import run_training
from cmc.training.checkpoints import load_checkpoint, save_checkpoint
from cmc.training.folder import CHECKPOINTS, CONTROLLER, STATUS, read_json, read_lines
from tests.bench.row import Measurement

# Children start from a server that has all imported and has computed nothing yet.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload([__name__])
FILE_EVENTS = {"open", "os.mkdir", "os.rename", "os.remove", "os.rmdir", "os.truncate"}
KILLS = 100


def measure() -> Iterator[Measurement]:
    """Yield what 100 kills at random moments, and one at every file operation, have broken."""
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder)
        settings = settings_in(place)
        whole, seconds = uninterrupted(settings, place)
        kills = runs = different = 0
        draw = random.Random(0)
        while kills < KILLS:
            runs += 1
            run = place / "runs" / f"killed-{runs}"
            kills += killed_at_random(settings, run, draw, seconds)
            different += outcome(run) != whole
        yield Measurement(name="kills at random moments", value=kills, unit="", target=KILLS,
                          is_lower_better=False, note=f"{runs} runs")  # fmt: skip
        yield Measurement(name="runs that ended in other weights or losses", value=different,
                          unit="", target=0)  # fmt: skip
        settings, run = settings_in(place, max_steps=2), place / "runs" / "operations"
        whole, _ = uninterrupted(settings, place, "short")
        count = killed_at_every_operation(run, train, settings, run, place)
        yield Measurement(name="file operations of a whole run, killed at each", value=count,
                          unit="", note="no broken folder, or this would have failed")  # fmt: skip
        yield Measurement(name="differences after a kill at each", unit="", target=0,
                          value=int(outcome(run) != whole))  # fmt: skip


def settings_in(place: Path, **others: Any) -> TrainSettings:
    """Return a short training beside the lab's template, saved at every step."""
    data = place / "data.jsonl"
    rows = [{"instruction": f"Question {n}?", "output": f"Answer {n}."} for n in range(12)]
    data.write_text("\n".join(map(json.dumps, rows)))
    named = {"template": "lab:template", "data": str(data), "prompt_format": "qa", "max_steps": 8,
             "batch_size": 4, "hidden_size": 32, "layers": 1, "save_every": 1,
             "evaluate_every": 4}  # fmt: skip
    return TrainSettings(**(named | others))


def uninterrupted(settings: TrainSettings, place: Path, name: str = "whole") -> tuple[Any, float]:
    """Do a run that nobody kills; return its outcome and how many seconds it took."""
    # The first child waits until the server has imported everything; that is no part of a run.
    first = FORKS.Process(target=os.getpid)
    first.start()
    first.join()
    started = time.perf_counter()
    process = FORKS.Process(target=train, args=(settings, place / "runs" / name, place))
    process.start()
    process.join()
    if process.exitcode:
        raise AssertionError(f"the run that nobody killed ended with {process.exitcode}")
    return outcome(place / "runs" / name), time.perf_counter() - started


def train(settings: TrainSettings, run: Path, home: Path) -> None:
    """Train in a process of its own, from where the run stands."""
    os.environ["CMC_HOME"] = str(home)
    torch.set_num_threads(1)
    for _ in run_training(settings, run):
        pass


def killed_at_random(
    settings: TrainSettings, run: Path, draw: random.Random, seconds: float
) -> int:
    """Kill and restart a run until it has finished; return how often it was killed."""
    kills = 0
    while read_json(run / STATUS).get("state") != "finished":
        process = FORKS.Process(target=train, args=(settings, run, run.parents[1]))
        process.start()
        process.join(draw.uniform(0, seconds))
        process.kill()
        process.join()
        if process.exitcode not in (0, -signal.SIGKILL):
            raise AssertionError(f"a resumed run ended with {process.exitcode}")
        kills += process.exitcode == -signal.SIGKILL
        check_whole(run)
    return kills


def killed_at_every_operation(folder: Path, work: Callable[..., None], *arguments: Any) -> int:
    """Let work be killed at its first file operation in a folder, then its second, and so on.

    Returns:
        How many operations there were: the next time nothing was left to be killed at.
    """
    for number in itertools.count(1):
        process = FORKS.Process(target=_killed_at, args=(number, folder, work, arguments))
        process.start()
        process.join()
        check_whole(folder)
        if process.exitcode == 0:
            return number - 1
        if process.exitcode != -signal.SIGKILL:
            raise AssertionError(f"at operation {number} it ended with {process.exitcode}")
    raise AssertionError("unreachable")


def _killed_at(number: int, folder: Path, work: Callable[..., None], arguments: Any) -> None:
    count = itertools.count(1)
    flush = os.fsync

    def count_one() -> None:
        if next(count) == number:
            os.kill(os.getpid(), signal.SIGKILL)

    def heard(event: str, about: tuple[Any, ...]) -> None:
        if event in FILE_EVENTS and str(about[0]).startswith(str(folder)):
            count_one()

    def flushed(handle: int) -> None:
        count_one()
        flush(handle)

    os.fsync = flushed
    sys.addaudithook(heard)
    work(*arguments)


def check_whole(run: Path) -> None:
    """Raise where a checkpoint or controller can be found that is not whole."""
    checkpoint = load_checkpoint(run / CHECKPOINTS)
    if checkpoint is not None and checkpoint.skipped:
        raise AssertionError("; ".join(checkpoint.skipped))
    if (run / CONTROLLER).is_dir():
        load_file(run / CONTROLLER / "delta" / "model.safetensors")
        json.loads((run / CONTROLLER / "controller.json").read_text("utf-8"))
        json.loads((run / CONTROLLER / "tokenizer.json").read_text("utf-8"))


def outcome(run: Path) -> tuple[dict[str, bytes], list[float]]:
    """Return the bytes of every weight of a finished run, and its losses."""
    weights = load_file(run / CONTROLLER / "delta" / "model.safetensors")
    losses = [each["loss"] for each in read_lines(run / "records.jsonl")]
    return {name: each.numpy().tobytes() for name, each in weights.items()}, losses


def save_small(folder: Path, step: int) -> None:
    """Save a checkpoint of three numbers, all of them ten times its step."""
    parameter = torch.nn.Parameter(torch.full((3,), 10.0 * step))
    optimizer = torch.optim.AdamW([parameter])
    parameter.grad = torch.ones(3)
    optimizer.step()
    weights = {"w": torch.full((3,), 10.0 * step)}
    save_checkpoint(folder, step, weights, optimizer.state_dict(), {"settings": {}})
