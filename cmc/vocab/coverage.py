"""What a vocab map can carry of one text: kinds of entries, and where both sides agree.

A token *agrees* where its entry is exactly the token the controller itself has at that place. Only
there do both speak of the same step: the same bytes at a place where the controller would have
said a longer or a shorter token get a shift that was meant for another text.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from cmc.vocab.vocab_map import Kind, VocabMap
from cmc.vocab.vocabulary import Vocabulary


@dataclass(frozen=True)
class Coverage:
    """How a vocab map meets the tokens of one text.

    Attributes:
        counts: the target's tokens of the text by the kind of their entry.
        agreeing: how many of them are the controller's own token at their place.
        controller_tokens: in how many tokens the controller writes the same text.
        lost: share of the text's bytes that the target's tokens do not spell, no unit.
        transfer: of the map.
    """

    counts: Counter
    agreeing: int
    controller_tokens: int
    lost: float
    transfer: str

    @property
    def tokens(self) -> int:
        """In how many tokens the target writes the text."""
        return sum(self.counts.values())

    def share(self, kind: Kind) -> float:
        """Return the share of the text's tokens whose entry is of a kind, no unit."""
        return self.counts[kind] / max(1, self.tokens)

    @property
    def agreement(self) -> float:
        """Share of the text's tokens on which both sides agree, no unit."""
        return self.agreeing / max(1, self.tokens)

    @property
    def score(self) -> float:
        """Share of the text through which the shift arrives, no unit; the grade is given by it.

        Token by token that takes both sides to agree; `cover` takes only that the controller can
        spell the target's token.
        """
        spelled = self.share(Kind.EXACT) + self.share(Kind.COMPOSED)
        carried = spelled if self.transfer == "cover" else self.agreement
        return carried * (1 - self.lost)

    @property
    def path_length(self) -> float:
        """Controller tokens per target token of the text."""
        return self.controller_tokens / max(1, self.tokens)

    def plain(self) -> dict[str, Any]:
        """Return shares and lengths by name, rounded."""
        shares = {kind.word: round(self.share(kind), 4) for kind in Kind}
        return shares | {
            "tokens": self.tokens,
            "agreement": round(self.agreement, 4),
            "lost": round(self.lost, 4),
            "score": round(self.score, 4),
            "path_length": round(self.path_length, 3),
        }


def cover_text(
    vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary, text: str
) -> Coverage:
    """Measure a map on a text that both sides write as the continuation of another."""
    data = text.encode("utf-8", "replace")
    theirs, ours = controller.encode_continuation(data), target.encode_continuation(data)
    at = dict(places(controller, theirs, data))
    met = [
        at.get(place) == vocab_map.ids[token] and vocab_map.kinds[token] == Kind.EXACT
        for place, token in places(target, ours, data)
    ]
    return Coverage(
        counts=Counter(Kind(kind) for kind in vocab_map.kinds[ours].tolist()),
        agreeing=sum(map(bool, met)),
        controller_tokens=len(theirs),
        lost=1 - len(target.spell(ours)) / max(1, len(data)),
        transfer=vocab_map.transfer,
    )


def places(vocabulary: Vocabulary, ids: Sequence[int], data: bytes) -> Iterator[tuple[int, int]]:
    """Yield `(bytes before it, id)` of every token that spells something.

    Behind an unknown token the next place is where the next token is found.
    """
    done = 0
    for token in ids:
        spelled = vocabulary.token_bytes[token]
        if not spelled:
            continue
        found = data.find(spelled, done)
        if found >= 0:
            yield found, token
            done = found + len(spelled)
