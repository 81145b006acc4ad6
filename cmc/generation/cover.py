"""`cover`: carry a change of the distribution over text, whatever the tokens.

The tuned distribution over the controller's tokens is q ~ p exp(strength x d), with p the prior
and d the delta's logits. The probability that the text goes on with bytes b sums over the
beginnings of b, each in the controller's own tokenization t, that one token u carries on to the
end of b or beyond:

    P(b) = sum over beginnings a of b: [ prod_i P(t_i(a)) ] x sum over u that begin with the
           rest of b: P(u)

The control of target token w behind the pending bytes s is log q(s+w)/q(s) - log p(s+w)/p(s),
where of the u that reach beyond w only those count which the target, too, would begin with w.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cmc.generation.layout import Tree
from cmc.generation.reader import Reader, TextReader
from cmc.generation.spelling import Reach, Spelling
from cmc.generation.table import Table, Term
from cmc.settings import CoverSettings
from cmc.vocab import Vocabulary

Path = tuple[int, ...]


@dataclass
class _Row:
    """What is asked about one text in one step.

    Attributes:
        number: its row of the batch.
        root: index of the last committed token of its chain.
        pending: bytes since then; `trunk` are their tokens.
        nodes: where in the step's table the scores behind a path from the root stand.
        tree: paths beside the trunk that must be computed, `planted` in this order.
        texts: whose probability is asked, the pending bytes first.
        candidates: target ids, in the order of the other texts.
    """

    number: int
    root: int
    pending: bytes
    trunk: Path
    nodes: dict[Path, int] = field(default_factory=dict)
    tree: Tree = field(default_factory=Tree)
    planted: dict[Path, int] = field(default_factory=dict)
    texts: list[bytes] = field(default_factory=list)
    candidates: list[int] = field(default_factory=list)


class CoverControl:
    """One controller's control of a batch of texts in a target's vocabulary."""

    def __init__(
        self,
        reader: Reader | TextReader,
        spelling: Spelling,
        strengths: Sequence[float],
        settings: CoverSettings,
    ) -> None:
        self._settings = settings
        self._spelling = spelling
        self._strengths = list(strengths)
        self._asked: list[_Row] = []
        self._table: Table | None = None  # of the step that was proposed for
        self.reader = reader

    @property
    def _target(self) -> Vocabulary:
        return self._spelling.target

    def push(self, row: int, token_id: int) -> None:
        """Tell that the target went on with a token."""
        if spelled := self._spelling.of_target(token_id):
            self.reader.followers[row].push_bytes(spelled)

    def propose(
        self, logits: Tensor, rows: Sequence[int], forced: Sequence[int] | None
    ) -> dict[int, list[int]]:
        """Read the texts on and collect candidates from both sides.

        Args:
            logits: `(batch, vocab)` scores of the target, whose favourites are proposed.
            rows: texts to control.
            forced: per row of the batch, a target id that must be scored exactly.

        Returns:
            Target ids per row.
        """
        self.reader.advance(rows)
        self._asked = [self._start(row) for row in rows]
        self._table = self._trunk_table(self._asked)
        favourites = self._favourites(logits[list(rows)])
        proposed = {}
        for each, tokens in zip(self._asked, favourites, strict=True):
            extra = [] if forced is None else [forced[each.number]]
            wanted = [*tokens, *extra, *self._wanted(each, self._table)]
            spelled = [token for token in wanted if self._spelling.of_target(token)]
            proposed[each.number] = list(dict.fromkeys(spelled))
        return proposed

    def control(
        self, logits: Tensor, rows: Sequence[int], candidates: Mapping[int, Sequence[int]]
    ) -> Tensor:
        """Return strength x shift; call `propose` before.

        Args:
            logits: `(batch, vocab)` scores of the target.
            rows: as proposed for; the others get 0.
            candidates: per row the target ids to score, those of other controllers among them.

        Returns:
            `(batch, vocab)` in nats. Tokens that were not scored get the least of what was, so
            none gains against one that was.
        """
        del rows
        control, asked, table = torch.zeros_like(logits), self._asked, self._table
        for each in asked:
            each.candidates = list(candidates[each.number])
            spelled = [self._spelling.of_target(token) for token in each.candidates]
            each.texts = [each.pending, *(each.pending + more for more in spelled)]
        self._grow(asked, table)
        questions = [
            self._terms(each, text, len(each.pending)) for each in asked for text in each.texts
        ]
        sums = table.log_probabilities(questions)
        gains = iter(torch.split(sums[:, 1] - sums[:, 0], [len(each.texts) for each in asked]))
        for each in asked:
            self._fill(control[each.number], each, next(gains), self._ending(each, table))
        return control

    def _favourites(self, logits: Tensor) -> list[list[int]]:
        count = min(self._settings.target_candidates, logits.shape[1])
        best = logits.topk(count)
        near = (best.values >= best.values[:, :1] - self._settings.margin).sum(-1)
        pairs = zip(best.indices.tolist(), near.tolist(), strict=True)
        return [ids[:kept] for ids, kept in pairs]

    def _start(self, row: int) -> _Row:
        follower = self.reader.followers[row]
        return _Row(row, self.reader.root(row), follower.pending, tuple(follower.trunk))

    def _trunk_table(self, asked: Sequence[_Row]) -> Table:
        scores, strengths = [], []
        for each in asked:
            for depth in range(len(each.trunk) + 1):
                each.nodes[each.trunk[:depth]] = len(scores)
                scores.append(self.reader.at(each.number, each.root + depth))
                strengths.append(self._strengths[each.number])
        return Table(scores, strengths, self._spelling.order)

    def _wanted(self, asked: _Row, table: Table) -> Iterator[int]:
        """Yield the target tokens that begin what the controller would most like to say."""
        covering = self._spelling.covering(asked.pending)
        for depth in range(len(covering.ids) + 1):
            rest = asked.pending[covering.ends[depth - 1] if depth else 0 :]
            node = asked.nodes[covering.ids[:depth]]
            start, end = self._spelling.index.interval(rest)
            most, margin = self._settings.controller_candidates, self._settings.margin
            for token in table.best(node, start, end, most, margin):
                more = self._spelling.of_controller(token)[len(rest) :]
                if more and (first := self._spelling.first_token(more)) >= 0:
                    yield first

    def _grow(self, asked: Sequence[_Row], table: Table) -> None:
        """Compute the nodes that candidates need beside the trunks, all rows in one forward."""
        trees = [Tree() for _ in self.reader.followers]
        for each in asked:
            for text in each.texts:
                self._plant(each, text)
            trees[each.number] = each.tree
        strengths = [self._strengths[each.number] for each in asked for _ in each.planted]
        first = table.size
        table.extend(self.reader.branches(trees), strengths)
        for each in asked:
            for path, index in each.planted.items():
                each.nodes[path] = first + index
            first += len(each.planted)

    def _plant(self, asked: _Row, text: bytes) -> None:
        for stem in self._spelling.stems(text):
            for depth in range(1, len(stem.ids) + 1):
                path = stem.ids[:depth]
                if path in asked.nodes or path in asked.planted:
                    continue
                parent = asked.planted.get(path[:-1], -1)
                seen = asked.tree.seen[parent] if parent >= 0 else asked.root + depth
                asked.planted[path] = asked.tree.add(path[-1], parent, seen)

    def _terms(self, asked: _Row, text: bytes, said: int) -> list[Term]:
        """List the parts of P(text), of which `said` bytes stand before the candidate."""
        length = self._spelling.covering(text).length
        terms: list[Term] = []
        for stem in self._spelling.stems(text):
            nodes = [asked.nodes[stem.ids[:depth]] for depth in range(len(stem.ids) + 1)]
            steps = tuple(zip(nodes, stem.ids, strict=False))
            terms.append(Term(nodes[-1], steps, self._reach(text, stem.done, length, said)))
        return terms

    def _reach(self, text: bytes, done: int, length: int, said: int) -> Reach:
        # What is already said, or cut short by an unknown character, is no token of the target.
        head = text[said:done] if length == len(text) > said else b""
        cut = max(0, said - done) if length == len(text) > said else length - done
        return self._spelling.reach((text[done:length], cut, head))

    def _ending(self, asked: _Row, table: Table) -> Tensor | None:
        """Return log q - log p of the pending bytes followed by the end of the text."""
        covering = self._spelling.covering(asked.pending)
        ends = list(self._spelling.controller.eos_ids)
        whole = covering.spelled == len(asked.pending)
        if not (whole and ends and self._target.eos_ids):
            return None
        nodes = [asked.nodes[covering.ids[:depth]] for depth in range(len(covering.ids) + 1)]
        return table.path_gain(nodes[:-1], covering.ids) + table.set_gain(nodes[-1], ends)

    def _fill(self, control: Tensor, asked: _Row, gains: Tensor, ending: Tensor | None) -> None:
        """Write one row's control: candidates, the end of the text, and all the others."""
        gains = gains.to(control)
        shifts = gains[1:] - gains[0]
        scored = shifts
        if ending is not None:
            ending = ending.to(control) - gains[0]
            scored = torch.cat([shifts, ending[None]])
        if not len(scored):
            return
        control.fill_(float(scored.min()))
        control[asked.candidates] = shifts
        if ending is not None:
            control[list(self._target.eos_ids)] = ending
