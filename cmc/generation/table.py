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

    Scores stay as the networks gave them; what is asked of them is worked out in float64, as sums
    over intervals are differences of running sums, and those only at nodes where one is asked.
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
        self._sums: dict[int, Tensor] = {}  # per node (2, spelled + 1)

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
            owners, nodes, ids = self._flat([terms[i] for i in listed], "listed")
            logs = _grouped_logsumexp(self._logprobs(nodes, ids), owners, len(listed))
            values[:, listed] = logs
        wide = [i for i, term in enumerate(terms) if term.reach.listed is None]
        if wide:
            values[:, wide] = self._intervals([terms[i] for i in wide])
        return values

    def _intervals(self, terms: Sequence[Term]) -> Tensor:
        device = self._logits.device
        asked = {term.node: None for term in terms}
        place_of = {node: place for place, node in enumerate(asked)}
        running = torch.stack([self._running(node) for node in asked])
        places = [(place_of[term.node], term.reach.start, term.reach.end) for term in terms]
        at, starts, ends = torch.tensor(places, device=device).unbind(1)
        sums = (running[at, :, ends] - running[at, :, starts]).T
        owners, nodes, ids = self._flat(terms, "excluded")
        sums = sums.index_add(1, owners, -self._logprobs(nodes, ids).exp())
        return sums.clamp_min(FLOOR).log()

    def _flat(self, terms: Sequence[Term], which: str) -> tuple[Tensor, Tensor, Tensor]:
        """Line up the token sets of all terms: owner, node and token of every entry."""
        device = self._logits.device
        sets = [getattr(term.reach, which) for term in terms]
        lengths = torch.tensor([len(each) for each in sets], device=device)
        owners = torch.repeat_interleave(torch.arange(len(terms), device=device), lengths)
        nodes = torch.tensor([term.node for term in terms], device=device)[owners]
        return owners, nodes, torch.cat(sets).to(device)

    def _running(self, node: int) -> Tensor:
        sums = self._sums.get(node)
        if sums is None:
            logprobs = self._logits[:, node, self._order] - self._norms[:, node, None].float()
            sums = torch.nn.functional.pad(logprobs.exp().double().cumsum(-1), (1, 0))
            self._sums[node] = sums
        return sums


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
