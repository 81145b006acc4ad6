"""Trees of tokens laid out for one forward: every row has its own length and rewinds for free."""

from collections.abc import Sequence
from dataclasses import dataclass, field, fields

import numpy as np
import torch
from torch import Tensor
from transformers.cache_utils import Cache

GROWTH = 256  # slots by which a cache grows
FAR = torch.finfo(torch.float32).min  # what hides a slot from attention


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


@dataclass(frozen=True)
class Layout:
    """Trees of all rows as one forward reads them; a row's chain lies in slots 1, 2, … of a cache.

    Attributes:
        tokens, positions, rows, slots: `(tokens,)` int64, row after row.
        columns: `(tokens,)` int64, the place of each in the tree of its row.
        mask: `(batch, 1, width, slots)` float32, added to attention scores.
        wanted: int64, the indices of the tokens behind which scores are wanted.
    """

    tokens: Tensor
    positions: Tensor
    rows: Tensor
    slots: Tensor
    columns: Tensor
    mask: Tensor
    wanted: Tensor

    @property
    def is_full(self) -> bool:
        """Whether all rows have trees of the same size."""
        return len(self.tokens) == self.mask.shape[0] * self.mask.shape[2]

    def to(self, device: torch.device) -> "Layout":
        """Return the same on a device."""
        if self.tokens.device == device:
            return self
        return Layout(**{each.name: getattr(self, each.name).to(device) for each in fields(self)})

    def behind(self, done: int) -> "Layout":
        """Return what stands behind the first `done` tokens of a single row; those are kept."""
        names = ("tokens", "positions", "rows", "slots")
        rest = {name: getattr(self, name)[done:] for name in names}
        return Layout(
            **rest, columns=self.columns[done:] - done, mask=self.mask[:, :, done:],
            wanted=self.wanted - done,
        )  # fmt: skip

    def padded(self, values: Tensor) -> Tensor:
        """Return `(batch, width, …)` of `(tokens, …)`, 0 where a row has no token."""
        batch, width = self.mask.shape[0], self.mask.shape[2]
        if self.is_full:
            return values.view(batch, width, *values.shape[1:])
        table = values.new_zeros(batch, width, *values.shape[1:])
        table[self.rows, self.columns] = values
        return table

    def flat(self, table: Tensor) -> Tensor:
        """Return `(tokens, …)` of `(batch, width, …)`."""
        return table.flatten(0, 1) if self.is_full else table[self.rows, self.columns]


def lay_out(
    trees: Sequence[Tree], wanted: Sequence[Sequence[int]], lengths: Sequence[int]
) -> Layout:
    """Lay out one tree per row behind what its row keeps.

    Args:
        trees: empty where there is nothing to do.
        wanted: per row, indices of tokens in its tree.
        lengths: tokens kept per row.
    """
    counts = [len(tree.tokens) for tree in trees]
    width = max(counts)
    used = 1 + max(length + count for length, count in zip(lengths, counts, strict=True))
    visible = np.zeros((len(trees), width, used), dtype=bool)
    visible[:, :, 0] = True  # padding reads the slot that nobody else reads
    positions, places = [], []
    for row, (tree, count, length) in enumerate(zip(trees, counts, lengths, strict=True)):
        places += [sum(counts[:row]) + each for each in wanted[row]]
        if not count:
            continue
        seen, own = np.asarray(tree.seen), ancestors(tree.parents)
        positions.append(seen + own.sum(1) - 1)
        visible[row, :count, 0] = False
        visible[row, :count, 1 : 1 + length] = np.arange(length) < seen[:, None]
        visible[row, :count, 1 + length : 1 + length + count] = own
    columns = np.concatenate([np.arange(count) for count in counts])
    rows = np.repeat(np.arange(len(trees)), counts)
    mask = torch.zeros(visible.shape).masked_fill_(torch.from_numpy(~visible), FAR)
    whole = (
        [token for tree in trees for token in tree.tokens], np.concatenate(positions), rows,
        1 + columns + np.asarray(lengths)[rows], columns,
    )  # fmt: skip
    tokens, *others = (torch.from_numpy(np.asarray(each, dtype=np.int64)) for each in whole)
    return Layout(tokens, *others, mask[:, None], torch.tensor(places, dtype=torch.int64))


class RowCache(Cache):
    """Keys and values in slots: slot 0 takes what nobody reads, a row's chain starts at 1."""

    def __init__(self) -> None:
        super().__init__(layers=[])
        self.keys: list[Tensor] = []  # per layer (batch, heads, slots, head)
        self.values: list[Tensor] = []
        self.layout: Layout | None = None  # of the forward in progress

    def write(self, layer: int, keys: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
        """Write `(tokens, heads, head)` keys and values, return all slots in use."""
        layout, both = self.layout, []
        batch, used = layout.mask.shape[0], layout.mask.shape[3]
        for buffers, states in ((self.keys, keys), (self.values, values)):
            if layer == len(buffers):
                buffers.append(states.new_zeros(batch, states.shape[1], 0, states.shape[2]))
            buffer = buffers[layer]
            if buffer.shape[2] < used:
                missing = used - buffer.shape[2] + GROWTH
                extra = buffer.new_zeros(*buffer.shape[:2], missing, buffer.shape[3])
                buffers[layer] = buffer = torch.cat([buffer, extra], 2)
            if batch == 1:
                buffer.index_copy_(2, layout.slots, states.transpose(0, 1)[None])
            else:
                buffer[layout.rows, :, layout.slots] = states
            both.append(buffer[:, :, :used])
        return both[0], both[1]

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: object, **__: object
    ) -> tuple[Tensor, Tensor]:
        """Write `(batch, heads, width, head)` keys and values, return all slots in use."""
        keys, values = (
            self.layout.flat(each.transpose(1, 2)) for each in (key_states, value_states)
        )
        return self.write(layer_idx, keys, values)

    def get_seq_length(self, layer_idx: int = 0) -> int:
        """Say how many slots are in use; positions are always given."""
        del layer_idx
        return self.layout.mask.shape[3]


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
