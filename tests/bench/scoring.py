"""Scoring a given answer under control, beside one forward per prefix."""

import time
from collections.abc import Callable, Iterator
from dataclasses import replace

import torch

from cmc.controller import Controller
from cmc.generation import ControlledModel, Row
from cmc.generation.follower import Follower
from cmc.generation.reader import TextReader
from cmc.generation.scoring import text_logprobs
from cmc.models import LanguageModel
from cmc.settings import Rails
from cmc.vocab import build_map
from tests.bench.row import Measurement
from tests.bench.stand_ins import controller, long_text, target

LENGTH = 200  # tokens of the answer
ROUNDS = 3


def measure() -> Iterator[Measurement]:
    """Yield how much faster an answer is scored at once; seconds of one thread."""
    torch.set_num_threads(1)
    big, small = target("llama3"), controller()
    _, ids = long_text(LENGTH, "llama3")
    row, alone = Row(big.vocabulary.decode(ids[:40]), (1.0,)), Row("The", ())
    mapped, covered = (
        ControlledModel(big, [small], transfer=transfer) for transfer in ("pm-mined", "cover")
    )

    def scored(model: ControlledModel) -> None:
        text_logprobs(big, row, ids, model._steering, Rails())

    # The target reads a text once in all ways of scoring; what control adds to it is compared.
    base = _least(lambda: text_logprobs(big, alone, ids, [], Rails()))
    ours = max(_least(lambda: scored(mapped)) - base, 1e-9)
    cover = max(_least(lambda: scored(covered), rounds=1) - base, 1e-9)
    prefixes = _least(lambda: _every_prefix(small, row, ids, big), rounds=1)
    told = f"control adds {ours:.2f} s by pm-mined, {cover:.2f} s by cover; the target takes "
    told += f"{base:.2f} s; one forward per prefix {prefixes:.1f} s"
    forwards = _least(lambda: _every_prefix(small, row, ids, big, carries=False), rounds=1)
    read = _tokens_read(small, row, ids, big)
    yield Measurement(
        name="scoring 200 tokens across vocabularies: one forward per prefix / ours, pm-mined",
        value=prefixes / ours, unit="x", target=80.0, limit=read, is_lower_better=False, note=told,
    )  # fmt: skip
    yield Measurement(
        name="the same, target included", value=(prefixes + base) / (ours + base), unit="x",
        is_lower_better=False, note=told,
    )  # fmt: skip
    yield Measurement(
        name="the same, forwards of the controller alone",
        value=forwards / _least(lambda: _one_tree(small, row, ids, big)), unit="x", target=80.0,
        limit=read,
        is_lower_better=False,
    )  # fmt: skip
    step = _least(lambda: _step_by_step(covered, row, ids), rounds=1)
    yield Measurement(
        name="scoring 200 tokens by cover: token by token with all caches / at once",
        value=step / (cover + base), unit="x", is_lower_better=False, note=told,
    )  # fmt: skip


def _least(work: Callable[[], None], rounds: int = ROUNDS) -> float:
    """Return the least seconds of processor time."""
    taken = []
    for _ in range(rounds):
        started = time.process_time()
        work()
        taken.append(time.process_time() - started)
    return min(taken)


def _prefixes(
    small: Controller, row: Row, ids: list[int], big: LanguageModel
) -> Iterator[list[int]]:
    follower = Follower(small.vocabulary, small.vocabulary.encode_prompt(row.prompt), 10**6)
    for token in ids:
        yield follower.ids + follower.trunk
        follower.push_bytes(big.vocabulary.token_bytes[token])


@torch.inference_mode()
def _every_prefix(
    small: Controller, row: Row, ids: list[int], big: LanguageModel, *, carries: bool = True
) -> None:
    """Read every prefix from its start and carry its scores, as the published code does."""
    gather = build_map(small.vocabulary, big.vocabulary).gather_index(big.rows, torch.device("cpu"))
    for chain in _prefixes(small, row, ids, big):
        delta = small.delta(input_ids=torch.tensor([chain]), use_cache=False).logits[:, -1]
        if carries:
            torch.log_softmax(torch.nn.functional.pad(delta, (0, 1))[:, gather], -1)


@torch.inference_mode()
def _one_tree(small: Controller, row: Row, ids: list[int], big: LanguageModel) -> None:
    follower = Follower(small.vocabulary, small.vocabulary.encode_prompt(row.prompt), 10**6)
    beginnings = []
    for token in ids:
        beginnings.append(replace(follower, ids=list(follower.ids)))
        follower.push_bytes(big.vocabulary.token_bytes[token])
    TextReader(small, beginnings, False).advance([0])


def _tokens_read(small: Controller, row: Row, ids: list[int], big: LanguageModel) -> float:
    """Return how many times more tokens are read prefix by prefix than once."""
    lengths = [len(chain) for chain in _prefixes(small, row, ids, big)]
    return sum(lengths) / lengths[-1]


def _step_by_step(model: ControlledModel, row: Row, ids: list[int]) -> None:
    decoder = model.decoder([row])
    for token in ids:
        decoder.scores([0], [token])
        decoder.push([token], [0])
