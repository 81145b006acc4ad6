"""A tiny network over trees of tokens: every row has its own length and rewinds for free."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedModel
from transformers.cache_utils import Cache

from cmc.errors import ControlError
from cmc.generation.quick import quick_forward
from cmc.models import cache_keyword

GROWTH = 256  # slots by which a cache grows


@dataclass
class Tree:
    """Tokens of one row to compute, each behind its parent.

    Attributes:
        tokens: the ids.
        parents: index of each token's parent in `tokens`, -1 where it follows the kept chain.
        seen: how many kept tokens each token follows, its ancestors in the tree not counted.
    """

    tokens: list[int] = field(default_factory=list)
    parents: list[int] = field(default_factory=list)
    seen: list[int] = field(default_factory=list)

    def add(self, token: int, parent: int, seen: int) -> int:
        """Append a token and return its index."""
        self.tokens.append(token)
        self.parents.append(parent)
        self.seen.append(seen)
        return len(self.tokens) - 1


class RowCache(Cache):
    """Keys and values in slots: slot 0 takes what nobody reads, a row's chain starts at 1."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.keys: list[Tensor] = []
        self.values: list[Tensor] = []
        self.slots: Tensor | None = None  # (batch, time) int64, where to write
        self.used = 0  # slots that are read

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write `(batch, heads, time, head)` keys and values, return all slots in use."""
        if layer_idx == len(self.keys):
            self.keys.append(key_states[:, :, :0])
            self.values.append(value_states[:, :, :0])
        for buffers, states in ((self.keys, key_states), (self.values, value_states)):
            buffer = buffers[layer_idx]
            if buffer.shape[2] < self.used:
                missing = self.used - buffer.shape[2] + GROWTH
                extra = buffer.new_zeros(*buffer.shape[:2], missing, buffer.shape[3])
                buffers[layer_idx] = buffer = torch.cat([buffer, extra], 2)
            if len(buffer) == 1:
                buffer.index_copy_(2, self.slots[0], states)
            else:
                buffer.scatter_(2, self.slots[:, None, :, None].expand_as(states), states)
        return (
            self.keys[layer_idx][:, :, : self.used],
            self.values[layer_idx][:, :, : self.used],
        )

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Say how many slots are in use; positions are always given."""
        del layer_idx
        return self.used


class TreeNetwork:
    """A causal language model with one cache row per text.

    Attributes:
        lengths: tokens kept per row; lower one to rewind.
    """

    def __init__(self, model: PreTrainedModel, batch_size: int, vocab_size: int) -> None:
        self._model = model
        self._quick = quick_forward(model)
        self._vocab_size = vocab_size
        self._cache = RowCache()
        self.lengths = [0] * batch_size

    def keep(self, row: int, count: int) -> None:
        """Keep the first `count` tokens of the last tree of a row; they were a chain."""
        self.lengths[row] += count

    @torch.inference_mode()
    def forward(self, trees: Sequence[Tree], wanted: Sequence[Sequence[int]]) -> Tensor:
        """Compute trees and return the scores behind the wanted tokens.

        Args:
            trees: one per row, empty where there is nothing to do.
            wanted: per row, indices of tokens in its tree.

        Returns:
            `(wanted tokens, vocab)` float32 logits, row after row in the order of `wanted`.

        Raises:
            ControlError: the network gave a score that is no number.
        """
        width = max(len(tree.tokens) for tree in trees)
        batch = len(trees)
        tokens, positions, slots = (np.zeros((batch, width), dtype=np.int64) for _ in range(3))
        used = 1 + max(
            length + len(tree.tokens) for length, tree in zip(self.lengths, trees, strict=True)
        )
        visible = np.zeros((batch, width, used), dtype=bool)
        visible[:, :, 0] = True  # padding reads the slot that nobody else reads
        for row, tree in enumerate(trees):
            count, length = len(tree.tokens), self.lengths[row]
            if not count:
                continue
            tokens[row, :count] = tree.tokens
            slots[row, :count] = np.arange(1 + length, 1 + length + count)
            seen = np.asarray(tree.seen)
            own = ancestors(tree.parents)
            positions[row, :count] = seen + own.sum(1) - 1
            visible[row, :count, 0] = False
            visible[row, :count, 1 : 1 + length] = np.arange(length) < seen[:, None]
            visible[row, :count, 1 + length : 1 + length + count] = own
        places = [(row, each) for row, indices in enumerate(wanted) for each in indices]
        return self._scores(tokens, positions, slots, visible, places)

    def _scores(
        self, tokens: np.ndarray, positions: np.ndarray, slots: np.ndarray, visible: np.ndarray,
        places: list[tuple[int, int]],
    ) -> Tensor:  # fmt: skip
        device, dtype = self._model.device, self._model.dtype
        self._cache.slots = torch.from_numpy(slots).to(device)
        self._cache.used = visible.shape[2]
        mask = torch.zeros(visible.shape, dtype=dtype)
        mask.masked_fill_(torch.from_numpy(~visible), torch.finfo(dtype).min)
        rows, columns = torch.tensor(places, dtype=torch.int64, device=device).reshape(-1, 2).T
        given = (
            torch.from_numpy(tokens).to(device), torch.from_numpy(positions).to(device),
            mask[:, None].to(device),
        )  # fmt: skip
        if self._quick is not None:
            scores = self._quick.scores(self._quick.hidden(*given, self._cache)[rows, columns])
        else:
            scores = self._own_forward(*given, rows, columns)
        scores = scores[:, : self._vocab_size].float()
        if not torch.isfinite(scores.sum()):  # one bad score spoils the sum
            raise ControlError(
                "the controller gave scores that are no numbers",
                hint="Its weights are damaged; choose another controller or train it again.",
            )
        return scores

    def _own_forward(
        self, tokens: Tensor, positions: Tensor, mask: Tensor, rows: Tensor, columns: Tensor
    ) -> Tensor:
        kept, picked = columns.unique(return_inverse=True)
        output = self._model(
            input_ids=tokens, position_ids=positions, attention_mask=mask, use_cache=True,
            logits_to_keep=kept, **{cache_keyword(self._model): self._cache},
        )  # fmt: skip
        return output.logits[rows, picked]


def ancestors(parents: Sequence[int]) -> np.ndarray:
    """Return `(tokens, tokens)` bool: which tokens of a tree lie on the way to each, itself too.

    >>> ancestors([-1, 0, 0]).astype(int).tolist()
    [[1, 0, 0], [1, 1, 0], [1, 0, 1]]
    """
    count = len(parents)
    if list(parents) == list(range(-1, count - 1)):
        return np.tri(count, dtype=bool)
    table = np.zeros((count, count), dtype=bool)
    for index, parent in enumerate(parents):
        if parent >= 0:
            table[index] = table[parent]
        table[index, index] = True
    return table
