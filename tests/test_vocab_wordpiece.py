"""WordPiece: bytes whatever the continuing prefix, and texts that go on within a word."""

from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, normalizers, pre_tokenizers
from tokenizers.models import WordPiece
from transformers import PreTrainedTokenizerFast

from cmc.vocab import Kind, Vocabulary, build_map
from cmc.vocab.health import unused_ids
from cmc.vocab.losses import find_losses
from tests.conftest import tiny_vocabulary

WORDS = ("walk", "the", "dog", "中", "国", ",", "(", *"abcdefghijklmnopqrstuvwxyz")
ENDS = ("ing", "ed", *"abcdefghijklmnopqrstuvwxyz")
PREFIXES = ("##", "@@", "++")


@cache
def made(prefix: str) -> Vocabulary:
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *WORDS, prefix, *(prefix + end for end in ENDS)]
    model = WordPiece(
        {token: each for each, token in enumerate(tokens)},
        unk_token="[UNK]", continuing_subword_prefix=prefix,
    )  # fmt: skip
    backend = Tokenizer(model)
    backend.normalizer = normalizers.BertNormalizer(lowercase=False)
    backend.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    named = {"pad_token": "[PAD]", "unk_token": "[UNK]", "cls_token": "[CLS]", "sep_token": "[SEP]"}
    return Vocabulary(PreTrainedTokenizerFast(tokenizer_object=backend, **named))


def strings(vocabulary: Vocabulary, text: str) -> list[str]:
    return [vocabulary.tokens[each] for each in vocabulary.encode_continuation(text.encode())]


@pytest.mark.parametrize("prefix", PREFIXES)
def test_bytes_tell_how_a_word_begins_and_goes_on(prefix):
    vocabulary = made(prefix)
    spelled = dict(zip(vocabulary.tokens, vocabulary.token_bytes, strict=True))
    assert (spelled["walk"], spelled[prefix + "ing"]) == (b" walk", b"ing")
    assert (spelled[","], spelled["中"]) == (b",", "中".encode())
    assert spelled["[CLS]"] is None
    assert vocabulary.roles["eos"] == (3,)
    # A continuing prefix alone spells nothing: nothing may be mapped to it.
    assert unused_ids(vocabulary) == [vocabulary.tokens.index(prefix)]
    assert b"" not in vocabulary.id_of_bytes


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_text_is_cut_as_the_tokenizer_cuts_it(prefix):
    vocabulary = made(prefix)
    text = " walking the dog, 中国 (dogs"
    own = vocabulary.tokenizer(text, add_special_tokens=False).input_ids
    assert vocabulary.encode_continuation(text.encode()) == own
    assert strings(vocabulary, "ing dogs") == [prefix + "ing", "dog", prefix + "s"]
    assert strings(vocabulary, ", walk") == [",", "walk"]
    assert strings(vocabulary, "中") == ["中"]
    assert strings(vocabulary, "") == strings(vocabulary, " ") == []


@pytest.mark.parametrize("prefix", PREFIXES)
@settings(max_examples=100, deadline=None)
@given(
    words=st.lists(st.text("abcdefgwz", min_size=1, max_size=9), min_size=1, max_size=5),
    cut=st.integers(0, 50),
)
def test_words_with_spaces_between_come_back_wherever_they_are_cut(prefix, words, cut):
    vocabulary = made(prefix)
    text = "".join(f" {word}" for word in words)
    if text[:cut].endswith(" "):
        cut += 1  # WordPiece has no token for a space alone
    ids = [
        *vocabulary.encode_continuation(text[:cut].encode()),
        *vocabulary.encode_continuation(text[cut:].encode()),
    ]
    assert vocabulary.decode(ids) == text


def test_what_wordpiece_loses_is_named():
    losses = find_losses(made("##"))
    assert losses.is_lossy
    assert {"\n", "  ", "日"} <= set(losses.unspelled)


@pytest.mark.parametrize("prefix", PREFIXES)
def test_a_map_from_wordpiece_is_by_bytes(prefix):
    controller, target = made(prefix), tiny_vocabulary("byte-level")
    built = build_map(controller, target)
    for data, token in ((b" the", "the"), (b"ing", prefix + "ing"), (b",", ",")):
        found = target.id_of_bytes.get(data)
        if found is not None:
            assert controller.tokens[built.ids[found]] == token
            assert built.kinds[found] == Kind.EXACT
    assert controller.tokens.index(prefix) not in built.ids
