"""Log-probabilities of a given text under control, all its places at once."""

import copy
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor
from transformers import DynamicCache

from cmc.generation.decoder import Row, read, reader_of
from cmc.generation.follower import Follower
from cmc.generation.mix import Mix, Steering, control_of, uses_prior
from cmc.generation.reader import TextReader
from cmc.models import LanguageModel
from cmc.settings import Rails

BLOCK = 256  # places whose beginnings form one tree
STEPS = 4  # places whose candidates are computed together


@torch.inference_mode()
def text_logprobs(
    target: LanguageModel, row: Row, ids: Sequence[int], steering: Sequence[Steering],
    rails: Rails,
) -> list[float]:  # fmt: skip
    """Return the log-probability of every token of a text that goes on behind a prompt, nats.

    The target reads prompt and text once. A controller reads the tree of all that its own tokens
    of the text ever were on the way, since the last of them may change as the text goes on.

    Raises:
        ControlError: target or controller gave scores that are no numbers.
    """
    asked = [number for number, strength in enumerate(row.strengths) if strength != 0]
    steering = [steering[number] for number in asked]
    strengths = [float(row.strengths[number]) for number in asked]
    beginnings = [_followers(each, row, ids, target) for each in steering]
    logprobs = []
    for start, logits in _target_blocks(target, row, ids):
        size = len(logits)
        controls = []
        for each, followers, strength in zip(steering, beginnings, strengths, strict=True):
            block = [next(followers) for _ in range(size)]
            reader = TextReader(each[0], block, uses_prior(each))
            controls.append(control_of(each, target.vocabulary, reader, [strength] * size))
        mix = Mix(controls, [strengths] * size, rails)
        for first in range(0, size, STEPS):
            part = ids[start:][first : min(first + STEPS, size)]
            logprobs += _part(mix, logits[first : first + len(part)], part, first)
    return logprobs


def _part(mix: Mix, logits: Tensor, ids: Sequence[int], start: int) -> list[float]:
    """Return the log-probabilities of the tokens at `(places, vocab)` logits."""
    for each in mix.controls:
        each.reader.turn_to(start, start + len(ids))
    scores = mix.step(logits, range(len(ids)), ids).scores
    at = torch.tensor(ids, device=scores.device)[:, None]
    return (scores.gather(1, at)[:, 0] - torch.logsumexp(scores, -1)).tolist()


def _followers(
    steering: Steering, row: Row, ids: Sequence[int], target: LanguageModel
) -> Iterator[Follower]:
    """Yield the controller's view in front of every token of the text."""
    reader = reader_of(steering, [row])
    control = control_of(steering, target.vocabulary, reader, [1.0])
    for token in ids:
        seen = copy.copy(reader.followers[0])
        seen.ids = list(seen.ids)
        yield seen
        control.push(0, token)


def _target_blocks(
    target: LanguageModel, row: Row, ids: Sequence[int]
) -> Iterator[tuple[int, Tensor]]:
    """Yield the first place of a block and `(places, vocab)` logits in front of its tokens."""
    vocabulary = target.vocabulary
    prompt = row.ids(vocabulary)
    cache = DynamicCache(config=target.model.config)
    for start in range(0, len(ids), BLOCK):
        size = min(BLOCK, len(ids) - start)
        new = [*prompt, *ids[: size - 1]] if start == 0 else ids[start - 1 : start + size - 1]
        inputs = torch.tensor([new], device=target.device)
        logits = read(target, input_ids=inputs, cache=cache, logits_to_keep=size)
        yield start, logits[0]
