"""`cover`: carry a change of the distribution over text, whatever the tokens.

The tuned distribution over the controller's tokens is q ~ p exp(strength x d), with p the prior
and d the delta's logits. The probability that the text goes on with bytes b sums over where the
controller's tokenization t of b is left by one token that reaches beyond it:

    P(b) = sum_j [ prod_{i<j} P(t_i) ] x sum over tokens u that begin with the rest of b: P(u)

The control of target token w behind the pending bytes s is log q(s+w)/q(s) - log p(s+w)/p(s).
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cmc.controller import Controller
from cmc.generation.network import Tree
from cmc.generation.reader import Reader, Scores
from cmc.settings import CoverSettings
from cmc.vocab import PrefixIndex, Vocabulary
from cmc.vocab.canonical import split_incomplete

NARROW = 16  # tokens of an interval up to which it is summed one by one
FLOOR = 1e-14  # probability below which a wide interval's sum is rounding noise


@dataclass
class _Row:
    """What is asked about one text in one step: a tree of nodes and sums at them."""

    number: int
    strength: float
    root: int
    pending: bytes
    trunk: list[int]
    nodes: dict[tuple[int, ...], int] = field(default_factory=dict)  # path to node of the step
    tree: Tree = field(default_factory=Tree)
    tree_paths: list[tuple[int, ...]] = field(default_factory=list)
    texts: list[bytes] = field(default_factory=list)  # what is summed; the pending bytes first
    candidates: dict[int, int] = field(default_factory=dict)  # target id to index in `texts`


class CoverControl:
    """One controller's control of a batch of texts in a target's vocabulary."""

    transfer = "cover"

    def __init__(
        self, controller: Controller, target: Vocabulary, prompts: Sequence[str],
        strengths: Sequence[float], settings: CoverSettings,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._target = target
        self._vocabulary = controller.vocabulary
        self._index = PrefixIndex(controller.vocabulary)
        self._order = torch.from_numpy(self._index.order)
        self._strengths = list(strengths)
        self.reader = Reader(controller, prompts, settings.use_prior)
        self._coverings: dict[bytes, tuple[tuple[int, ...], int]] = {}
        self._prefix_ids: dict[bytes, list[int]] = {}

    def push(self, row: int, token_id: int) -> None:
        """Tell that the target went on with a token."""
        spelled = self._target.token_bytes[token_id] if token_id < self._target.size else None
        if spelled:
            self.reader.followers[row].push_bytes(spelled)

    def control(
        self, logits: Tensor, rows: Sequence[int], forced: Sequence[int] | None = None
    ) -> Tensor:
        """Return strength x shift.

        Args:
            logits: `(batch, vocab)` scores so far, from which the favourites are proposed.
            rows: texts to control, the others get 0.
            forced: per row of the batch, a target id that must be scored exactly.

        Returns:
            `(batch, vocab)` in nats. Tokens that were not scored get the least of what was, so
            none gains against one that was.
        """
        control = torch.zeros_like(logits)
        if not rows:
            return control
        self.reader.advance(rows)
        asked = [self._start(row) for row in rows]
        table = _Table([s for each in asked for s in self._trunk_scores(each)], self._order)
        table.set_tuned([each.strength for each in asked for _ in range(len(each.trunk) + 1)])
        favourites = logits[list(rows)].topk(min(self._settings.target_candidates, logits.shape[1]))
        for each, tokens in zip(asked, favourites.indices.tolist(), strict=True):
            extra = [] if forced is None else [forced[each.number]]
            self._propose(each, table, [*tokens, *extra])
        self._grow(asked, table)
        for each in asked:
            self._fill(control[each.number], each, table)
        return control

    def _start(self, row: int) -> _Row:
        follower = self.reader.followers[row]
        root, trunk = self.reader.root(row), follower.trunk
        return _Row(row, self._strengths[row], root, follower.pending, trunk)

    def _trunk_scores(self, asked: _Row) -> list[Scores]:
        return [
            self.reader.at(asked.number, asked.root + depth)
            for depth in range(len(asked.trunk) + 1)
        ]

    def _propose(self, asked: _Row, table: "_Table", favourites: Sequence[int]) -> None:
        """Collect candidates from both sides and note what must be summed for them."""
        offset = table.claim(asked)
        asked.texts.append(asked.pending)
        wanted = dict.fromkeys(each for each in favourites if self._spelling(each))
        spelled = 0
        for depth in range(len(asked.trunk) + 1):
            rest = asked.pending[spelled:]
            start, end = self._index.interval(rest)
            for token in table.best(
                offset + depth, start, end, self._settings.controller_candidates
            ):
                more = (self._vocabulary.token_bytes[token] or b"")[len(rest) :]
                wanted |= dict.fromkeys(self._beginnings(more))
            if depth < len(asked.trunk):
                spelled += len(self._vocabulary.token_bytes[asked.trunk[depth]] or b"")
        for token_id in wanted:
            asked.candidates[token_id] = len(asked.texts)
            asked.texts.append(asked.pending + self._spelling(token_id))

    def _spelling(self, token_id: int) -> bytes:
        return (self._target.token_bytes[token_id] or b"") if token_id < self._target.size else b""

    def _beginnings(self, data: bytes) -> list[int]:
        """Return the target tokens with which `data` can begin."""
        found = self._prefix_ids.get(data)
        if found is None:
            ids = self._target.id_of_bytes
            ends = range(1, len(data) + 1)
            found = [ids[data[:end]] for end in ends if data[:end] in ids]
            self._prefix_ids[data] = found
        return found

    def covering(self, data: bytes) -> tuple[tuple[int, ...], int]:
        """Return the controller's tokens of bytes, and how many bytes they and a last one spell.

        A character the controller cannot spell ends the covering: what comes after it says
        nothing.
        """
        found = self._coverings.get(data)
        if found is None:
            found = self._cover(data)
            if len(self._coverings) > 100_000:
                self._coverings.clear()
            self._coverings[data] = found
        return found

    def _cover(self, data: bytes) -> tuple[tuple[int, ...], int]:
        text, rest = split_incomplete(data)
        ids: list[int] = []
        done = 0
        for token in self._vocabulary.encode_continuation(text.encode()):
            spelled = self._vocabulary.token_bytes[token]
            if not spelled or not data.startswith(spelled, done):
                return tuple(ids), done
            ids.append(token)
            done += len(spelled)
        start, end = self._index.interval(rest)
        return tuple(ids), done + len(rest) if rest and end > start else done

    def _grow(self, asked: Sequence[_Row], table: "_Table") -> None:
        """Compute the nodes that candidates need beside the trunks, all rows in one forward."""
        trees = [Tree() for _ in self.reader.followers]
        for each in asked:
            for text in each.texts:
                self._plant(each, text)
            trees[each.number] = each.tree
        scores = self.reader.branches(trees)
        order = sorted(asked, key=lambda each: each.number)
        paths = [(each, path) for each in order for path in each.tree_paths]
        table.extend(scores, [each.strength for each, _ in paths])
        for node, (each, path) in enumerate(paths, table.size - len(paths)):
            each.nodes[path] = node

    def _plant(self, asked: _Row, text: bytes) -> None:
        ids, length = self.covering(text)
        spelled = sum(len(self._vocabulary.token_bytes[each] or b"") for each in ids)
        needed = len(ids) if length > spelled else len(ids) - 1
        for depth in range(1, needed + 1):
            path = ids[:depth]
            if path in asked.nodes:
                continue
            planted = path[:-1] in asked.nodes and asked.nodes[path[:-1]] < 0
            parent = -1 - asked.nodes[path[:-1]] if planted else -1
            seen = asked.tree.seen[parent] if planted else asked.root + depth
            index = asked.tree.add(path[-1], parent, seen)
            asked.nodes[path] = -1 - index  # a place in the tree until the scores are there
            asked.tree_paths.append(path)

    def _fill(self, control: Tensor, asked: _Row, table: "_Table") -> None:
        """Write one row's control: candidates, the end of the text, and all the others."""
        sums = table.log_probabilities([self._terms(asked, text) for text in asked.texts])
        gains = (sums[:, 1] - sums[:, 0]).to(control)  # log q(b) - log p(b)
        shifts = gains[list(asked.candidates.values())] - gains[0]
        ending = self._ending(asked, table)
        lowest = shifts.min() if len(shifts) else torch.zeros((), device=control.device)
        if ending is not None:
            ending = ending.to(control) - gains[0]
            lowest = torch.minimum(lowest, ending)
        control.fill_(float(lowest))
        control[list(asked.candidates)] = shifts
        if ending is not None:
            control[list(self._target.eos_ids)] = ending

    def _terms(self, asked: _Row, text: bytes) -> list[tuple[int, int, int, list[tuple[int, int]]]]:
        """List the sums of P(text): node, interval, and the steps on the way to the node."""
        ids, length = self.covering(text)
        terms, steps, done = [], [], 0
        for depth in range(len(ids) + 1):
            if done >= length:
                break
            node = asked.nodes[ids[:depth]]
            start, end = self._index.interval(text[done:length])
            if end > start:
                terms.append((node, start, end, list(steps)))
            if depth < len(ids):
                steps.append((node, ids[depth]))
                done += len(self._vocabulary.token_bytes[ids[depth]] or b"")
        return terms

    def _ending(self, asked: _Row, table: "_Table") -> Tensor | None:
        """Return log q - log p of the pending bytes followed by the end of the text."""
        ids, length = self.covering(asked.pending)
        ends = list(self._vocabulary.eos_ids)
        spelled = sum(len(self._vocabulary.token_bytes[each] or b"") for each in ids)
        whole = spelled == length == len(asked.pending)
        if not (whole and ends and self._target.eos_ids):
            return None
        nodes = [asked.nodes[ids[:depth]] for depth in range(len(ids) + 1)]
        return table.path_gain(nodes[:-1], ids) + table.set_gain(nodes[-1], ends)


