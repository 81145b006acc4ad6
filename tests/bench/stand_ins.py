"""Stand-ins for models that are too large to carry: real vocabularies and texts, random weights."""

import json
import os
from functools import cache
from pathlib import Path

import torch
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from cmc.controller import Controller, default_settings
from cmc.errors import DataError
from cmc.models import LanguageModel
from cmc.vocab import Vocabulary

CONTEXT = 8192  # tokens, more than any benchmark reads
# Standard deviation of the scores of the commonest token, nats, and the share of it that a token
# has which no answer uses. So a next token has an entropy near 3 nats, as a language model's has,
# and Llama-2's vocabulary spells Llama-3's favourites with 1.4 tokens each: in the answers it is
# 1.2 for each token and 1.5 for each word. A delta moves scores by less.
SPREAD, DELTA_SPREAD = 7.5, 1.0
UNUSED = 0.45
INITIAL = 0.05
END_OF_TEXT = {"llama3": 128001}  # 2 in the other vocabularies used here


@cache
def vocabulary(name: str) -> Vocabulary:
    """Return a published vocabulary of the third-party data."""
    file = shared("tokenizers", name, "tokenizer.json")
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(file))
    return Vocabulary(tokenizer, eos_ids=[END_OF_TEXT.get(name, 2)])


@cache
def answers() -> list[str]:
    """Return English answers of AlpacaEval's reference model."""
    outputs = shared("alpaca_eval", "text_davinci_003_outputs.json").read_text("utf-8")
    return [each["output"] for each in json.loads(outputs)]


def long_text(tokens: int, name: str) -> tuple[str, list[int]]:
    """Return a prompt, and `tokens` ids with which answers go on behind it."""
    known = vocabulary(name)
    ids = known.encode_continuation(" ".join(answers()).encode()[: 12 * tokens])
    if len(ids) < tokens:
        raise DataError("the texts are too short", hint="Take more of them.")
    return answers()[0], ids[:tokens]


@cache
def spreads(name: str) -> torch.Tensor:
    """Return `(vocab,)` how far each token's scores spread, more for what answers often use."""
    known = vocabulary(name)
    used = [token for text in answers() for token in known.encode_continuation(text.encode())]
    often = torch.bincount(torch.tensor(used), minlength=known.size).log1p()
    return UNUSED + (1 - UNUSED) * often / often.max()


def network(
    size: int, *, hidden: int, layers: int, seed: int, spread: float = SPREAD,
    spreads: torch.Tensor | None = None,
) -> LlamaForCausalLM:  # fmt: skip
    """Return a Llama with tied heads and random weights, whose scores spread as a real one's."""
    torch.manual_seed(seed)
    heads = hidden // 32
    config = LlamaConfig(
        vocab_size=size, hidden_size=hidden, intermediate_size=hidden * 8 // 3,
        num_hidden_layers=layers, num_attention_heads=heads, num_key_value_heads=heads,
        max_position_embeddings=CONTEXT, tie_word_embeddings=True, bos_token_id=None,
        eos_token_id=None, pad_token_id=None, initializer_range=INITIAL,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval().requires_grad_(False)
    model.model.norm.weight.fill_(spread / (INITIAL * hidden**0.5))
    if spreads is not None:
        model.lm_head.weight *= spreads[:, None]
    return model


@cache
def target(name: str, *, hidden: int = 1024, layers: int = 16) -> LanguageModel:
    """Return a target in a published vocabulary."""
    known = vocabulary(name)
    shape = {"hidden": hidden, "layers": layers, "spreads": spreads(name)}
    return LanguageModel(f"stand-in:{name}", network(known.size, seed=1, **shape), known)


@cache
def controller(*, hidden: int = 288, layers: int = 6, has_prior: bool = True) -> Controller:
    """Return a controller in the vocabulary of Llama-2, as the published ones are."""
    known = vocabulary("llama2")
    shape = {"hidden": hidden, "layers": layers, "spreads": spreads("llama2")}
    delta = network(known.size, **shape, seed=2, spread=DELTA_SPREAD)
    prior = network(known.size, **shape, seed=3)
    settings = default_settings() | {"prompt_format": "plain"}
    return Controller("stand-in", delta, prior if has_prior else None, known, settings)


def weights(model: torch.nn.Module) -> int:
    """Return the bytes of a model's weights, which a step reads once."""
    return sum(each.numel() * each.element_size() for each in model.parameters())


def shared(*parts: str) -> Path:
    """Return a file of the third-party data."""
    default = Path(__file__).resolve().parents[3] / "shared"
    path = Path(os.environ.get("CMC_SHARED", default)).joinpath("data", *parts)
    if not path.exists():
        raise DataError(
            f"third-party data is absent: {'/'.join(parts)}", hint="Set CMC_SHARED to its folder."
        )
    return path
