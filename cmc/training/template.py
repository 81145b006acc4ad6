"""The frozen template at the answers' places, computed once and remembered."""

from collections import deque
from collections.abc import Iterable
from typing import TYPE_CHECKING

import psutil
import torch
from torch import Tensor

from cmc.data import Example, TokenBatch, token_batch
from cmc.training.features import FeatureStore
from cmc.training.rows import label_places
from cmc.training.split import SplitModel

if TYPE_CHECKING:
    from cmc.models import LanguageModel

MAX_CACHE = 4 * 2**30  # bytes
RECENT = 4  # batches whose features are at hand whatever the memory allows


class FrozenTemplate:
    """The template's final hidden states at the labels, from memory or disk where they fit.

    They are remembered as computed, without a change of precision, so that a run with the
    cache and one without it give the same numbers. On a CPU every example is computed alone:
    its numbers then depend on no neighbour, which makes resumed runs bit-exact, and nothing
    is lost, as padding costs more there than small batches do.
    """

    def __init__(
        self,
        model: "LanguageModel",
        *,
        cache_bytes: int | None = None,
        store: FeatureStore | None = None,
    ) -> None:
        """Freeze `model`; keep at most `cache_bytes` (default: a quarter of the free memory).

        What lies in `store` is not computed, and what is computed is kept there.
        """
        model.model.eval().requires_grad_(False)
        self.split = SplitModel(model.model, model.vocabulary.size)
        self._pad_id = model.vocabulary.pad_id
        if cache_bytes is None:
            cache_bytes = min(MAX_CACHE, psutil.virtual_memory().available // 4)
        self._room = cache_bytes
        self._cache: dict[Example, Tensor] = {}
        self._store = store
        # Controllers that train side by side ask for the same batch one after another.
        self._recent: deque[dict[Example, Tensor]] = deque(maxlen=RECENT)

    def expect(self, examples: Iterable[Example]) -> list[str]:
        """Make room on disk for the features of `examples`; return what there is to tell."""
        if self._store is None:
            return []
        one = self.split.width * self.split.item_size
        sizes = {each: len(each.response_ids) * one for each in examples}
        needed = sum(size for each, size in sizes.items() if each not in self._store)
        room = self._store.make_room(needed)
        if needed <= max(room, self._room):
            return []
        return [
            f"The template's features of these records take {sum(sizes.values()) / 1e9:,.1f} GB "
            f"and {room / 1e9:,.1f} GB may be kept on disk, so that every epoch runs the template "
            "for the rest. Raise cache_gigabytes, or make room on the disk."
        ]

    def rows(self, batch: TokenBatch) -> Tensor:
        """Return `(rows, width)` features at the labels of `batch`, on the template's device."""
        known = {}
        for each in batch.examples:
            rows = self._known(each)
            if rows is not None:
                known[each] = rows
        missing = list(dict.fromkeys(each for each in batch.examples if each not in known))
        computed: dict[Example, Tensor] = {}
        size = 1 if self.split.device.type == "cpu" else max(1, len(missing))
        for start in range(0, len(missing), size):
            computed |= self._computed(missing[start : start + size])
        for example, rows in computed.items():
            self._remember(example, rows)
            if self._store is not None:
                self._store.put(example, rows)
        if computed:
            self._recent.append(computed)
        known |= computed
        return torch.cat([known[each].to(self.split.device) for each in batch.examples])

    def flush(self) -> str:
        """Write to disk what waits for it; return a sentence where the disk refused."""
        return "" if self._store is None else self._store.flush()

    @torch.no_grad()
    def _computed(self, examples: list[Example]) -> dict[Example, Tensor]:
        """Run the template over the examples; return the features at the labels of each."""
        batch = token_batch(examples, self._pad_id)
        device = self.split.device
        features = self.split.features(batch.input_ids.to(device), batch.attention_mask.to(device))
        places = label_places(batch).to(device)
        return {example: features[row, places[row]] for row, example in enumerate(examples)}

    def _known(self, example: Example) -> Tensor | None:
        if example in self._cache:
            return self._cache[example]
        for batch in self._recent:
            if example in batch:
                return batch[example]
        rows = None if self._store is None else self._store.get(example)
        if rows is not None:
            self._remember(example, rows)
        return rows

    def _remember(self, example: Example, rows: Tensor) -> None:
        size = rows.numel() * rows.element_size()
        if size <= self._room:
            self._room -= size
            self._cache[example] = rows.cpu().clone()
