"""A small Llama's forward with little overhead, taken only where it is found to say the same.

At a few million weights, a forward through transformers' modules spends more time between the
operations than in them. This one runs the same operations on the same weights.
"""

from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import LlamaForCausalLM, PreTrainedModel

from cmc.generation.layout import Layout, RowCache, Tree, lay_out

FEW = 8  # rows up to which weights x rows is quicker than rows x weights on a processor
PROBE = 6  # tokens on which both forwards must agree
TOLERANCE = 1e-3  # of the largest score
ROTATIONS = ("default", "linear", "llama3")  # the others depend on how long the text is

_agree: WeakKeyDictionary[PreTrainedModel, bool] = WeakKeyDictionary()


class QuickLlama:
    """The forward of a Llama without biases; weights are read where they are, never copied."""

    def __init__(self, model: LlamaForCausalLM) -> None:
        self._model = model
        self._is_grouped = model.config.num_attention_heads != model.config.num_key_value_heads
        self._layers = [
            (each.input_layernorm, each.self_attn, each.post_attention_layernorm, each.mlp)
            for each in model.model.layers
        ]

    def hidden(self, layout: Layout, cache: RowCache) -> Tensor:
        """Return `(tokens, hidden)` states behind the tokens of trees; none is spent on padding."""
        body, count = self._model.model, len(layout.tokens)
        states = functional.embedding(layout.tokens, body.embed_tokens.weight)
        cos, sin = (each[0, :, None] for each in body.rotary_emb(states, layout.positions[None]))
        first, second = sin.chunk(2, -1)
        turn = cos, torch.cat([-first, second], -1)
        for number, (before, attention, behind, mlp) in enumerate(self._layers):
            normed = _normed(states, before)
            query, key, value = (
                _times(normed, each.weight).view(count, -1, attention.head_dim)
                for each in (attention.q_proj, attention.k_proj, attention.v_proj)
            )
            keys, values = cache.write(number, _turned(key, *turn), value)
            asked = layout.padded(_turned(query, *turn)).transpose(1, 2)
            seen = functional.scaled_dot_product_attention(
                asked, keys, values, layout.mask, enable_gqa=self._is_grouped
            )
            seen = layout.flat(seen.transpose(1, 2)).reshape(count, -1)
            states = states + _times(seen, attention.o_proj.weight)
            normed = _normed(states, behind)
            gated = functional.silu(_times(normed, mlp.gate_proj.weight))
            gated = gated * _times(normed, mlp.up_proj.weight)
            states = states + _times(gated, mlp.down_proj.weight)
        return _normed(states, body.norm)

    def scores(self, states: Tensor) -> Tensor:
        """Return `(rows, vocab)` logits of `(rows, hidden)` states."""
        return _times(states, self._model.lm_head.weight)


def _times(states: Tensor, weight: Tensor) -> Tensor:
    """Return `(…, out)`, states times `(out, in)` weights, by the quicker of two kernels."""
    rows = states.numel() // states.shape[-1]
    if states.device.type != "cpu" or rows > FEW:
        return functional.linear(states, weight)
    flat = states.reshape(rows, -1)
    # A processor multiplies by two columns in half the time it takes for one.
    columns = flat.expand(2, -1).contiguous() if rows == 1 else flat
    return (weight @ columns.T)[:, :rows].T.reshape(*states.shape[:-1], -1)


def quick_forward(model: PreTrainedModel) -> QuickLlama | None:
    """Return the quick forward of a model, or None where only its own will do."""
    if not _is_plain_llama(model):
        return None
    quick = QuickLlama(model)
    if model not in _agree:
        _agree[model] = _says_the_same(quick, model)
    return quick if _agree[model] else None


def _is_plain_llama(model: PreTrainedModel) -> bool:
    if type(model) is not LlamaForCausalLM or model.dtype != torch.float32:
        return False
    config = model.config
    linears = [each for each in model.modules() if isinstance(each, nn.Linear)]
    return (
        config.hidden_act == "silu"
        and model.model.rotary_emb.rope_type in ROTATIONS
        and all(type(each) is nn.Linear and each.bias is None for each in linears)
    )


@torch.inference_mode()
def _says_the_same(quick: QuickLlama, model: PreTrainedModel) -> bool:
    tokens = [each % model.config.vocab_size for each in range(PROBE)]
    chain = Tree(tokens, list(range(-1, PROBE - 1)), [0] * PROBE)
    cache = RowCache()
    cache.layout = lay_out([chain], [range(PROBE)], [0]).to(model.device)
    found = quick.scores(quick.hidden(cache.layout, cache))
    expected = model(input_ids=cache.layout.tokens[None], use_cache=False).logits[0]
    # Scores that are no numbers agree with nothing: the model's own forward then tells of them.
    return bool((found - expected).abs().max() <= TOLERANCE * expected.abs().max())


def _normed(states: Tensor, norm: nn.Module) -> Tensor:
    return functional.rms_norm(states, norm.weight.shape, norm.weight, norm.variance_epsilon)


def _turned(states: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Turn `(batch, heads, time, head)` by position; the first half of `sin` is negated."""
    return torch.addcmul(states * cos, states.roll(states.shape[-1] // 2, -1), sin)
