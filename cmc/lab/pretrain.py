"""Small language models from scratch: architectures, training on plain text, half precision."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    PreTrainedModel,
    PreTrainedTokenizerFast,
    get_scheduler,
)

from cmc.lab.vocabularies import MAX_TOKENS


@dataclass(frozen=True, kw_only=True)
class Recipe:
    """How one model of the lab is made."""

    architecture: str  # a transformers model type
    family: str  # a key of `vocabularies.FAMILIES`
    vocab_size: int
    hidden_size: int
    layers: int
    heads: int
    intermediate_size: int
    steps: int
    learning_rate: float
    seed: int

    def config(self, tokenizer: PreTrainedTokenizerFast) -> Any:
        """Return the transformers configuration for this tokenizer."""
        sizes: Mapping[str, Any] = {
            "vocab_size": len(tokenizer),
            "hidden_size": self.hidden_size,
            "num_hidden_layers": self.layers,
            "num_attention_heads": self.heads,
            "intermediate_size": self.intermediate_size,
            "max_position_embeddings": MAX_TOKENS,
            "bos_token_id": tokenizer.bos_token_id,
            "eos_token_id": tokenizer.eos_token_id,
            "tie_word_embeddings": True,
        }
        if self.architecture != "gpt_neox":
            sizes = {**sizes, "num_key_value_heads": self.heads}
        return AutoConfig.for_model(self.architecture, **sizes)


def make_model(recipe: Recipe, tokenizer: PreTrainedTokenizerFast) -> PreTrainedModel:
    """Return the untrained model of a recipe, drawn from its seed."""
    torch.manual_seed(recipe.seed)
    return AutoModelForCausalLM.from_config(recipe.config(tokenizer))


def windows(tokenizer: PreTrainedTokenizerFast, texts: Sequence[str], width: int) -> Tensor:
    """Return `(windows, width)` token ids: the texts, each ended by the end token, cut in rows."""
    stream: list[int] = []
    for ids in tokenizer(list(texts)).input_ids:
        stream += [*ids, tokenizer.eos_token_id]
    rows = len(stream) // width
    return torch.tensor(stream[: rows * width]).view(rows, width)


def pretrain(
    model: PreTrainedModel, rows: Tensor, recipe: Recipe, batch_size: int = 32
) -> Iterator[float]:
    """Train on `(windows, width)` ids, yield the loss of every step in nats per token."""
    generator = torch.Generator().manual_seed(recipe.seed)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=recipe.learning_rate, betas=(0.9, 0.98), weight_decay=0.05
    )
    scheduler = get_scheduler("cosine", optimizer, recipe.steps // 20 + 1, recipe.steps)
    model.train()
    for _ in range(recipe.steps):
        picked = torch.randint(len(rows), (batch_size,), generator=generator)
        loss = model(input_ids=rows[picked], labels=rows[picked], use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        scheduler.step()
        optimizer.zero_grad(set_to_none=True)
        yield loss.item()
    model.eval()


def round_to_half(model: PreTrainedModel) -> PreTrainedModel:
    """Round the weights to what 16-bit files hold, so that what is measured is what is stored."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(parameter.half().float())
    return model
