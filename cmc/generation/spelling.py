"""How a controller's tokens spell a target's: coverings, and the tokens that reach beyond."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from itertools import takewhile
from typing import Generic, TypeVar

import torch
from torch import Tensor

from cmc.vocab import PrefixIndex, Vocabulary
from cmc.vocab.canonical import split_incomplete

LISTED = 64  # tokens up to which each one of a set is tried, and summed, by itself
REMEMBERED = 50_000  # answers kept for every question
MERGED = ("byte-level", "sentencepiece")  # families of vocabularies that are made by merging

Key = TypeVar("Key", bound=Hashable)
Answer = TypeVar("Answer")


class Remembered(Generic[Key, Answer]):
    """A function of one argument whose answers are kept."""

    def __init__(self, work_out: Callable[[Key], Answer]) -> None:
        self._work_out = work_out
        self._answers: dict[Key, Answer] = {}

    def __call__(self, key: Key) -> Answer:
        """Return the answer, worked out the first time."""
        answer = self._answers.get(key)
        if answer is None:
            if len(self._answers) >= REMEMBERED:
                self._answers.clear()
            answer = self._answers[key] = self._work_out(key)
        return answer


@dataclass(frozen=True)
class Covering:
    """The controller's own tokens of some bytes.

    Attributes:
        ids: the tokens.
        ends: per token, the number of bytes spelled up to its end.
        length: bytes that are spelled in all; one token more begins with those after `ends`.
    """

    ids: tuple[int, ...]
    ends: tuple[int, ...]
    length: int

    @property
    def spelled(self) -> int:
        """Bytes that whole tokens spell."""
        return self.ends[-1] if self.ends else 0


@dataclass(frozen=True)
class Stem:
    """Whole tokens that begin some bytes, behind which one more token may reach their end.

    Attributes:
        ids: the tokens.
        done: bytes they spell.
    """

    ids: tuple[int, ...]
    done: int


@dataclass(frozen=True)
class Reach:
    """The controller's tokens that begin with some bytes, less those of another target token.

    Either `listed` holds them one by one, or they are those of the interval of the sorted tokens
    that `fits` says belong to it, all if there is none. To ask it is slow. The first `exact` of
    the interval are those bytes and no more, and always belong to it.
    """

    start: int
    end: int
    exact: int
    listed: Tensor | None
    fits: Callable[[int], bool] | None


class Spelling:
    """What `cover` needs to know of a pair of vocabularies; nothing of it depends on a text."""

    transfer = "cover"

    def __init__(self, controller: Vocabulary, target: Vocabulary) -> None:
        self.controller = controller
        self.target = target
        self.index = PrefixIndex(controller)
        self.order = torch.from_numpy(self.index.order)
        self.covering = Remembered(self._cover)
        self.stems = Remembered(self._stems)
        self.goes_on = Remembered(self._goes_on)
        self.first_token = Remembered(self._first)
        self.reach = Remembered(self._reach)

    def of_target(self, token_id: int) -> bytes:
        """Return what a target token spells, nothing for roles and padded rows."""
        spelled = self.target.token_bytes[token_id] if token_id < self.target.size else None
        return spelled or b""

    def of_controller(self, token_id: int) -> bytes:
        """Return what a controller token spells, nothing for roles."""
        return self.controller.token_bytes[token_id] or b""

    def _cover(self, data: bytes) -> Covering:
        """Spell bytes; a character the controller cannot spell ends the covering."""
        text, rest = split_incomplete(data)
        ids: list[int] = []
        ends: list[int] = []
        done = 0
        for token in self.controller.encode_continuation(text.encode()):
            spelled = self.of_controller(token)
            if not spelled or not data.startswith(spelled, done):
                return Covering(tuple(ids), tuple(ends), done)
            done += len(spelled)
            ids.append(token)
            ends.append(done)
        is_known = self._begins_any(rest) or None not in self._bytes_of(rest)
        return Covering(tuple(ids), tuple(ends), done + len(rest) * is_known)

    def _bytes_of(self, data: bytes) -> list[int | None]:
        """Return the token of every single byte, None where there is none."""
        return [self.controller.id_of_bytes.get(data[at : at + 1]) for at in range(len(data))]

    def _stems(self, data: bytes) -> tuple[Stem, ...]:
        """Return all beginnings of some bytes, each as the controller itself spells it.

        A part of a word is not always spelled as the word begins: " ferre" may be f|er|re and
        " ferret" f|err|et. Only the spellings of all parts together hold what each of the words
        with this beginning would be.
        """
        covering = self.covering(data)
        starts = [((), 0), *((covering.ids[: i + 1], end) for i, end in enumerate(covering.ends))]
        parts = (self.covering(data[:end]) for end in range(1, covering.length))
        starts += [(part.ids, part.length) for part in parts if part.spelled == part.length]
        # A character that is not finished yet may become one that only single bytes spell.
        single = self._bytes_of(data[covering.spelled : covering.length])
        if None not in single:
            starts += [((*covering.ids, *single[:count]), covering.spelled + count)
                       for count in range(1, len(single))]  # fmt: skip
        stems = dict.fromkeys(Stem(ids, done) for ids, done in starts if done < covering.length)
        whole = data[: covering.length]
        return tuple(stem for stem in stems if self._begins_any(whole[stem.done :]))

    def _begins_any(self, rest: bytes) -> bool:
        start, end = self.index.interval(rest)
        return end > start

    def _goes_on(self, key: tuple[Stem, bytes]) -> bool:
        """Say whether the controller itself would spell anything by a stem and one token more.

        It never says "t" and "he" where it has a token "the".
        """
        stem, data = key
        said, covering = data[: stem.done], self.covering(data)
        start, end = self.index.interval(data[stem.done : covering.length])
        # The text itself is spelled by all its tokens but the last, and the last.
        if not said or end - start > LISTED or stem.ids in (covering.ids[:-1], covering.ids):
            return True
        return any(
            self._is_own(stem, said + self.index.spelled[place], int(self.index.order[place]))
            for place in range(start, end)
        )

    def _is_own(self, stem: Stem, data: bytes, last: int) -> bool:
        """Say whether the controller spells `data` by a stem and `last`, as far as can be told."""
        whole = self.covering(data)
        # What an unfinished character becomes is known only when it is finished.
        return whole.ids == (*stem.ids, last) or whole.spelled < len(data)

    def _first(self, data: bytes) -> int:
        """Return the first token with which the target itself spells some bytes."""
        whole = self.target.id_of_bytes.get(data) if data.isascii() else None
        # Where tokens are merged, the text of one token becomes that token again; to try each of
        # a hundred thousand would cost more than all else.
        if whole is not None and self.target.family in MERGED:
            return whole
        ids = self.target.encode_continuation(data)
        return ids[0] if ids else -1

    def _reach(self, key: tuple[bytes, int, bytes]) -> Reach:
        """Return the controller tokens that can carry on a target token.

        Args:
            key: `rest`, the bytes a token must begin with; `cut`, how many of them were said
                before the target token; `head`, what earlier tokens spell of the target token.

        A controller token may reach beyond the target token. It counts only where the target
        would begin the longer text with the same token: " always" is no way to go on for the
        target's " a" if the target has a token " always".
        """
        rest, cut, head = key
        start, end = self.index.interval(rest)
        wanted = self.target.id_of_bytes.get(head + rest[cut:])

        places = range(start, end)
        exact = sum(1 for _ in takewhile(lambda at: self.index.spelled[at] == rest, places))

        def fits(place: int) -> bool:
            if place < start + exact:
                return True
            return self.first_token(head + self.index.spelled[place][cut:]) == wanted

        if end - start > LISTED:
            return Reach(start, end, exact, None, None if wanted is None else fits)
        kept = [place for place in places if wanted is None or fits(place)]
        return Reach(start, end, exact, self.order[kept], None)
