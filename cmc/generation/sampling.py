"""Choose the next token of every row from its controlled scores."""

import torch
from torch import Tensor
from transformers import (
    LogitsProcessorList,
    MinPLogitsWarper,
    TemperatureLogitsWarper,
    TopKLogitsWarper,
    TopPLogitsWarper,
)

from cmc.settings import Sampling


class Sampler:
    """Greedy, or drawn from temperature, top-k, top-p and min-p in this order.

    Every row draws from its own stream of the same seed, so that a row chooses alike whatever
    stands beside it, and base and controlled differ by control alone.
    """

    def __init__(self, sampling: Sampling, batch_size: int) -> None:
        self._is_greedy = sampling.temperature == 0
        self._warpers = LogitsProcessorList()
        if self._is_greedy:
            return
        self._generators = [torch.Generator().manual_seed(sampling.seed) for _ in range(batch_size)]
        if sampling.temperature != 1:
            self._warpers.append(TemperatureLogitsWarper(sampling.temperature))
        if sampling.top_k:
            self._warpers.append(TopKLogitsWarper(sampling.top_k))
        if sampling.top_p < 1:
            self._warpers.append(TopPLogitsWarper(sampling.top_p))
        if sampling.min_p > 0:
            self._warpers.append(MinPLogitsWarper(sampling.min_p))

    def choose(self, *scores: Tensor) -> list[list[int]]:
        """Return one id per row of each `(batch, vocab)` scores, all from the same draw."""
        if self._is_greedy:
            return [each.argmax(-1).tolist() for each in scores]
        drawn = torch.tensor(
            [torch.rand((), generator=each, dtype=torch.float64) for each in self._generators]
        )
        return [self._drawn(each, drawn) for each in scores]

    def _drawn(self, scores: Tensor, drawn: Tensor) -> list[int]:
        warped = self._warpers(torch.empty(len(scores), 0, dtype=torch.long), scores)
        cumulated = torch.softmax(warped.double(), -1).cumsum(-1).cpu()
        # The first token whose cumulated probability exceeds the draw, never one of probability 0.
        reached = cumulated > (drawn * cumulated[:, -1])[:, None]
        return reached.int().argmax(-1).tolist()
