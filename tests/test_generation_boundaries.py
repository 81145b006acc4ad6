"""Where a text may be cut is tried for every vocabulary, and given up where it cannot be told."""

import pytest
from tokenizers import Regex, Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from cmc.generation.boundaries import NEVER, PROBE, held_back
from cmc.generation.follower import Follower
from cmc.vocab import Vocabulary
from tests.conftest import shared, tiny_vocabulary


def looking_ahead(pattern: str) -> Vocabulary:
    """Return a byte-level vocabulary whose pieces follow a pattern."""
    pieces = pre_tokenizers.ByteLevel.alphabet()
    tokens = {"<end>": 0} | {piece: place for place, piece in enumerate(sorted(pieces), 1)}
    merges = []
    for first in "123456789":  # numbers of two and three digits are tokens
        for second in "123456789":
            tokens.setdefault(first + second, len(tokens))
            merges.append((first, second))
    backend = Tokenizer(models.BPE(tokens, merges))
    backend.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])  # fmt: skip
    return Vocabulary(PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<end>"))


FROM_THE_RIGHT = r"\d{1,3}(?=(?:\d{3})*(?!\d))|\s+|[^\s\d]+"  # 1234 is 1|234 and 12345 is 12|345


@pytest.mark.parametrize("family", ["sentencepiece", "byte-level", "unigram"])
def test_the_labs_vocabularies_hold_back_one_segment(family):
    assert held_back(tiny_vocabulary(family)) == 1


@pytest.mark.parametrize("name", ["llama2", "llama3", "mistral_v1", "gpt2", "qwen2_5"])
def test_so_do_published_ones(name):
    file = shared("tokenizers", name, "tokenizer.json")
    vocabulary = Vocabulary(PreTrainedTokenizerFast(tokenizer_file=str(file)), eos_ids=[2])
    assert held_back(vocabulary) == 1


@pytest.mark.parametrize(
    ("pattern", "expected"), [(FROM_THE_RIGHT, NEVER), (r"\d{1,3}|\s+|[^\s\d]+", 1)]
)
def test_a_text_comes_out_whole_whatever_the_pattern_looks_ahead_to(pattern, expected):
    vocabulary = looking_ahead(pattern)
    assert held_back(vocabulary) == expected
    follower = Follower(vocabulary, [0], context=100_000)
    for character in " about 12345 and 1234567:":
        follower.push_bytes(character.encode())
    whole = vocabulary.encode_continuation(b" about 12345 and 1234567:")
    assert follower.ids + follower.trunk == [0, *whole]


def test_the_probe_ends_every_kind_of_text_somewhere():
    assert {" ", "\n", "7", "é", "…"} - {"é"} <= set(PROBE)
