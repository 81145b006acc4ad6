"""`same` and `pm-mined`: carry the shift token by token through a vocab map."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from cmc.combine import centre
from cmc.generation.reader import Reader, TextReader
from cmc.vocab import VocabMap, Vocabulary


class MappedControl:
    """One controller's control of a batch of texts through a vocab map."""

    def __init__(
        self, reader: Reader | TextReader, target: Vocabulary, strengths: Sequence[float],
        vocab_map: VocabMap,
    ) -> None:  # fmt: skip
        self._target = target
        self._map = vocab_map
        self._gather: Tensor | None = None
        self._unknown: Tensor | None = None
        self._is_identity: bool | None = None
        self._by_id = vocab_map.controller_fingerprint == vocab_map.target_fingerprint
        self._strengths = torch.tensor(strengths, dtype=torch.float32)
        self.reader = reader

    def push(self, row: int, token_id: int) -> None:
        """Tell that the target went on with a token."""
        if token_id >= self._target.size:
            return
        if self._by_id:
            self.reader.followers[row].push_id(token_id)
        elif spelled := self._target.token_bytes[token_id]:
            self.reader.followers[row].push_bytes(spelled)

    def propose(
        self, logits: Tensor, rows: Sequence[int], forced: Sequence[int] | None
    ) -> dict[int, list[int]]:
        """Read the texts on; every mapped token is scored, so none is proposed."""
        del logits, forced
        self.reader.advance(rows)
        return {}

    def known(self, logits: Tensor) -> Tensor:
        """Return `(vocab,)` bool: the target's tokens the controller knows."""
        return self._index(logits) < self._map.controller_size

    def control(
        self, logits: Tensor, rows: Sequence[int], candidates: Mapping[int, Sequence[int]]
    ) -> Tensor:
        """Return `(batch, vocab)` strength x shift, centred; 0 in rows not asked for."""
        del candidates
        delta = torch.stack(
            [self.reader.at(row, len(self.reader.chain(row)) - 1).delta for row in rows]
        ).to(logits)
        strengths = self._strengths[list(rows)].to(logits)
        shift = delta.mul_(strengths[:, None])
        if list(rows) == list(range(len(logits))):
            return self._carried(logits, shift)
        control = torch.zeros_like(logits)
        control[list(rows)] = self._carried(logits[list(rows)], shift)
        return control

    def _carried(self, logits: Tensor, control: Tensor) -> Tensor:
        index = self._index(logits)
        if self._is_identity is None:
            size = control.shape[1]
            self._is_identity = len(index) == size and bool((index.diff() == 1).all())
            self._is_identity &= bool((index < size).all())
        if self._is_identity:  # nothing is unknown, so any constant may be taken out
            return control - control.amax(-1, keepdim=True)
        raw = torch.nn.functional.pad(control, (0, 1)).index_select(1, index)
        if self._unknown is None:
            self._unknown = (~self.known(logits)).nonzero()[:, 0]
        return centre(logits, raw, self._unknown)

    def _index(self, logits: Tensor) -> Tensor:
        if self._gather is None:
            self._gather = self._map.gather_index(logits.shape[1], logits.device)
        return self._gather
