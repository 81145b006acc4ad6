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

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from cmc.generation.layout import Tree
from cmc.generation.reader import Reader, TextReader
from cmc.generation.spelling import Reach, Spelling, Stem
from cmc.generation.table import Table, Term
from cmc.settings import CoverSettings
from cmc.vocab import Vocabulary

# Share of a probability that a way to say a text must be able to add to it to be computed.
NEGLIGIBLE = 1e-3

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
        control, asked = torch.zeros_like(logits), self._asked
        for each in asked:
            each.candidates = list(candidates[each.number])
            spelled = [self._spelling.of_target(token) for token in each.candidates]
            each.texts = [each.pending, *(each.pending + more for more in spelled)]
        sums = self._log_probabilities([(each, text) for each in asked for text in each.texts])
        gains = iter(torch.split(sums[1] - sums[0], [len(each.texts) for each in asked]))
        for each in asked:
            self._fill(control[each.number], each, next(gains), self._ending(each, self._table))
        return control

    def _log_probabilities(self, questions: Sequence[tuple[_Row, bytes]]) -> Tensor:
        """Return `(2, questions)` log P of texts under prior and tuned distribution.

        What can be said from the trunks is; of the other ways to say a text, those are computed
        whose beginning is not already too improbable to matter.
        """
        table, stems = self._table, [self._spelling.stems(text) for _, text in questions]
        near = [[stem for stem in some if stem.ids in row.nodes and self._goes_on(text, stem)]
                for (row, text), some in zip(questions, stems, strict=True)]  # fmt: skip
        sums = table.log_probabilities(
            [self._terms(*each, some) for each, some in zip(questions, near, strict=True)]
        )
        far = [(number, stem) for number, (row, _) in enumerate(questions)
               for stem in stems[number] if stem.ids not in row.nodes]  # fmt: skip
        if far:
            begun = table.walked([_walk(questions[number][0], stem.ids) for number, stem in far])
            enough = sums[:, [number for number, _ in far]] + math.log(NEGLIGIBLE)
            more: list[list[Stem]] = [[] for _ in questions]
            for (number, stem), matters in zip(far, (begun >= enough).any(0).tolist(), strict=True):
                if matters and self._goes_on(questions[number][1], stem):
                    more[number].append(stem)
            self._grow(questions, more)
            added = [self._terms(*each, some) for each, some in zip(questions, more, strict=True)]
            sums = torch.logaddexp(sums, table.log_probabilities(added))
        is_certain = torch.tensor([not some for some in stems], device=sums.device)
        return sums.masked_fill(is_certain, 0.0)  # nothing was asked, or nothing can be spelled

    def _goes_on(self, text: bytes, stem: Stem) -> bool:
        return not stem.done or self._spelling.goes_on((stem, text))

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

    def _grow(
        self, questions: Sequence[tuple[_Row, bytes]], stems: Sequence[Sequence[Stem]]
    ) -> None:
        """Compute the nodes that stems need beside the trunks, all rows in one forward."""
        trees = [Tree() for _ in self.reader.followers]
        for (row, _), some in zip(questions, stems, strict=True):
            for stem in some:
                _plant(row, stem.ids)
        for row in self._asked:
            trees[row.number] = row.tree
        strengths = [self._strengths[row.number] for row in self._asked for _ in row.planted]
        first = self._table.size
        self._table.extend(self.reader.branches(trees), strengths)
        for row in self._asked:
            for path, index in row.planted.items():
                row.nodes[path] = first + index
            first += len(row.planted)

    def _terms(self, asked: _Row, text: bytes, stems: Sequence[Stem]) -> list[Term]:
        """List the parts of P(text) that begin with these stems."""
        length, said = self._spelling.covering(text).length, len(asked.pending)
        return [
            Term(
                asked.nodes[stem.ids],
                tuple(_walk(asked, stem.ids)),
                self._reach(text, stem.done, length, said),
            )
            for stem in stems
        ]

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
        gain = table.path_gain(_walk(asked, covering.ids))
        return gain + table.set_gain(asked.nodes[covering.ids], ends)

    def _fill(self, control: Tensor, asked: _Row, gains: Tensor, ending: Tensor | None) -> None:
        """Write one row's control: candidates, the end of the text, and all the others."""
        gains = gains.to(control)
        shifts = gains[1:] - gains[0]
        scored = shifts
        if ending is not None:
            ending = ending.to(control) - gains[0]
            scored = torch.cat([shifts, ending[None]])
        # What neither distribution can say has no shift; it counts as not scored.
        known = scored[~scored.isnan()]
        if not len(known):
            return
        least = known.min()
        shifts = shifts.where(~shifts.isnan(), least)
        control.fill_(float(least))
        control[asked.candidates] = shifts
        if ending is not None:
            control[list(self._target.eos_ids)] = ending


def _walk(asked: _Row, ids: Path) -> list[tuple[int, int]]:
    """Return node and token of every step of a path that starts at a computed node."""
    nodes = (asked.nodes.get(ids[:depth]) for depth in range(len(ids)))
    return [(node, token) for node, token in zip(nodes, ids, strict=True) if node is not None]


def _plant(asked: _Row, ids: Path) -> None:
    """Add what is missing of a path to the tree of a row."""
    for depth in range(1, len(ids) + 1):
        path = ids[:depth]
        if path in asked.nodes or path in asked.planted:
            continue
        parent = asked.planted.get(path[:-1], -1)
        seen = asked.tree.seen[parent] if parent >= 0 else asked.root + depth
        asked.planted[path] = asked.tree.add(path[-1], parent, seen)
