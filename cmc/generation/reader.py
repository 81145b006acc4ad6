"""Delta and prior over the followers' texts, computing only what is new."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmc.controller import Controller
from cmc.generation.follower import Follower
from cmc.generation.layout import Tree, lay_out
from cmc.generation.network import TreeNetwork


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
            TreeNetwork(network, vocabulary.size) for network in networks if network is not None
        ]
        self._lengths = [0] * len(prompts)  # tokens kept per row
        self._chains: list[list[int]] = [[] for _ in prompts]
        self._known: list[dict[int, Scores]] = [{} for _ in prompts]

    def advance(self, rows: Sequence[int]) -> None:
        """Read what the followers of these rows added; the rest keeps its place."""
        trees = [Tree() for _ in self.followers]
        wanted: list[list[int]] = [[] for _ in self.followers]
        for row in rows:
            chain, root = self.chain(row), self.root(row)
            kept = self._common(row, chain, root)
            self._lengths[row] = kept
            self._known[row] = {i: s for i, s in self._known[row].items() if root <= i < kept}
            for number, token in enumerate(chain[kept:]):
                trees[row].add(token, number - 1, kept)
            wanted[row] = [i - kept for i in range(max(root, kept), len(chain))]
            self._chains[row] = chain
        if not any(wanted):
            return
        scores = iter(self._forward(trees, wanted))
        for row in rows:
            kept = self._lengths[row]
            self._lengths[row] += len(trees[row].tokens)
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
        layout = lay_out(trees, wanted, self._lengths)
        delta, *prior = (network.forward(layout) for network in self._networks)
        if not prior:
            return [Scores(each, None) for each in torch.unbind(delta)]
        pairs = zip(torch.unbind(delta), torch.unbind(prior[0]), strict=True)
        return [Scores(*pair) for pair in pairs]


class TextReader:
    """The networks of one controller over all beginnings of one text, read in one go.

    It stands for a `Reader` with a row per beginning: the chains of all of them form one tree,
    which is computed once and kept for what is asked beside it.

    Attributes:
        controller: whose networks they are.
        followers: one per beginning of the part that is turned to, the shortest first.
    """

    def __init__(
        self, controller: Controller, followers: Sequence[Follower], use_prior: bool
    ) -> None:
        self.controller = controller
        self._all = self.followers = list(followers)
        networks = [controller.delta, controller.prior if use_prior else None]
        size = controller.vocabulary.size
        self._networks = [None if each is None else TreeNetwork(each, size) for each in networks]
        self._tree = Tree()
        index: dict[tuple[int, int], int] = {}
        self._all_paths = [self._plant(self.chain(row), index) for row in range(len(followers))]
        self._paths = self._all_paths
        self._known: dict[int, Scores] = {}

    def turn_to(self, start: int, stop: int) -> None:
        """Let row 0 be the beginning number `start`."""
        self.followers, self._paths = self._all[start:stop], self._all_paths[start:stop]

    def _plant(self, chain: Sequence[int], index: dict[tuple[int, int], int]) -> list[int]:
        path, parent = [], -1
        for token in chain:
            node = index.get((parent, token))
            if node is None:
                node = index[parent, token] = self._tree.add(token, parent, 0)
            path.append(node)
            parent = node
        return path

    def advance(self, rows: Sequence[int]) -> None:
        """Read all there is, the first time."""
        del rows
        if self._known:
            return
        roots = [len(each.ids) - 1 for each in self._all]
        needed = {n for at, path in zip(roots, self._all_paths, strict=True) for n in path[at:]}
        wanted = sorted(needed)
        self._known = dict(zip(wanted, self._forward(self._tree, wanted), strict=True))

    def chain(self, row: int) -> list[int]:
        """Return committed and pending tokens of a beginning."""
        return self.followers[row].ids + self.followers[row].trunk

    def root(self, row: int) -> int:
        """Return the index of the last committed token of a beginning."""
        return len(self.followers[row].ids) - 1

    def at(self, row: int, index: int) -> Scores:
        """Return what is said behind token `index` of a chain, from `root` on."""
        return self._known[self._paths[row][index]]

    def branches(self, trees: Sequence[Tree]) -> list[Scores]:
        """Compute trees beside the chains; row after row, token by token."""
        whole = Tree(list(self._tree.tokens), list(self._tree.parents), list(self._tree.seen))
        wanted = []
        for row, tree in enumerate(trees):
            first = len(whole.tokens)
            for token, parent, seen in zip(tree.tokens, tree.parents, tree.seen, strict=True):
                behind = self._paths[row][seen - 1] if parent < 0 else first + parent
                wanted.append(whole.add(token, behind, 0))
        return self._forward(whole, wanted, len(self._tree.tokens))

    def _forward(self, tree: Tree, wanted: Sequence[int], done: int = 0) -> list[Scores]:
        """Compute what stands behind the first `done` tokens of a tree, which are kept."""
        if not wanted:
            return []
        layout = lay_out([tree], [wanted], [0]).behind(done)
        found = [None if each is None else each.forward(layout) for each in self._networks]
        delta, prior = (each if each is None else torch.unbind(each) for each in found)
        return [Scores(d, p) for d, p in zip(delta, prior or [None] * len(delta), strict=True)]
