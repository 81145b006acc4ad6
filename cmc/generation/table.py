"""Log-probabilities of prior and tuned distribution at the nodes of one step."""

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from cmc.generation.reader import Scores
from cmc.generation.spelling import Reach

# Share of what is known to fit below which the tokens that were not tried may stay untried.
SLIGHT = 1e-2
CHUNK = 64  # tokens that are looked at together


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

    Scores stay as the networks gave them; what is asked of them is worked out in float64.
    """

    def __init__(self, scores: Sequence[Scores], strengths: Sequence[float], order: Tensor) -> None:
        """Tune the scores of every node at its own strength.

        Args:
            scores: one per node.
            strengths: one per node.
            order: `(spelled,)` token ids in the order of their bytes.
        """
        self._order = order.to(scores[0].delta.device)
        self._logits = _mixed(scores, strengths)  # (2, nodes, vocab)
        self._norms = _norms(self._logits)  # (2, nodes)

    @property
    def size(self) -> int:
        """Number of nodes."""
        return self._logits.shape[1]

    def extend(self, scores: Sequence[Scores], strengths: Sequence[float]) -> None:
        """Add nodes."""
        if scores:
            logits = _mixed(scores, strengths)
            self._logits = torch.cat([self._logits, logits], 1)
            self._norms = torch.cat([self._norms, _norms(logits)], 1)

    def best(self, node: int, start: int, end: int, count: int, margin: float) -> list[int]:
        """Return the likeliest tuned tokens of an interval of the sorted tokens.

        Tokens more than `margin` nats below the likeliest of all are left out.
        """
        if count == 0 or end <= start:
            return []
        tuned, ids = self._logits[1, node], self._order[start:end]
        found = tuned[ids].topk(min(count, end - start))
        return ids[found.indices[found.values >= tuned.amax() - margin]].tolist()

    def log_probabilities(self, questions: Sequence[Sequence[Term]]) -> Tensor:
        """Return `(2, questions)` log P of texts under prior and tuned distribution.

        A text without terms has probability 0.
        """
        terms = [term for each in questions for term in each]
        if not terms:
            shape = (2, len(questions))
            return torch.full(shape, float("-inf"), dtype=torch.float64, device=self._logits.device)
        owners = [number for number, each in enumerate(questions) for _ in each]
        values = self._reached(terms) + self.walked([term.steps for term in terms])
        return _grouped_logsumexp(
            values, torch.tensor(owners, device=values.device), len(questions)
        )

    def walked(self, walks: Sequence[Sequence[tuple[int, int]]]) -> Tensor:
        """Return `(2, walks)` log-probabilities of walking from node to node by tokens."""
        device = self._logits.device
        sums = torch.zeros(2, len(walks), dtype=torch.float64, device=device)
        steps = [(number, *step) for number, walk in enumerate(walks) for step in walk]
        if not steps:
            return sums
        at, nodes, tokens = torch.tensor(steps, device=device).unbind(1)
        return sums.index_add(1, at, self._logprobs(nodes, tokens))

    def path_gain(self, steps: Sequence[tuple[int, int]]) -> Tensor:
        """Return log q - log p of walking from node to node by tokens."""
        walked = self.walked([steps])[:, 0]
        return walked[1] - walked[0]

    def set_gain(self, node: int, tokens: Sequence[int]) -> Tensor:
        """Return log q - log p of any of `tokens` at a node."""
        sums = torch.logsumexp(self._logprobs([node] * len(tokens), list(tokens)), -1)
        return sums[1] - sums[0]

    def _logprobs(self, nodes: Tensor | list[int], tokens: Tensor | list[int]) -> Tensor:
        """Return `(2, entries)` log-probabilities of single tokens."""
        return self._logits[:, nodes, tokens].double() - self._norms[:, nodes]

    def _reached(self, terms: Sequence[Term]) -> Tensor:
        """Return `(2, terms)` log-probabilities of the sets of tokens."""
        device = self._logits.device
        values = torch.full((2, len(terms)), float("-inf"), dtype=torch.float64, device=device)
        listed = [i for i, term in enumerate(terms) if term.reach.listed is not None]
        if listed:
            owners, nodes, ids = self._flat([terms[i] for i in listed])
            logs = _grouped_logsumexp(self._logprobs(nodes, ids), owners, len(listed))
            values[:, listed] = logs
        for i, term in enumerate(terms):
            if term.reach.listed is None:
                values[:, i] = self._in_interval(term.node, term.reach)
        return values

    def _in_interval(self, node: int, reach: Reach) -> Tensor:
        """Return `(2,)` log-probability of an interval's tokens that fit."""
        ids = self._order[reach.start : reach.end]
        logs = self._logits[:, node, ids].double() - self._norms[:, node, None]
        if reach.fits is not None:
            logs = logs[:, _fitting(logs, reach)]
        return torch.logsumexp(logs, -1)

    def _flat(self, terms: Sequence[Term]) -> tuple[Tensor, Tensor, Tensor]:
        """Line up the listed tokens of all terms: owner, node and token of every entry."""
        device = self._logits.device
        lengths = torch.tensor([len(term.reach.listed) for term in terms], device=device)
        owners = torch.repeat_interleave(torch.arange(len(terms), device=device), lengths)
        nodes = torch.tensor([term.node for term in terms], device=device)[owners]
        return owners, nodes, torch.cat([term.reach.listed for term in terms]).to(device)


def _fitting(logs: Tensor, reach: Reach) -> list[int]:
    """Return the places that fit among `(2, tokens)` log-probabilities of an interval.

    They are tried from the likeliest on, until all the others together hardly count.
    """
    shares, kept = torch.softmax(logs, -1), list(range(reach.exact))
    fitting = shares[:, : reach.exact].sum(-1).tolist()
    left = [1 - each for each in fitting]
    order = shares[:, reach.exact :].amax(0).argsort(descending=True) + reach.exact
    for some in order.split(CHUNK):
        for place, (p, q) in zip(some.tolist(), shares[:, some].T.tolist(), strict=True):
            left = [left[0] - p, left[1] - q]
            if reach.fits(reach.start + place):
                kept.append(place)
                fitting = [fitting[0] + p, fitting[1] + q]
            if left[0] <= SLIGHT * fitting[0] and left[1] <= SLIGHT * fitting[1]:
                return kept
    return kept


def _grouped_logsumexp(values: Tensor, owners: Tensor, groups: int) -> Tensor:
    """Return `(2, groups)` log-sum-exp of `(2, entries)` values by owner; -inf for none."""
    empty = torch.full((2, groups), float("-inf"), dtype=values.dtype, device=values.device)
    top = empty.scatter_reduce(1, owners.expand(2, -1), values, "amax")
    finite = top.clamp_min(-1e300)  # -inf - -inf is no number
    parts = (values - finite[:, owners]).exp()
    return finite + torch.zeros_like(top).index_add(1, owners, parts).log()


def _mixed(scores: Sequence[Scores], strengths: Sequence[float]) -> Tensor:
    """Return `(2, nodes, vocab)` logits: the prior's, and the prior's tuned."""
    delta = torch.stack([each.delta for each in scores])
    strength = torch.tensor(strengths, dtype=delta.dtype, device=delta.device)
    # A controller's scores carry a constant that training cannot see; it may be large.
    control = strength[:, None] * (delta - delta.amax(-1, keepdim=True))
    if scores[0].prior is None:
        return torch.stack([torch.zeros_like(delta), control])
    prior = torch.stack([each.prior for each in scores])
    return torch.stack([prior, prior + control])


def _norms(logits: Tensor) -> Tensor:
    return torch.logsumexp(logits, -1).double()
