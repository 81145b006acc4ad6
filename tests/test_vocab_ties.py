"""Every documented rule of `pm-mined`, on vocabularies where nothing else decides."""

import pytest
from tokenizers import Tokenizer, decoders
from tokenizers.models import BPE
from transformers import PreTrainedTokenizerFast

from cmc.vocab import Kind, Vocabulary, build_map

SENTENCEPIECE, BYTE_LEVEL = decoders.Metaspace(), decoders.ByteLevel()


def made(tokens: list[str], decoder=None, **roles: str) -> Vocabulary:
    """Return a vocabulary of exactly these tokens; strings are raw unless a decoder says more."""
    backend = Tokenizer(BPE({token: each for each, token in enumerate(tokens)}, []))
    if decoder is not None:
        backend.decoder = decoder
    return Vocabulary(PreTrainedTokenizerFast(tokenizer_object=backend, **roles))


# What is asked for is the target's token 1; the controller's tokens; the id that is right.
PUBLISHED = {
    "a special token keeps its id": ("[END]", ["a", "b", "[END]"], 1),
    "a token in angle brackets keeps its id": ("<?>", ["a", "b", "<?>"], 1),
    "empty brackets are an ordinary token": ("<>", ["a", "b", "<>"], 2),
    "an open bracket is an ordinary token": ("<ab", ["a", "b", "<ab"], 2),
    "a closed bracket is an ordinary token": ("ab>", ["a", "b", "ab>"], 2),
    "the same string is nearest": ("ab", ["abc", "a", "ab"], 2),
    "a prefix is near": ("abc", ["b", "ab"], 1),
    "an extension is near": ("abc", ["bc", "abcd"], 1),
    "the longest prefix is nearest": ("abcd", ["ab", "abc", "a"], 1),
    "the shortest extension is nearest": ("ab", ["abcde", "abcd", "abcdef"], 1),
    "an extension may be nearer than a prefix": ("abcd", ["a", "abcdef"], 1),
    "a prefix may be nearer than an extension": ("abcd", ["abcdef", "abc"], 1),
    "of a prefix and an extension as near, the prefix has the lower id": ("abc", ["ab", "abcd"], 0),
    "of a prefix and an extension as near, the extension has it": ("abc", ["abcd", "ab"], 0),
    "of extensions as near the lowest id wins": ("ab", ["abz", "aba"], 0),
    "an empty token is a prefix of all": ("abc", ["b", ""], 1),
    "a bare space begins no word": ("▁dog", ["▁"], -1),
    "but a longer prefix may": ("▁dog", ["▁", "▁d"], 1),
    "a bare space stands for spaces": ("▁▁▁", ["▁"], 0),
    "and for a space with a line end behind it": ("▁\n", ["▁"], 0),
    "what nothing begins or goes on with has no entry": ("q", ["a", "b", "aq"], -1),
}


@pytest.mark.parametrize(("token", "controller", "expected"), PUBLISHED.values(), ids=PUBLISHED)
def test_a_published_rule_decides(token, controller, expected):
    special = {"eos_token": token} if token == "[END]" else {}
    target = made(["x", token], **special)
    assert build_map(made(controller), target, parity=True).ids[1] == expected


# By default; controller in SentencePiece's alphabet, target in that of bytes.
OURS = {
    "bytes are compared, not strings": ("Ġdog", ["a", "▁dog"], 1),
    "a byte token is the byte": ("Ċ", ["a", "<0x0A>"], 1),
    "a piece wins over a byte token before it": ("A", ["<0x41>", "A"], 1),
    "a piece wins over a byte token behind it": ("A", ["A", "<0x41>"], 0),
    "of two pieces that spell the same the lower id wins": ("Ġa", [" a", "▁a"], 0),
    "a bare space begins no word": ("Ġdog", ["▁"], -1),
    "a bare space stands for spaces": ("ĠĠ", ["▁"], 0),
    "distance is in bytes, not in characters": ("aÃ©", ["a", "aéb"], 1),  # aé; é has two bytes
    "the nearest wins": ("abcd", ["a", "abcdef"], 1),
    "of those as near the lowest id wins": ("abc", ["abcd", "ab"], 0),
    "angle brackets mean nothing": ("<?>", ["a", "b", "<?>"], 2),
    "what nothing begins or goes on with has no entry": ("q", ["a", "b", "aq"], -1),
}


@pytest.mark.parametrize(("token", "controller", "expected"), OURS.values(), ids=OURS)
def test_a_rule_of_ours_decides(token, controller, expected):
    target = made(["x", token], BYTE_LEVEL)
    assert build_map(made(controller, SENTENCEPIECE), target).ids[1] == expected


def test_every_end_means_the_controllers_own_end():
    controller = made(["<|endoftext|>", "</s>", "a"], eos_token="</s>", pad_token="<|endoftext|>")
    target = made(["[E]", "[F]", "b"], eos_token="[E]", additional_special_tokens=["[F]"])
    target = Vocabulary(target.tokenizer, eos_ids=[1])
    built = build_map(controller, target)
    assert controller.eos_ids == (0, 1)
    assert built.ids.tolist() == [1, 1, -1]
    assert built.kinds.tolist() == [Kind.ROLE, Kind.ROLE, Kind.NONE]


@pytest.mark.parametrize("role", ["bos", "pad", "unk"])
def test_a_role_is_carried_whatever_its_string(role):
    controller = made(["a", "[1]"], **{f"{role}_token": "[1]"})
    target = made(["[2]", "b"], **{f"{role}_token": "[2]"})
    assert build_map(controller, target).ids.tolist() == [1, -1]
    assert build_map(made(["a", "[1]"]), target).ids.tolist() == [-1, -1]


def test_padding_that_ends_texts_is_an_end():
    controller = made(["[E]", "a"], eos_token="[E]", pad_token="[E]")
    assert build_map(controller, made(["[P]", "b"], pad_token="[P]")).ids[0] == -1
    target = made(["[E]", "b"], eos_token="[E]", pad_token="[E]")
    own_pad = made(["[P]", "[E]"], eos_token="[E]", pad_token="[P]")
    assert build_map(own_pad, target).ids[0] == 1


def test_no_text_is_mapped_to_a_special_token_and_no_special_token_by_its_string():
    controller = made(["[END]", "b"], eos_token="[END]")
    assert build_map(controller, made(["[END", "[END]x"])).ids.tolist() == [-1, -1]
    target = made(["[X]", "a"], additional_special_tokens=["[X]"])
    assert build_map(made(["a", "[X]"]), target).ids.tolist() == [-1, 0]


def test_equal_vocabularies_are_the_identity_where_two_tokens_spell_the_same():
    one, other = (made([" a", "▁a", "b"], SENTENCEPIECE) for _ in range(2))
    assert build_map(one, other).ids.tolist() == [0, 1, 2]
