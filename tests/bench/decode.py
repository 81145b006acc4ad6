"""Tokens per second under control, beside the base alone and the loops others use."""

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import islice

import torch

from cmc.generation import ControlledModel
from cmc.generation.follower import Follower
from cmc.generation.layout import Layout
from cmc.generation.network import TreeNetwork
from tests.bench import loops
from tests.bench.loops import Loop
from tests.bench.row import Measurement
from tests.bench.stand_ins import answers, controller, long_text, target, vocabulary, weights

PLACES = (0, 170, 340, 500)  # where in a text of 512 tokens speed is measured
BLOCK = 12  # tokens at each place; all loops take turns
BATCH_PLACES = (128,)

Loops = dict[str, Callable[[str, list[int]], Loop]]


def measure() -> Iterator[Measurement]:
    """Yield all figures; seconds are processor time of one thread."""
    torch.set_num_threads(1)
    with torch.inference_mode():
        yield from _same_vocabulary()
        yield from _across_vocabularies()
        yield from _batches()
    for name, most in (("mistral_v1", 1.07), ("llama3", 1.20)):
        yield _tokens_read(name, most)
    yield from _host_time()


def _same_vocabulary() -> Iterator[Measurement]:
    big, small = target("llama2"), controller()
    model = ControlledModel(big, [small], transfer="same")
    share = weights(small.delta) / weights(big.model)
    with _watched(target=big.model, delta=small.delta) as spent:
        seconds, _, said = _take_turns({
            "base": lambda prompt, _: loops.plain_generate(big, prompt, 1 + BLOCK),
            "reference": lambda p, _: loops.timed(loops.reference(big, small, p, None)),
            "three models": lambda prompt, _: loops.timed(loops.proxy(big, small, prompt)),
            "ours": lambda prompt, _: loops.timed(loops.ours(model, prompt)),
        }, "llama2", spent)  # fmt: skip
    if said["ours"] != said["reference"]:
        raise AssertionError("the loops do not say the same")
    yield _ratio("same vocabulary: time per token, ours / base", seconds, "ours", "base",
                 target=1.10 * (1 + share), limit=1 + share, parts=spent)  # fmt: skip
    yield _ratio("same vocabulary: reference loop / ours", seconds, "reference", "ours",
                 target=1.1, limit=seconds["reference"] / seconds["base"] / (1 + share),
                 is_lower_better=False)  # fmt: skip
    yield _ratio("same vocabulary: three-model loop / ours", seconds, "three models", "ours",
                 limit=(1 + 2 * share) / (1 + share), is_lower_better=False)  # fmt: skip


def _across_vocabularies() -> Iterator[Measurement]:
    big, small = target("llama3"), controller()
    mapped, cover = (ControlledModel(big, [small], transfer=each) for each in ("pm-mined", "cover"))
    networks = {"target": big.model, "delta": small.delta, "prior": small.prior}
    with _watched(**networks) as spent:
        seconds, last, _ = _take_turns({
            "base": lambda prompt, _: loops.plain_generate(big, prompt, 1 + BLOCK),
            "reference": lambda prompt, ids: loops.timed(loops.reference(big, small, prompt, ids)),
            "pm-mined": lambda prompt, ids: loops.timed(loops.ours(mapped, prompt, ids)),
            "cover": lambda prompt, ids: loops.timed(loops.ours(cover, prompt, ids)),
        }, "llama3", spent)  # fmt: skip
    share = weights(small.delta) / weights(big.model)
    yield _ratio("across: time per token, pm-mined / base", seconds, "pm-mined", "base",
                 target=1.10 * (1 + share), limit=1 + share, parts=spent)  # fmt: skip
    yield _ratio("across: time per token, cover / base", seconds, "cover", "base",
                 limit=1 + 4 * share, parts=spent)  # fmt: skip
    yield _ratio("across: reference loop / ours by pm-mined, mean of 512 tokens", seconds,
                 "reference", "pm-mined", target=3.0, is_lower_better=False,
                 limit=seconds["reference"] / seconds["base"] / (1 + share))  # fmt: skip
    yield _ratio("across: reference loop / ours by pm-mined, behind 500 tokens", last,
                 "reference", "pm-mined", target=3.0, is_lower_better=False,
                 limit=last["reference"] / last["base"] / (1 + share))  # fmt: skip
    yield _ratio("across: reference loop / ours by cover", seconds, "reference", "cover",
                 is_lower_better=False)  # fmt: skip


def _batches() -> Iterator[Measurement]:
    small = controller()
    for name, transfer in (("llama2", "same"), ("llama3", "cover")):
        big = target(name)
        alone, model = ControlledModel(big, []), ControlledModel(big, [small], transfer=transfer)
        networks = {"target": big.model, "delta": small.delta, "prior": small.prior}
        with _watched(**networks) as spent:
            seconds, _, _ = _take_turns({
                f"{told}{rows}": lambda p, i, m=each, r=rows: loops.timed(loops.ours(m, p, i, r))
                for told, each in (("", model), ("base ", alone)) for rows in (1, 8)
            }, name, spent, BATCH_PLACES)  # fmt: skip
        yield _ratio(
            f"batch of 8: tokens per second / those of batch 1, {transfer}", seconds, "1", "8",
            factor=8, target=3.5, limit=8 * seconds["base 1"] / seconds["base 8"],
            is_lower_better=False, parts=spent,
        )  # fmt: skip


