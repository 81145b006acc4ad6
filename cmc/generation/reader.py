"""Delta and prior over the followers' texts, computing only what is new."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmc.controller import Controller
from cmc.generation.follower import Follower
from cmc.generation.network import Tree, TreeNetwork


@dataclass
class Scores:
    """What the two networks say behind one token: `(vocab,)` float32 logits each."""

    delta: Tensor
    prior: Tensor | None


class Reader:
    """The networks of one controller, one row per text.

    Attributes:
        controller: whose networks they are.
        followers: per row; whoever owns the reader pushes the text into them.
        computed: number of tokens the delta has read, for measuring.
    """

    def __init__(self, controller: Controller, prompts: Sequence[str], use_prior: bool) -> None:
        vocabulary = controller.vocabulary
        self.controller = controller
        self.followers = [
            Follower(vocabulary, vocabulary.encode_prompt(prompt), controller.context)
            for prompt in prompts
        ]
        networks = [controller.delta] + ([controller.prior] if use_prior else [])
        self._networks = [
            TreeNetwork(network, len(prompts), vocabulary.size)
            for network in networks
            if network is not None
        ]
        self._chains: list[list[int]] = [[] for _ in prompts]
        self._known: list[dict[int, Scores]] = [{} for _ in prompts]
        self.computed = 0

    def advance(self, rows: Sequence[int]) -> None:
        """Read what the followers of these rows added; the rest keeps its place."""
        trees = [Tree() for _ in self.followers]
        wanted: list[list[int]] = [[] for _ in self.followers]
        for row in rows:
            chain, root = self.chain(row), self.root(row)
            kept = self._common(row, chain, root)
            for network in self._networks:
                network.lengths[row] = kept
            self._known[row] = {i: s for i, s in self._known[row].items() if root <= i < kept}
            for number, token in enumerate(chain[kept:]):
                trees[row].add(token, number - 1, kept)
            wanted[row] = [i - kept for i in range(max(root, kept), len(chain))]
            self._chains[row] = chain
        if not any(wanted):
            return
        scores = iter(self._forward(trees, wanted))
        for row in rows:
            kept = len(self._chains[row]) - len(trees[row].tokens)
            for network in self._networks:
                network.keep(row, len(trees[row].tokens))
            for index in wanted[row]:
                self._known[row][kept + index] = next(scores)

    def chain(self, row: int) -> list[int]:
        """Return committed and pending tokens of a row."""
        follower = self.followers[row]
        return follower.ids + follower.trunk

    def root(self, row: int) -> int:
        """Return the index of the last committed token of a row."""
        return len(self.followers[row].ids) - 1

    def at(self, row: int, index: int) -> Scores:
        """Return what is said behind token `index` of a row's chain, from `root` on."""
        return self._known[row][index]

    def branches(self, trees: Sequence[Tree]) -> list[Scores]:
        """Compute trees beside the chains without keeping them; row after row, token by token."""
        return self._forward(trees, [range(len(tree.tokens)) for tree in trees])

    def _common(self, row: int, chain: list[int], root: int) -> int:
        """Return how many tokens of a chain need no second reading."""
        old, known = self._chains[row], self._known[row]
        common = 0
        for before, now in zip(old, chain, strict=False):
            if before != now:
                break
            common += 1
        missing = [index for index in range(root, common) if index not in known]
        return min([common, *missing])

    def _forward(self, trees: Sequence[Tree], wanted: Sequence[Sequence[int]]) -> list[Scores]:
        if not any(wanted):
            return []
        self.computed += sum(len(tree.tokens) for tree in trees)
        delta, *prior = (network.forward(trees, wanted) for network in self._networks)
        if not prior:
            return [Scores(each, None) for each in torch.unbind(delta)]
        pairs = zip(torch.unbind(delta), torch.unbind(prior[0]), strict=True)
        return [Scores(*pair) for pair in pairs]