class _Table:
    """Log-probabilities of prior and tuned distribution at the nodes of one step.

    Kept in float64: intervals are differences of running sums.
    """

    def __init__(self, scores: Sequence[Scores], order: Tensor) -> None:
        self._order = order.to(scores[0].delta.device)
        self._delta = torch.stack([each.delta for each in scores]).double()
        self._prior = _prior_logprobs(scores, self._delta)
        self._claimed = 0

    def set_tuned(self, strengths: Sequence[float]) -> None:
        """Tune every node at its row's strength."""
        self._both = self._mix(self._delta, self._prior, strengths)
        self._sums = self._running(self._both)

    def claim(self, asked: _Row) -> int:
        """Give a row its trunk's nodes, which come row after row, and return the first."""
        first = self._claimed
        for depth in range(len(asked.trunk) + 1):
            asked.nodes[tuple(asked.trunk[:depth])] = first + depth
        self._claimed += len(asked.trunk) + 1
        return first

    @property
    def size(self) -> int:
        """Number of nodes."""
        return self._both.shape[1]

    def extend(self, scores: Sequence[Scores], strengths: Sequence[float]) -> None:
        """Add the nodes of the trees."""
        if not scores:
            return
        delta = torch.stack([each.delta for each in scores]).double()
        both = self._mix(delta, _prior_logprobs(scores, delta), strengths)
        self._both = torch.cat([self._both, both], 1)
        self._sums = torch.cat([self._sums, self._running(both)], 1)

    def best(self, node: int, start: int, end: int, count: int) -> list[int]:
        """Return the likeliest tuned tokens of an interval."""
        if count == 0 or end <= start:
            return []
        ids = self._order[start:end]
        return ids[self._both[1, node, ids].topk(min(count, end - start)).indices].tolist()

    def log_probabilities(
        self, questions: Sequence[list[tuple[int, int, int, list[tuple[int, int]]]]]
    ) -> Tensor:
        """Return `(questions, 2)` log P of texts, prior and tuned; 0 for an empty text."""
        device = self._both.device
        flat = [(number, *term) for number, terms in enumerate(questions) for term in terms]
        sums = torch.zeros(len(questions), 2, dtype=torch.float64, device=device)
        if not flat:
            return sums
        owners, nodes, starts, ends = (
            torch.tensor(column, device=device) for column in list(zip(*flat, strict=True))[:4]
        )
        values = self._intervals(nodes, starts, ends)
        steps = [(i, node, token) for i, term in enumerate(flat) for node, token in term[4]]
        if steps:
            at, step_nodes, tokens = torch.tensor(steps, device=device).unbind(1)
            values = values.index_add(1, at, self._both[:, step_nodes, tokens])
        total = torch.full_like(sums, float("-inf")).T.contiguous()
        top = total.scatter_reduce(1, owners.expand(2, -1), values, "amax")
        parts = (values - top[:, owners]).exp()
        total = torch.zeros_like(top).index_add(1, owners, parts)
        answered = torch.zeros(len(questions), dtype=torch.bool, device=device)
        answered[owners] = True
        return torch.where(answered, top + total.log(), 0.0).T

    def path_gain(self, nodes: Sequence[int], tokens: Sequence[int]) -> Tensor:
        """Return log q - log p of walking `tokens` from node to node."""
        walked = self._both[:, list(nodes), list(tokens)].sum(1)
        return walked[1] - walked[0]

    def set_gain(self, node: int, tokens: Sequence[int]) -> Tensor:
        """Return log q - log p of any of `tokens` at a node."""
        ends = torch.logsumexp(self._both[:, node, list(tokens)], -1)
        return ends[1] - ends[0]

    def _mix(self, delta: Tensor, prior: Tensor, strengths: Sequence[float]) -> Tensor:
        strength = torch.tensor(strengths, dtype=torch.float64, device=delta.device)
        tuned = torch.log_softmax(prior + strength[:, None] * delta, -1)
        return torch.stack([prior, tuned])

    def _running(self, both: Tensor) -> Tensor:
        sums = both[:, :, self._order].exp().cumsum(-1)
        return torch.nn.functional.pad(sums, (1, 0))

    def _intervals(self, nodes: Tensor, starts: Tensor, ends: Tensor) -> Tensor:
        """Return `(2, terms)` log sums over intervals of the sorted tokens."""
        wide = (self._sums[:, nodes, ends] - self._sums[:, nodes, starts]).clamp_min(FLOOR).log()
        places = starts[:, None] + torch.arange(NARROW, device=starts.device)
        inside = places < ends[:, None]
        ids = self._order[places.clamp_max(len(self._order) - 1)]
        exact = self._both[:, nodes[:, None], ids].masked_fill(~inside, float("-inf"))
        return torch.where(ends - starts <= NARROW, torch.logsumexp(exact, -1), wide)


def _prior_logprobs(scores: Sequence[Scores], delta: Tensor) -> Tensor:
    """Return `(nodes, vocab)` log-probabilities of the prior, uniform where there is none."""
    if scores[0].prior is None:
        return torch.log_softmax(torch.zeros_like(delta), -1)
    return torch.log_softmax(torch.stack([each.prior for each in scores]).double(), -1)
