"""`same` and `pm-mined`: carry the shift token by token through a vocab map."""

from collections.abc import Sequence

import torch
from torch import Tensor

from cmc.combine import centre
from cmc.controller import Controller
from cmc.generation.reader import Reader
from cmc.vocab import VocabMap, Vocabulary


class MappedControl:
    """One controller's control of a batch of texts through a vocab map."""

    def __init__(
        self, controller: Controller, target: Vocabulary, prompts: Sequence[str],
        strengths: Sequence[float], vocab_map: VocabMap,
    ) -> None:  # fmt: skip
        self._target = target
        self._map = vocab_map
        self._by_id = vocab_map.controller_fingerprint == vocab_map.target_fingerprint
        self._strengths = torch.tensor(strengths, dtype=torch.float32)
        self.reader = Reader(controller, prompts, use_prior=False)

    def push(self, row: int, token_id: int) -> None:
        """Tell that the target went on with a token."""
        if token_id >= self._target.size:
            return
        if self._by_id:
            self.reader.followers[row].push_id(token_id)
        elif spelled := self._target.token_bytes[token_id]:
            self.reader.followers[row].push_bytes(spelled)

    def control(
        self, logits: Tensor, rows: Sequence[int], forced: Sequence[int] | None = None
    ) -> Tensor:
        """Return `(batch, vocab)` strength x shift, centred; 0 in rows not asked for."""
        del forced  # every mapped token is scored
        control = torch.zeros_like(logits)
        if not rows:
            return control
        self.reader.advance(rows)
        index = self._map.gather_index(logits.shape[1], logits.device)
        known = index < self._map.controller_size
        delta = torch.stack(
            [self.reader.at(row, len(self.reader.chain(row)) - 1).delta for row in rows]
        ).to(logits)
        strengths = self._strengths[list(rows)].to(logits)
        raw = torch.nn.functional.pad(strengths[:, None] * delta, (0, 1))[:, index]
        control[list(rows)] = centre(logits[list(rows)], raw, known)
        return control
