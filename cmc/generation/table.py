"""Log-probabilities of prior and tuned distribution at the nodes of one step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmc.generation.reader import Scores
from cmc.generation.spelling import Reach

FLOOR = 1e-14  # probability below which the difference of running sums is rounding noise


@dataclass(frozen=True)
class Term:
    """One part of P(text): walk to a node, then any token of a set.

    Attributes:
        node: where the walk ends.
        steps: nodes and tokens on the way.
        reach: the set of tokens.
    """

    node: int
    steps: tuple[tuple[int, int], ...]
    reach: Reach


class Table:
    """Rows are nodes, columns the controller's tokens, both distributions side by side.

    Kept in float64: sums over intervals are differences of running sums.
    """

    def __init__(self, scores: Sequence[Scores], strengths: Sequence[float], order: Tensor) -> None:
        """Tune the scores of every node at its own strength.

        Args:
            scores: one per node.
            strengths: one per node.
            order: `(spelled,)` token ids in the order of their bytes.
        """
        self._order = order.to(scores[0].delta.device)
        self._both = _mixed(scores, strengths)  # (2, nodes, vocab)
        self._sums = self._running(self._both)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return self._both.shape[1]

    def extend(self, scores: Sequence[Scores], strengths: Sequence[float]) -> None:
        """Add nodes."""
        if scores:
            both = _mixed(scores, strengths)
            self._both = torch.cat([self._both, both], 1)
            self._sums = torch.cat([self._sums, self._running(both)], 1)

    def best(self, node: int, start: int, end: int, count: int) -> list[int]:
        """Return the likeliest tuned tokens of an interval of the sorted tokens."""
        if count == 0 or end <= start:
            return []
        ids = self._order[start:end]
        return ids[self._both[1, node, ids].topk(min(count, end - start)).indices].tolist()

    def log_probabilities(self, questions: Sequence[Sequence[Term]]) -> Tensor:
        """Return `(questions, 2)` log P of texts under prior and tuned distribution.

        A text without terms is empty and has probability 1.
        """
        device = self._both.device
        terms = [term for each in questions for term in each]
        sums = torch.zeros(2, len(questions), dtype=torch.float64, device=device)
        if not terms:
            return sums.T
        owners = torch.tensor(
            [number for number, each in enumerate(questions) for _ in each], device=device
        )
        values = self._reached(terms)
        steps = [(i, *step) for i, term in enumerate(terms) for step in term.steps]
        if steps:
            at, nodes, tokens = torch.tensor(steps, device=device).unbind(1)
            values = values.index_add(1, at, self._both[:, nodes, tokens])
        total = _grouped_logsumexp(values, owners, len(questions))
        answered = torch.zeros(len(questions), dtype=torch.bool, device=device)
        answered[owners] = True
        return torch.where(answered, total, sums).T

    def path_gain(self, nodes: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Return log q - log p of walking `tokens` from node to node."""
        walked = self._both[:, list(nodes), list(tokens)].sum(1)
        return walked[1] - walked[0]

    def set_gain(self, node: int, tokens: Sequence[int]) -> Tensor:
        """Return log q - log p of any of `tokens` at a node."""
        sums = torch.logsumexp(self._both[:, node, list(tokens)], -1)
        return sums[1] - sums[0]

    def _reached(self, terms: Sequence[Term]) -> Tensor:
        """Return `(2, terms)` log-probabilities of the sets of tokens."""
        device = self._both.device
        values = torch.full((2, len(terms)), float("-inf"), dtype=torch.float64, device=device)
        listed = [i for i, term in enumerate(terms) if term.reach.listed is not None]
        if listed:
            owners, nodes, ids = self._flat([terms[i] for i in listed], "listed")
            logs = _grouped_logsumexp(self._both[:, nodes, ids], owners, len(listed))
            values[:, listed] = logs
        wide = [i for i, term in enumerate(terms) if term.reach.listed is None]
        if wide:
            values[:, wide] = self._intervals([terms[i] for i in wide])
        return values

    def _intervals(self, terms: Sequence[Term]) -> Tensor:
        places = [(term.node, term.reach.start, term.reach.end) for term in terms]
        nodes, starts, ends = torch.tensor(places, device=self._both.device).unbind(1)
        sums = self._sums[:, nodes, ends] - self._sums[:, nodes, starts]
        owners, nodes, ids = self._flat(terms, "excluded")
        sums = sums.index_add(1, owners, -self._both[:, nodes, ids].exp())
        return sums.clamp_min(FLOOR).log()

    def _flat(self, terms: Sequence[Term], which: str) -> tuple[Tensor, Tensor, Tensor]:
        """Line up the token sets of all terms: owner, node and token of every entry."""
        device = self._both.device
        sets = [getattr(term.reach, which) for term in terms]
        lengths = torch.tensor([len(each) for each in sets], device=device)
        owners = torch.repeat_interleave(torch.arange(len(terms), device=device), lengths)
        nodes = torch.tensor([term.node for term in terms], device=device)[owners]
        return owners, nodes, torch.cat(sets).to(device)

    def _running(self, both: Tensor) -> Tensor:
        sums = both[:, :, self._order].exp().cumsum(-1)
        return torch.nn.functional.pad(sums, (1, 0))


def _grouped_logsumexp(values: Tensor, owners: Tensor, groups: int) -> Tensor:
    """Return `(2, groups)` log-sum-exp of `(2, entries)` values by owner; -inf for none."""
    empty = torch.full((2, groups), float("-inf"), dtype=values.dtype, device=values.device)
    top = empty.scatter_reduce(1, owners.expand(2, -1), values, "amax")
    finite = top.clamp_min(-1e300)  # -inf - -inf is no number
    parts = (values - finite[:, owners]).exp()
    return finite + torch.zeros_like(top).index_add(1, owners, parts).log()


def _mixed(scores: Sequence[Scores], strengths: Sequence[float]) -> Tensor:
    """Return `(2, nodes, vocab)` log-probabilities: the prior, and the prior tuned."""
    delta = torch.stack([each.delta for each in scores]).double()
    if scores[0].prior is None:
        prior = torch.log_softmax(torch.zeros_like(delta), -1)
    else:
        prior = torch.log_softmax(torch.stack([each.prior for each in scores]).double(), -1)
    strength = torch.tensor(strengths, dtype=torch.float64, device=delta.device)
    return torch.stack([prior, torch.log_softmax(prior + strength[:, None] * delta, -1)])
