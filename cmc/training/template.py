"""The frozen template at the answers' places, computed once and remembered."""

from typing import TYPE_CHECKING

import psutil
import torch
from torch import Tensor

from cmc.data import Example, TokenBatch, token_batch
from cmc.training.rows import SplitModel, label_places

if TYPE_CHECKING:
    from cmc.models import LanguageModel

MAX_CACHE = 4 * 2**30  # bytes


class FrozenTemplate:
    """The template's final hidden states at the labels, from memory where they fit.

    They are remembered as computed, without a change of precision, so that a run with the
    cache and one without it give the same numbers. On a CPU every example is computed alone:
    its numbers then depend on no neighbour, which makes resumed runs bit-exact, and nothing
    is lost, as padding costs more there than small batches do.
    """

    def __init__(self, model: "LanguageModel", *, cache_bytes: int | None = None) -> None:
        """Freeze `model`; keep at most `cache_bytes` (default: a quarter of the free memory)."""
        model.model.eval().requires_grad_(False)
        self.split = SplitModel(model.model, model.vocabulary.size)
        self._pad_id = model.vocabulary.pad_id
        if cache_bytes is None:
            cache_bytes = min(MAX_CACHE, psutil.virtual_memory().available // 4)
        self._room = cache_bytes
        self._cache: dict[Example, Tensor] = {}

    def rows(self, batch: TokenBatch) -> Tensor:
        """Return `(rows, width)` features at the labels of `batch`, on the template's device."""
        known = {each: self._cache[each] for each in batch.examples if each in self._cache}
        missing = list(dict.fromkeys(each for each in batch.examples if each not in known))
        size = 1 if self.split.device.type == "cpu" else max(1, len(missing))
        for start in range(0, len(missing), size):
            for example, rows in self._computed(missing[start : start + size]).items():
                known[example] = rows
                self._remember(example, rows)
        return torch.cat([known[each].to(self.split.device) for each in batch.examples])

    @torch.no_grad()
    def _computed(self, examples: list[Example]) -> dict[Example, Tensor]:
        """Run the template over the examples; return the features at the labels of each."""
        batch = token_batch(examples, self._pad_id)
        device = self.split.device
        features = self.split.features(batch.input_ids.to(device), batch.attention_mask.to(device))
        places = label_places(batch).to(device)
        return {example: features[row, places[row]] for row, example in enumerate(examples)}

    def _remember(self, example: Example, rows: Tensor) -> None:
        size = rows.numel() * rows.element_size()
        if size <= self._room:
            self._room -= size
            self._cache[example] = rows.cpu().clone()
