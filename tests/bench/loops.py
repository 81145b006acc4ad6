"""Ways to go on with a text, token by token: the base alone, the loops others use, and ours."""

import time
from collections.abc import Iterator

import torch
from transformers import DynamicCache, StoppingCriteria

from cmc.controller import Controller
from cmc.generation import ControlledModel, Row
from cmc.models import LanguageModel, cache_keyword
from cmc.vocab import Kind, build_map

# Yields seconds of processor time and the token of every step, the prompt's first.
Loop = Iterator[tuple[float, int]]


class _Clock(StoppingCriteria):
    """Notes when transformers' own `generate` has chosen each token."""

    def __init__(self) -> None:
        self.times: list[float] = []

    def __call__(self, *_: object, **__: object) -> torch.Tensor:
        """Never stop."""
        self.times.append(time.process_time())
        return torch.tensor([False])


def plain_generate(big: LanguageModel, prompt: str, tokens: int) -> Loop:
    """Go on by transformers' own `generate`, all tokens in one call."""
    ids = torch.tensor([big.vocabulary.encode_prompt(prompt)])
    clock = _Clock()
    started = time.process_time()
    said = big.model.generate(
        ids, attention_mask=torch.ones_like(ids), do_sample=False, pad_token_id=0,
        min_new_tokens=tokens, max_new_tokens=tokens, stopping_criteria=[clock],
    )  # fmt: skip
    for before, after, token in zip(
        [started, *clock.times], clock.times, said[0, ids.shape[1] :].tolist(), strict=False
    ):
        yield after - before, token


def timed(loop: Iterator[int]) -> Loop:
    """Time each step of a loop that yields tokens."""
    while True:
        started = time.process_time()
        token = next(loop)
        yield time.process_time() - started, token


def ours(
    model: ControlledModel, prompt: str, ids: list[int] | None = None, rows: int = 1
) -> Iterator[int]:
    """Go on as `ControlledModel` does, with given tokens instead of the likeliest if there are."""
    decoder = model.decoder([Row(prompt, (1.0,) * len(model.controllers))] * rows)
    active = list(range(rows))
    forced = iter(ids or ())
    while True:
        best = decoder.scores(active).argmax(-1).tolist()
        token = next(forced, best[0])
        yield token
        decoder.push([token] * rows, active)


def reference(
    big: LanguageModel, small: Controller, prompt: str, ids: list[int] | None
) -> Iterator[int]:
    """Go on as the published code does, ported from a description of what it does.

    Both models one after the other with scores at every place they read, log-softmax of the
    base, and a token drawn that is thrown away for the likeliest. Across vocabularies the map is
    the published one on raw strings, and behind every token without an exact twin there the
    whole output is decoded and tokenized again, and the controller reads it from the start.
    """
    entries = build_map(small.vocabulary, big.vocabulary, parity=True)
    # Special tokens keep their number there, which may lie beyond the controller's.
    gather = torch.from_numpy(entries.ids).long()
    is_known = (gather >= 0) & (gather < small.vocabulary.size)
    twins = {int(i) for i in (entries.kinds == Kind.EXACT).nonzero()[0] if is_known[i]}
    caches = [DynamicCache(config=each.config) for each in (big.model, small.delta)]
    new = [torch.tensor([each.vocabulary.encode_prompt(prompt)]) for each in (big, small)]
    start, said = new[1], []
    forced = iter(ids or ())
    while True:
        logits, delta = (
            model(input_ids=tokens, **{cache_keyword(model): cache}, use_cache=True)
            .logits[:, -1]
            .float()
            for model, tokens, cache in zip((big.model, small.delta), new, caches, strict=True)
        )
        scores = torch.log_softmax(logits, -1)
        if ids is None:
            scores = scores + delta
        else:
            carried = torch.zeros_like(scores)
            carried[:, is_known] = delta[:, gather[is_known]]
            scores = scores + carried
        torch.multinomial(torch.softmax(scores, -1), 1)
        token = next(forced, scores.argmax(-1).item())
        yield token
        said.append(token)
        new = [torch.tensor([[token]])] * 2
        if ids is not None and token in twins:
            new[1] = torch.tensor([[entries.ids[token]]])
        elif ids is not None:
            text = big.vocabulary.tokenizer.decode(said)
            again = small.vocabulary.tokenizer(text, add_special_tokens=False).input_ids
            new[1] = torch.cat([start, torch.tensor([again])], 1)
            caches[1] = DynamicCache(config=small.delta.config)


def proxy(big: LanguageModel, small: Controller, prompt: str) -> Iterator[int]:
    """Go on by three models: target + tuned small one - untuned small one."""
    models = (big.model, small.delta, small.prior)
    caches = [DynamicCache(config=each.config) for each in models]
    new = torch.tensor([big.vocabulary.encode_prompt(prompt)])
    while True:
        base, tuned, untuned = (
            model(input_ids=new, **{cache_keyword(model): cache}, use_cache=True, logits_to_keep=1)
            .logits[:, -1].float()
            for model, cache in zip(models, caches, strict=True)
        )  # fmt: skip
        token = (base + tuned - untuned).argmax(-1).item()
        yield token
        new = torch.tensor([[token]])
