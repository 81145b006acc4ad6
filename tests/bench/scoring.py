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
    small = controller()
    for name in ("mistral_v1", "llama3"):
        yield from _of_pair(name, small)


def _of_pair(name: str, small: Controller) -> Iterator[Measurement]:
    # The target reads a text once in all ways of scoring; what control adds to it is compared.
    big = target(name, hidden=128, layers=2)
    _, ids = long_text(LENGTH, name)
    row, alone = Row(big.vocabulary.decode(ids[:40]), (1.0,)), Row("The", ())
    mapped, covered = (
        ControlledModel(big, [small], transfer=transfer) for transfer in ("pm-mined", "cover")
    )

    def scored(model: ControlledModel) -> None:
        text_logprobs(big, row, ids, model._steering, Rails())

    base = _least(lambda: text_logprobs(big, alone, ids, [], Rails()))
    ours = max(_least(lambda: scored(mapped)) - base, 1e-9)
    read = _tokens_read(small, row, ids, big)
    prefixes = _least(lambda: _every_prefix(small, row, ids, big), rounds=1)
    forwards = _least(lambda: _one_tree(small, row, ids, big))
    yield Measurement(
        name=f"scoring 200 tokens of {name}: one forward per prefix / ours, pm-mined",
        value=prefixes / ours, unit="x", target=80.0, limit=read, is_lower_better=False,
        note=f"{prefixes:.1f} s and {ours:.2f} s, of which the controller reads for "
        f"{forwards:.2f} s and its scores are carried for {ours - forwards:.2f} s; the target "
        f"takes {base:.2f} s more in both",
    )  # fmt: skip
    if name == "llama3":
        scored(covered)  # what a vocabulary is asked once is known to both
        cover = _least(lambda: scored(covered), rounds=1)
        step = _least(lambda: _step_by_step(covered, row, ids), rounds=1)
        yield Measurement(
            name=f"scoring 200 tokens of {name} by cover: token by token with all caches / ours",
            value=step / cover, unit="x", is_lower_better=False,
            note=f"{step:.1f} s and {cover:.1f} s",
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
def _every_prefix(small: Controller, row: Row, ids: list[int], big: LanguageModel) -> None:
    """Read every prefix from its start and carry its scores, as the published code does."""
    gather = build_map(small.vocabulary, big.vocabulary).gather_index(big.rows, torch.device("cpu"))
    for chain in _prefixes(small, row, ids, big):
        delta = small.delta(input_ids=torch.tensor([chain]), use_cache=False).logits[:, -1]
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
