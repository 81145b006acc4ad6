"""The quick forward of a small Llama says what transformers' own says, or is not taken."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, AutoModelForCausalLM

from cmc.generation.layout import Tree, lay_out
from cmc.generation.network import TreeNetwork
from cmc.generation.quick import quick_forward
from tests.conftest import tiny_network

VOCAB = 60


def llama(**options):
    torch.manual_seed(3)
    config = AutoConfig.for_model(
        "llama", vocab_size=VOCAB, hidden_size=48, num_hidden_layers=2, intermediate_size=80,
        max_position_embeddings=128, num_attention_heads=4, num_key_value_heads=2, **options,
    )  # fmt: skip
    return AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)


MODELS = {
    "grouped": llama(), "tied": llama(tie_word_embeddings=True),
    "scaled": llama(rope_parameters={"rope_type": "linear", "factor": 4.0, "rope_theta": 1e4}),
}  # fmt: skip
trees = st.lists(
    st.tuples(st.integers(0, VOCAB - 1), st.integers(0, 10**6)), min_size=1, max_size=14
)


def path_to(parents: list[int], node: int) -> list[int]:
    path = []
    while node >= 0:
        path.append(node)
        node = parents[node]
    return path[::-1]


@pytest.mark.parametrize("name", MODELS)
@settings(max_examples=15, deadline=None)
@given(st.lists(trees, min_size=1, max_size=3), st.lists(st.integers(1, 9), min_size=3, max_size=3))
def test_trees_behind_chains_are_read_as_texts_of_their_own(name, drawn, lengths):
    """Whatever the shapes of the trees: each path is what the model says of that text alone."""
    model = MODELS[name]
    chains = [list(range(length)) for length in lengths[: len(drawn)]]
    network = TreeNetwork(model, VOCAB)
    assert network._quick is not None
    begun = [Tree(each, list(range(-1, len(each) - 1)), [0] * len(each)) for each in chains]
    network.forward(lay_out(begun, [[0]] * len(begun), [0] * len(begun)))
    planted = []
    for chain, nodes in zip(chains, drawn, strict=True):
        parents = [number % (place + 1) - 1 for place, (_, number) in enumerate(nodes)]
        planted.append(Tree([token for token, _ in nodes], parents, [len(chain)] * len(nodes)))
    wanted = [range(len(each.tokens)) for each in planted]
    found = iter(network.forward(lay_out(planted, wanted, [len(each) for each in chains])))
    for chain, tree in zip(chains, planted, strict=True):
        for node in range(len(tree.tokens)):
            path = [tree.tokens[each] for each in path_to(tree.parents, node)]
            expected = model(torch.tensor([chain + path])).logits[0, -1]
            torch.testing.assert_close(next(found), expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "model",
    [
        llama(attention_bias=True),
        llama(hidden_act="gelu"),
        llama(rope_parameters={"rope_type": "dynamic", "factor": 2.0, "rope_theta": 1e4}),
        llama().to(torch.bfloat16),
        tiny_network(VOCAB, architecture="gpt_neox"),
        tiny_network(VOCAB, architecture="qwen2"),
    ],
    ids=["biases", "gelu", "dynamic", "bfloat16", "gpt_neox", "qwen2"],
)
def test_other_models_keep_their_own_forward(model):
    assert quick_forward(model) is None


def test_a_llama_that_says_otherwise_keeps_its_own_forward():
    model = llama()
    model.model.layers[1].mlp.register_forward_hook(lambda *found: found[-1] * 1.1)
    assert quick_forward(model) is None
    model = llama()
    model.lm_head.weight[3] = float("nan")
    assert quick_forward(model) is None


def test_weights_that_change_later_are_read_as_they_are_then():
    model = llama()
    network, tree = TreeNetwork(model, VOCAB), Tree([5], [-1], [0])
    network.forward(lay_out([tree], [[0]], [0]))
    model.lm_head.weight.mul_(2.0)
    found = network.forward(lay_out([tree], [[0]], [0]))[0]
    expected = model(torch.tensor([[5]])).logits[0, -1]
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-4)
