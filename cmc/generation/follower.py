"""The controller's view of the text so far, kept in step with the target's tokens."""

from dataclasses import dataclass, field

from cmc.generation.boundaries import held_back, still_open
from cmc.vocab import Vocabulary
from cmc.vocab.canonical import split_incomplete

PENDING_LIMIT = 256  # tokens without a boundary after which half is committed all the same
ROOM = 32  # tokens of the context kept free for what is proposed


@dataclass
class Follower:
    """One row's text in the controller's tokens.

    Attributes:
        vocabulary: the controller's.
        ids: tokens up to the last place that no later text can change.
        pending: bytes since then.
        context: tokens the controller can read; older ones are dropped beyond it.
        is_windowed: whether any were dropped.
    """

    vocabulary: Vocabulary
    ids: list[int]
    context: int
    pending: bytes = b""
    is_windowed: bool = False
    _keeps_first: bool = field(init=False)
    _held_back: int = field(init=False)

    def __post_init__(self) -> None:
        self._held_back = held_back(self.vocabulary)
        self._keeps_first = self.ids[:1] == [self.vocabulary.bos_id]
        if not self.ids:
            # A network needs one token to start from; the end of another text is the nearest.
            self.ids = [self.vocabulary.eos_id]
        self._window()

    def push_bytes(self, data: bytes) -> None:
        """Go on with the text, and commit what is settled."""
        self.pending += data
        text, rest = split_incomplete(self.pending)
        segments = self.vocabulary.segments(text)
        ids = [
            each
            for segment in segments[: -still_open(text, self._held_back)]
            for each in self.vocabulary.encode_segment(segment)
        ]
        if not ids:
            whole = self.vocabulary.encode_continuation(text.encode())
            if len(whole) > min(PENDING_LIMIT, self.context // 4):
                ids = whole[: len(whole) // 2]
        if text.encode() + rest != self.pending or not self._is_spelled(ids):
            # Bytes that are no text, or text the controller cannot spell: nothing that follows
            # can be read as a part of it.
            self._commit(self.vocabulary.encode_continuation(text.encode()), rest)
        elif ids:
            self._commit(ids, self.pending[len(self.vocabulary.spell(ids)) :])
        else:
            self._window()

    def push_id(self, token_id: int) -> None:
        """Go on by a token of the same vocabulary."""
        self.ids.append(token_id)
        self._window()

    @property
    def trunk(self) -> list[int]:
        """Tokens of the pending bytes whose characters are complete."""
        return self.vocabulary.encode_continuation(split_incomplete(self.pending)[0].encode())

    def _is_spelled(self, ids: list[int]) -> bool:
        return self.pending.startswith(self.vocabulary.spell(ids)) and not (
            ids and set(ids) & set(self.vocabulary.roles["unk"])
        )

    def _commit(self, ids: list[int], pending: bytes) -> None:
        self.ids.extend(ids)
        self.pending = pending
        self._window()

    def _window(self) -> None:
        room = self.context - len(self.trunk) - ROOM
        if len(self.ids) <= room or len(self.ids) <= self.context // 2:
            return
        first = self.ids[:1] if self._keeps_first else []
        self.ids = first + self.ids[-(self.context // 2) :]
        self.is_windowed = True
