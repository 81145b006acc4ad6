"""A causal language model cut into what runs over texts and what runs over label rows."""

from typing import Any

import torch
from torch import Tensor, nn

from cmc.errors import ModelError


class SplitModel:
    """A model as features of a text and an output head on some of its places.

    The cut is checked once on a probe: where final hidden states and output head alone do not
    give the model's own logits (scaled or capped ones), whole logits are the features.
    """

    def __init__(self, model: Any, size: int) -> None:
        """Cut `model`, whose first `size` output rows are the vocabulary.

        Raises:
            ModelError: the model has fewer output rows than the vocabulary has tokens.
        """
        self.model = model
        self.size = size
        self.device = next(model.parameters()).device
        probe = torch.arange(min(8, size), device=self.device)[None]
        with torch.no_grad():
            whole = model(input_ids=probe, use_cache=False).logits
            self._has_plain_head = self._is_plain_head(probe, whole)
            # Numbers per place, and the bytes of one of them.
            features = self.features(probe[:, :1], torch.ones_like(probe[:, :1]))
            self.width, self.item_size = features.shape[-1], features.element_size()
        if whole.shape[-1] < size:
            raise ModelError(
                f"the model has {whole.shape[-1]:,} output rows for {size:,} tokens",
                hint="Choose the tokenizer that belongs to the model.",
            )

    def features(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Return what the head needs: `(batch, time, width)`, from `(batch, time)` inputs."""
        inputs = {"input_ids": input_ids, "attention_mask": attention_mask.long()}
        if self._has_plain_head:
            return self.model.base_model(**inputs, use_cache=False).last_hidden_state
        return self.model(**inputs, use_cache=False).logits

    def head(self, rows: Tensor) -> Tensor:
        """Return fp32 logits `(rows, vocab)` of features `(rows, width)`, without padded rows."""
        logits = self.model.get_output_embeddings()(rows) if self._has_plain_head else rows
        return logits[:, : self.size].float()

    def matrix(self) -> Tensor | None:
        """Return the head as `(vocab, width)`, or None where it is more than one matrix."""
        head = self.model.get_output_embeddings() if self._has_plain_head else None
        if type(head) is not nn.Linear or head.bias is not None:
            return None
        # A slice that is the whole would cost its backward pass a copy.
        return head.weight if len(head.weight) == self.size else head.weight[: self.size]

    def _is_plain_head(self, probe: Tensor, whole: Tensor) -> bool:
        head, body = self.model.get_output_embeddings(), self.model.base_model
        if head is None or body is self.model:
            return False
        hidden = getattr(body(input_ids=probe, use_cache=False), "last_hidden_state", None)
        if hidden is None:
            return False
        logits = head(hidden)
        return logits.shape == whole.shape and torch.allclose(logits, whole, rtol=1e-3, atol=1e-3)
