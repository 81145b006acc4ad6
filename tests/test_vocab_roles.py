"""Special tokens are known by what tokenizer, generation settings and chat template say of them."""

import pytest
from tokenizers import AddedToken, Tokenizer
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from cmc.vocab import Vocabulary, build_map
from cmc.vocab.roles import BOS_MARKERS, EOS_MARKERS, PAD_MARKERS, UNK_MARKERS
from tests.conftest import real_vocabulary

MARKERS = {"bos": BOS_MARKERS, "eos": EOS_MARKERS, "pad": PAD_MARKERS, "unk": UNK_MARKERS}
PARTS = ["a", "b", "<1>", "<2>", "<3>"]


def made(tokens=(*PARTS,), *, eos_ids=(), template=None, plain=(), **named) -> Vocabulary:
    """Return a vocabulary whose tokens in angle brackets are special, but for `plain` ones."""
    backend = Tokenizer(BPE({token: each for each, token in enumerate(tokens)}, []))
    backend.add_tokens([
        AddedToken(token, special=token not in plain) for token in tokens if token not in "abc"
    ])  # fmt: skip
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=backend, **named)
    tokenizer.chat_template = template
    return Vocabulary(tokenizer, eos_ids=eos_ids)


def played(vocabulary: Vocabulary) -> dict[str, list[str]]:
    return {
        role: [vocabulary.tokens[each] for each in ids]
        for role, ids in vocabulary.roles.items()
        if ids
    }


@pytest.mark.parametrize(
    ("role", "marker"), [(role, each) for role, all_ in MARKERS.items() for each in all_]
)
def test_a_published_marker_is_known_where_nothing_else_is_said(role, marker):
    vocabulary = made(["a", marker, "<other>"])
    assert played(vocabulary) == {role: [marker], "other": ["<other>"]}
    assert vocabulary.token_bytes == [b"a", None, None]


@pytest.mark.parametrize("role", list(MARKERS))
def test_what_the_tokenizer_names_plays_the_role_whatever_its_string(role):
    assert played(made(**{f"{role}_token": "<2>"})) == {role: ["<2>"], "other": ["<1>", "<3>"]}


def test_ordinary_text_that_looks_like_a_marker_is_text():
    """Only special tokens are looked at: `<s>` in HTML is struck-through text."""
    backend = Tokenizer(BPE({"a": 0, "</s>": 1}, []))
    vocabulary = Vocabulary(PreTrainedTokenizerFast(tokenizer_object=backend))
    assert played(vocabulary) == {}
    assert vocabulary.token_bytes == [b"a", b"</s>"]


def test_generation_settings_name_a_set_of_ends():
    vocabulary = made(eos_token="<1>", eos_ids=[3, 4])
    assert played(vocabulary) == {"eos": ["<1>", "<2>", "<3>"]}
    assert vocabulary.eos_id == 2  # training ends a text as the tokenizer does


def test_an_end_that_is_no_special_token_says_nothing_but_the_end():
    """Some chat models add the end of a turn as an ordinary token."""
    vocabulary = made(plain=["<1>"], eos_ids=[2])
    assert played(vocabulary)["eos"] == ["<1>"]
    assert vocabulary.token_bytes[2] is None
    assert made(plain=["<1>"]).token_bytes[2] == b"<1>"


def test_ends_that_are_no_ids_of_the_vocabulary_are_none():
    assert made(eos_ids=[-1, 5, 10**12]).eos_ids == ()


def test_a_chat_template_tells_which_tokens_mark_turns():
    template = "{% for each in messages %}<1>{{ each.role }}\n{{ each.content }}<2>{% endfor %}"
    vocabulary = made(template=template, eos_token="<2>")
    assert played(vocabulary) == {"eos": ["<2>"], "turn": ["<1>"], "other": ["<3>"]}


def test_several_chat_templates_are_all_looked_at():
    template = {"default": "<1>{{ messages }}", "tool_use": "<3>{{ messages }}"}
    assert played(made(template=template))["turn"] == ["<1>", "<3>"]


def test_a_template_beside_it_makes_no_other_vocabulary():
    assert made(template="<1>").fingerprint == made().fingerprint
    assert made(eos_ids=[2]).fingerprint != made().fingerprint


def test_one_token_may_play_several_roles():
    vocabulary = made(bos_token="<1>", eos_token="<1>", pad_token="<1>")
    assert played(vocabulary) == {
        "bos": ["<1>"], "eos": ["<1>"], "pad": ["<1>"], "other": ["<2>", "<3>"],
    }  # fmt: skip
    assert vocabulary.bos_id is None  # the end of a text is no beginning of a prompt


def test_turn_markers_and_other_specials_carry_nothing():
    vocabulary = made(template="<1>", eos_token="<2>")
    built = build_map(made(["c", "<1>", "<2>", "<3>"], template="<1>", eos_token="<2>"), vocabulary)
    assert built.ids.tolist() == [-1, -1, -1, 2, -1]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("gpt2", {"eos": ["<|endoftext|>"]}),
        ("llama2", {"bos": ["<s>"], "eos": ["</s>"], "unk": ["<unk>"]}),
        ("mistral_v1", {"bos": ["<s>"], "eos": ["</s>"], "unk": ["<unk>"]}),
        ("t5_small", {"eos": ["</s>"], "pad": ["<pad>"], "unk": ["<unk>"]}),
        ("qwen2_5", {"eos": ["<|endoftext|>", "<|im_end|>"]}),
        (
            "llama3",
            {
                "bos": ["<|begin_of_text|>"],
                "eos": ["<|end_of_text|>", "<|eom_id|>", "<|eot_id|>"],
                "pad": ["<|finetune_right_pad_id|>"],
            },
        ),
    ],
)
def test_roles_of_published_tokenizers(name, expected):
    found = played(real_vocabulary(name))
    assert {role: found[role] for role in found if role != "other"} == expected
