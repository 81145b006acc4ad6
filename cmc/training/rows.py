"""Scores at the answers' places only: two heads, in chunks, without ever holding all logits."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from cmc.data import TokenBatch
from cmc.errors import ModelError
from cmc.training.objectives import answer_logprobs, kl_rows

CHUNK_SCORES = 2**24  # rows x vocabulary that are held at a time: 64 MB in fp32
Head = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class RowScores:
    """Per label: log-probability under control and of the template alone, and KL; all in nats."""

    controlled: Tensor
    template: Tensor
    kl: Tensor | None


class SplitModel:
    """A causal language model cut into what runs over texts and what runs over label rows.

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

    def _is_plain_head(self, probe: Tensor, whole: Tensor) -> bool:
        head, body = self.model.get_output_embeddings(), self.model.base_model
        if head is None or body is self.model:
            return False
        hidden = getattr(body(input_ids=probe, use_cache=False), "last_hidden_state", None)
        if hidden is None:
            return False
        logits = head(hidden)
        return logits.shape == whole.shape and torch.allclose(logits, whole, rtol=1e-3, atol=1e-3)


class SteeredScores(nn.Module):
    """Template plus delta at the labels; a module, so that several processes can share it."""

    def __init__(self, delta: nn.Module, size: int, template_head: Head) -> None:
        super().__init__()
        self.delta = delta
        self._split = SplitModel(delta, size)
        self._template_head = template_head

    def forward(self, batch: TokenBatch, template_rows: Tensor, with_kl: bool = False) -> RowScores:
        """Score the labels of `batch`.

        Args:
            batch: `(batch, time)` ids and masks.
            template_rows: `(rows, width)` features of the template at the labels.
            with_kl: whether to compute the divergence as well.
        """
        device = self._split.device
        hidden = self._split.features(batch.input_ids.to(device), batch.attention_mask.to(device))
        rows = hidden[label_places(batch).to(device)]
        labels = batch_labels(batch).to(device)
        return self._chunked(rows, template_rows, labels, with_kl)

    def _chunked(
        self, rows: Tensor, template_rows: Tensor, labels: Tensor, with_kl: bool
    ) -> RowScores:
        chunk = max(1, CHUNK_SCORES // self._split.size)
        pieces = zip(
            rows.split(chunk), template_rows.split(chunk), labels.split(chunk), strict=True
        )
        is_one = len(rows) <= chunk
        scores = [
            self._score(*piece, with_kl)
            if is_one
            # Backward computes the chunk's logits anew instead of keeping those of all chunks.
            else checkpoint(
                self._score, *piece, with_kl, use_reentrant=False, preserve_rng_state=False
            )
            for piece in pieces
        ]
        controlled, template, kl = (torch.cat(parts) for parts in zip(*scores, strict=True))
        return RowScores(controlled, template, kl if with_kl else None)

    def _score(
        self, rows: Tensor, template_rows: Tensor, labels: Tensor, with_kl: bool
    ) -> tuple[Tensor, Tensor, Tensor]:
        with torch.no_grad():
            base_logits = self._template_head(template_rows)
            template = answer_logprobs(base_logits, labels)
        logits = base_logits + self._split.head(rows)
        kl = kl_rows(base_logits, logits) if with_kl else template
        return answer_logprobs(logits, labels), template, kl


def label_places(batch: TokenBatch) -> Tensor:
    """Return `(batch, time)` bool: the places whose scores choose a label, one before each."""
    places = torch.zeros_like(batch.label_mask)
    places[:, :-1] = batch.label_mask[:, 1:]
    return places


def batch_labels(batch: TokenBatch) -> Tensor:
    """Return `(rows,)` the labels' ids, row by row of the batch."""
    return batch.input_ids[:, 1:][batch.label_mask[:, 1:]]


def label_owners(batch: TokenBatch) -> Tensor:
    """Return `(rows,)` the row of the batch that each label belongs to."""
    return label_places(batch).nonzero()[:, 0]