Spent = dict[str, float]  # seconds of each network in one loop


@contextmanager
def _watched(**networks: torch.nn.Module | None) -> Iterator[dict[str, Spent]]:
    """Time what networks take inside the block; `_take_turns` says for which loop."""
    spent: dict[str, Spent] = {"": dict.fromkeys(networks, 0.0)}
    names = {id(network): name for name, network in networks.items()}
    target, forward = networks["target"], TreeNetwork.forward

    def counted(self: TreeNetwork, layout: Layout) -> torch.Tensor:
        return _counted(forward, names[id(self._model)], spent)(self, layout)

    target.forward, TreeNetwork.forward = _counted(target.forward, "target", spent), counted
    try:
        yield spent
    finally:
        TreeNetwork.forward = forward
        del target.forward


def _counted(forward: Callable, name: str, spent: dict[str, Spent]) -> Callable:
    def counted(*given: object, **named: object) -> object:
        started = time.process_time()
        try:
            return forward(*given, **named)
        finally:
            spent[""][name] += time.process_time() - started

    return counted


def _take_turns(
    makers: Loops, name: str, spent: dict[str, Spent], places: Sequence[int] = PLACES
) -> tuple[dict[str, float], dict[str, float], dict[str, list[int]]]:
    """Return seconds per token of each loop, the same at the last place alone, and all it said.

    All begin a block at the same place of a text, one after the other, with the prompt and one
    token more to warm up; noise of the machine meets them alike.
    """
    prompt, ids = long_text(max(places) + BLOCK + 1, name)
    known = vocabulary(name)
    taken: dict[str, list[float]] = {each: [] for each in makers}
    said: dict[str, list[int]] = {each: [] for each in makers}
    for each in makers:
        spent[each] = dict.fromkeys(spent[""], 0.0)
    for place in places:
        begun = prompt + known.decode(ids[:place])
        for each, make in makers.items():
            loop = make(begun, ids[place:])
            next(loop)
            before = dict(spent[""])
            steps = list(islice(loop, BLOCK))
            for network, seconds in spent[""].items():
                spent[each][network] += (seconds - before[network]) / (BLOCK * len(places))
            taken[each] += [seconds for seconds, _ in steps]
            said[each] += [token for _, token in steps]
    means, last = (
        {each: statistics.fmean(times[first:]) for each, times in taken.items()}
        for first in (0, -BLOCK)
    )
    return means, last, said


def _ratio(
    name: str, seconds: dict[str, float], one: str, other: str, *, factor: float = 1.0,
    parts: dict[str, Spent] | None = None, **more: float | bool,
) -> Measurement:  # fmt: skip
    told = ", ".join(f"{each} {1000 * value:.1f} ms" for each, value in seconds.items())
    if parts is not None:
        spent = {each: value for each, value in parts[one].items() if value}
        spent["the rest"] = seconds[one] - sum(spent.values())
        within = ", ".join(f"{each} {1000 * value:.1f}" for each, value in spent.items())
        told += f"; in {one}: {within}"
    return Measurement(
        name=name, value=factor * seconds[one] / seconds[other], unit="x", note=told, **more
    )


def _tokens_read(name: str, most: float) -> Measurement:
    """Count what a Llama-2 controller reads while a target writes real answers."""
    small, other = vocabulary("llama2"), vocabulary(name)
    read = said = least = 0
    for text in answers():
        follower, chain = Follower(small, [1], context=10**6), [1]
        ids = other.encode_continuation(text.encode())
        for token in ids:
            follower.push_bytes(other.token_bytes[token])
            now = follower.ids + follower.trunk
            same = next((i for i, pair in enumerate(zip(chain, now, strict=False))
                         if pair[0] != pair[1]), min(len(chain), len(now)))  # fmt: skip
            read += len(now) - same
            chain = now
        said += len(ids)
        least += len(small.encode_continuation(text.encode()))
    return Measurement(
        name=f"controller tokens read per token of {name}", value=read / said, unit="tokens",
        target=most, limit=least / said, note=f"{said} tokens of {len(answers())} answers",
    )  # fmt: skip


def _host_time() -> Iterator[Measurement]:
    """Time the follower far into a text against its start."""
    other, length = vocabulary("llama3"), 4000
    _, ids = long_text(length + 100, "llama3")
    spent = []
    for _ in range(5):
        follower, taken = Follower(vocabulary("llama2"), [1], context=10**6), []
        for token in ids:
            started = time.perf_counter()
            follower.push_bytes(other.token_bytes[token])
            taken.append(time.perf_counter() - started)
        spent.append(taken)
    # Each token at its quickest; the first words of a text are seen for the first time.
    quickest = [min(each) for each in zip(*spent, strict=True)]
    near, far = (sum(quickest[at - 100 : at + 100]) / 200 * 1e6 for at in (100, length))
    told = f"{near:.1f} µs and {far:.1f} µs"
    yield Measurement(name="host time per token, n = 100", value=near, unit="µs", target=15)
    yield Measurement(name="host time per token, n = 4000", value=far, unit="µs", target=15)
    yield Measurement(
        name="host time per token, n = 4000 / n = 100", value=far / near, unit="x", target=1.2,
        limit=1.0, note=told,
    )  # fmt: skip
