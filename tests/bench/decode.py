"""Tokens per second under control, beside the base alone and the loops others use."""

import time
from collections.abc import Callable, Iterator

import torch
from transformers import DynamicCache

from cmc.controller import Controller
from cmc.generation import ControlledModel, Row
from cmc.generation.follower import Follower
from cmc.models import LanguageModel
from cmc.vocab import build_map
from tests.bench.row import Measurement
from tests.bench.stand_ins import answers, controller, long_text, target, vocabulary, weights

TOKENS, BLOCK = 512, 64  # all loops take turns, block by block
FEW = 64
BEGUN = "Here is how it went on that day, as far as anyone can remember:"
STORY = 60  # texts that are followed

Loop = Iterator[int]


def measure() -> Iterator[Measurement]:
    """Yield all figures; seconds are processor time of one thread."""
    torch.set_num_threads(1)
    yield from _same_vocabulary()
    yield from _across_vocabularies()
    yield from _batches()
    for name, most in (("mistral_v1", 1.07), ("llama3", 1.20)):
        yield _tokens_read(name, most)
    yield from _host_time()


def _same_vocabulary() -> Iterator[Measurement]:
    big, small = target("llama2"), controller()
    prompt, _ = long_text(1, "llama2")
    said: dict[str, list[int]] = {}
    seconds = _take_turns({
        "base": lambda: _plain_generate(big, prompt),
        "reference": lambda: _kept(said, "reference", _reference(big, small, prompt, None)),
        "proxy": lambda: _proxy(big, small, prompt),
        "ours": lambda: _kept(said, "ours", _ours(big, small, prompt, "same", None)),
    })  # fmt: skip
    if said["ours"] != said["reference"]:
        raise AssertionError("the loops do not say the same")
    share = weights(small.delta) / weights(big.model)
    yield _ratio("same vocabulary: time per token, ours / base", seconds, "ours", "base",
                 target=1.10 * (1 + share), limit=1 + share)  # fmt: skip
    yield _ratio("same vocabulary: reference loop / ours", seconds, "reference", "ours",
                 target=1.1, is_lower_better=False)  # fmt: skip
    yield _ratio("same vocabulary: three-model loop / ours", seconds, "proxy", "ours",
                 limit=(1 + 2 * share) / (1 + share), is_lower_better=False)  # fmt: skip


def _across_vocabularies() -> Iterator[Measurement]:
    big, small = target("llama3"), controller()
    prompt, ids = long_text(TOKENS, "llama3")
    seconds = _take_turns({
        "base": lambda: _plain_generate(big, prompt),
        "reference": lambda: _reference(big, small, prompt, ids),
        "pm-mined": lambda: _ours(big, small, prompt, "pm-mined", ids),
        "cover": lambda: _ours(big, small, prompt, "cover", ids),
    })  # fmt: skip
    share = weights(small.delta) / weights(big.model)
    yield _ratio("across: time per token, pm-mined / base", seconds, "pm-mined", "base",
                 target=1.10 * (1 + share), limit=1 + share)  # fmt: skip
    yield _ratio("across: time per token, cover / base", seconds, "cover", "base",
                 limit=1 + 4 * share)  # fmt: skip
    yield _ratio("across: reference loop / ours by pm-mined", seconds, "reference", "pm-mined",
                 target=3.0, is_lower_better=False)  # fmt: skip
    yield _ratio("across: reference loop / ours by cover", seconds, "reference", "cover",
                 is_lower_better=False)  # fmt: skip


def _batches() -> Iterator[Measurement]:
    small = controller()
    for name, transfer in (("llama2", "same"), ("llama3", "cover")):
        big = target(name)
        _, ids = long_text(FEW, name)
        seconds = _take_turns({
            "1": lambda b=big, t=transfer, i=ids: _ours(b, small, BEGUN, t, i),
            "8": lambda b=big, t=transfer, i=ids: _ours(b, small, BEGUN, t, i, rows=8),
            "base 1": lambda b=big, i=ids: _ours(b, None, BEGUN, "auto", i),
            "base 8": lambda b=big, i=ids: _ours(b, None, BEGUN, "auto", i, rows=8),
        }, tokens=FEW, block=16)  # fmt: skip
        yield Measurement(
            name=f"batch of 8: tokens per second / those of batch 1, {transfer}",
            value=8 * seconds["1"] / seconds["8"], unit="x", target=3.5,
            limit=8 * seconds["base 1"] / seconds["base 8"], is_lower_better=False,
        )  # fmt: skip


