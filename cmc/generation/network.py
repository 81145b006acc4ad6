"""A tiny network over trees of tokens."""

import torch
from torch import Tensor
from transformers import PreTrainedModel

from cmc.errors import ControlError
from cmc.generation.layout import Layout, RowCache
from cmc.generation.memory import memory_told
from cmc.generation.quick import quick_forward
from cmc.models import cache_keyword


class TreeNetwork:
    """A causal language model with one cache row per text; what is laid out anew is overwritten."""

    def __init__(self, model: PreTrainedModel, vocab_size: int) -> None:
        self._model = model
        self._quick = quick_forward(model)
        self._vocab_size = vocab_size
        self._cache = RowCache()

    @torch.inference_mode()
    def forward(self, layout: Layout) -> Tensor:
        """Compute trees and return `(wanted tokens, vocab)` float32 logits.

        Raises:
            ControlError: there is too little memory, or a score is no number.
        """
        layout = layout.to(self._model.device)
        self._cache.layout = layout
        with memory_told("the controller"):
            if self._quick is not None:
                scores = self._quick.scores(self._quick.hidden(layout, self._cache)[layout.wanted])
            else:
                scores = self._own_forward(layout)
        scores = scores[:, : self._vocab_size].float()
        if not torch.isfinite(scores.sum()):  # one bad score spoils the sum
            raise ControlError(
                "the controller gave scores that are no numbers",
                hint="Its weights are damaged; choose another controller or train it again.",
            )
        return scores

    def _own_forward(self, layout: Layout) -> Tensor:
        columns, picked = layout.columns[layout.wanted].unique(return_inverse=True)
        mask = layout.mask.to(self._model.dtype).clamp_min(torch.finfo(self._model.dtype).min)
        output = self._model(
            input_ids=layout.padded(layout.tokens), position_ids=layout.padded(layout.positions),
            attention_mask=mask, use_cache=True, logits_to_keep=columns,
            **{cache_keyword(self._model): self._cache},
        )  # fmt: skip
        return output.logits[layout.rows[layout.wanted], picked]