def _take_turns(
    loops: dict[str, Callable[[], Loop]], tokens: int = TOKENS, block: int = BLOCK
) -> dict[str, float]:
    """Return seconds per token of each loop; noise of the machine meets all alike."""
    running = {name: start() for name, start in loops.items()}
    for each in running.values():
        next(each)  # reads the prompt, and warms up
    spent = dict.fromkeys(loops, 0.0)
    with torch.inference_mode():
        for _ in range(tokens // block - 1):
            for name, each in running.items():
                started = time.process_time()
                done = 0
                while done < block:
                    done += next(each)
                spent[name] += time.process_time() - started
    return {name: each / (tokens - block) for name, each in spent.items()}


def _ratio(
    name: str, seconds: dict[str, float], one: str, other: str, **more: float | bool
) -> Measurement:
    told = ", ".join(f"{each} {1000 * value:.1f} ms" for each, value in seconds.items())
    return Measurement(name=name, value=seconds[one] / seconds[other], unit="x", note=told, **more)


def _kept(said: dict[str, list[int]], name: str, loop: Loop) -> Loop:
    """Keep the tokens a loop yields; tell only that there was one more."""
    said[name] = []
    for token in loop:
        said[name].append(token)
        yield 1


def _plain_generate(big: LanguageModel, prompt: str) -> Loop:
    """Go on by transformers' own `generate`, a block at a time on the same cache."""
    ids = torch.tensor([big.vocabulary.encode_prompt(prompt)])
    cache = DynamicCache(config=big.model.config)
    while True:
        before = ids.shape[1]
        ids = big.model.generate(
            ids, attention_mask=torch.ones_like(ids), past_key_values=cache, do_sample=False,
            min_new_tokens=BLOCK, max_new_tokens=BLOCK, pad_token_id=0,
        )  # fmt: skip
        yield ids.shape[1] - before


def _ours(
    big: LanguageModel, small: Controller | None, prompt: str, transfer: str,
    ids: list[int] | None, rows: int = 1,
) -> Loop:  # fmt: skip
    controllers = [small] if small else []
    model = ControlledModel(big, controllers, transfer=transfer)
    decoder = model.decoder([Row(prompt, (1.0,) * len(controllers))] * rows)
    active = list(range(rows))
    forced = iter(ids or ())
    while True:
        best = decoder.scores(active).argmax(-1).tolist()
        token = next(forced, best[0])
        yield 1 if ids else token
        decoder.push([token] * rows, active)


def _reference(big: LanguageModel, small: Controller, prompt: str, ids: list[int] | None) -> Loop:
    """Go on as the published code does, ported by what it does and not from its text.

    Both models one after the other, log-softmax of the base, and across vocabularies: behind
    every target token without an exact twin the whole text is tokenized again and the
    controller reads it from the start.
    """
    entries = build_map(small.vocabulary, big.vocabulary)
    gather = entries.gather_index(big.rows, torch.device("cpu"))
    exact = {i for i, spelled in enumerate(big.vocabulary.token_bytes)
             if spelled in small.vocabulary.id_of_bytes}  # fmt: skip
    caches = [DynamicCache(config=each.config) for each in (big.model, small.delta)]
    new = [torch.tensor([each.vocabulary.encode_prompt(prompt)]) for each in (big, small)]
    start, said = new[1], b""
    forced = iter(ids or ())
    while True:
        logits, delta = (
            model(input_ids=tokens, past_key_values=cache, use_cache=True).logits[:, -1].float()
            for model, tokens, cache in zip((big.model, small.delta), new, caches, strict=True)
        )
        base = torch.log_softmax(logits, -1)
        if ids is not None:
            delta = torch.nn.functional.pad(delta, (0, 1))[:, gather]
        best = (base + delta).argmax(-1).item()
        token = next(forced, best)
        yield 1 if ids else token
        said += big.vocabulary.token_bytes[token] or b""
        new = [torch.tensor([[token]])] * 2
        if ids is not None and token in exact:
            new[1] = torch.tensor(
                [[small.vocabulary.id_of_bytes[big.vocabulary.token_bytes[token]]]]
            )
        elif ids is not None:
            again = small.vocabulary.encode_continuation(said)
            new[1] = torch.cat([start, torch.tensor([again])], 1)
            caches[1] = DynamicCache(config=small.delta.config)


def _proxy(big: LanguageModel, small: Controller, prompt: str) -> Loop:
    """Go on by three models: target + tuned small one - untuned small one."""
    models = (big.model, small.delta, small.prior)
    caches = [DynamicCache(config=each.config) for each in models]
    new = torch.tensor([big.vocabulary.encode_prompt(prompt)])
    while True:
        base, tuned, untuned = (
            model(input_ids=new, past_key_values=cache, use_cache=True, logits_to_keep=1)
            .logits[:, -1].float()
            for model, cache in zip(models, caches, strict=True)
        )  # fmt: skip
        token = (base + tuned - untuned).argmax(-1).item()
        yield 1
        new = torch.tensor([[token]])


def _tokens_read(name: str, most: float) -> Measurement:
    """Count what a Llama-2 controller reads while a target writes real answers."""
    small, other = vocabulary("llama2"), vocabulary(name)
    read = said = least = 0
    for text in answers()[:STORY]:
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
        target=most, limit=least / said, note=f"{said} tokens of {STORY} answers",
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
