"""The controller's tokens stay those of the whole text, whatever pieces it comes in."""

import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import PreTrainedTokenizerFast

from cmc.generation.follower import Follower
from cmc.vocab import Vocabulary
from tests.conftest import shared, tiny_vocabulary

START = [1]


def follow(vocabulary: Vocabulary, pieces: list[bytes]) -> Follower:
    follower = Follower(vocabulary, list(START), context=100_000)
    for piece in pieces:
        follower.push_bytes(piece)
    return follower


@pytest.mark.parametrize("family", ["sentencepiece", "byte-level"])
@settings(max_examples=100, deadline=None)
@given(st.text(max_size=60), st.lists(st.integers(1, 7), min_size=1, max_size=9))
def test_any_pieces_of_a_text_give_the_tokens_of_the_whole(family, text, lengths):
    vocabulary, data = tiny_vocabulary(family), text.encode()
    pieces, at = [], 0
    while at < len(data):
        length = lengths[len(pieces) % len(lengths)]
        pieces.append(data[at : at + length])
        at += length
    follower = follow(vocabulary, pieces)
    assert follower.ids + follower.trunk == START + vocabulary.encode_continuation(data)


@pytest.mark.parametrize("family", ["sentencepiece", "byte-level", "unigram"])
def test_bytes_that_are_no_text_do_not_stop_it(family):
    vocabulary = tiny_vocabulary(family)
    follower = follow(vocabulary, [b" the", b"\xff\xfe", b" river", b" and on"] * 50)
    assert len(follower.pending) < 40
    assert vocabulary.encode_continuation(b" river")[0] in follower.ids


def test_a_text_without_boundaries_is_committed_all_the_same():
    follower = follow(tiny_vocabulary("sentencepiece"), [b"x" * 7] * 200)
    assert len(follower.pending) < 300


def test_a_text_never_outgrows_the_context():
    vocabulary = tiny_vocabulary("sentencepiece")
    follower = Follower(vocabulary, list(range(20, 200)), context=256)
    for _ in range(400):
        follower.push_bytes(b"x")
        assert len(follower.ids) + len(follower.trunk) < 256
    assert follower.is_windowed


@pytest.mark.parametrize(("target", "most"), [("mistral_v1", 1.10), ("llama3", 1.25)])
def test_real_answers_are_followed_token_by_token(target, most):
    """Real English answers, a Llama-2 controller behind real targets: few tokens read twice."""
    outputs = json.loads(shared("alpaca_eval", "text_davinci_003_outputs.json").read_text("utf-8"))
    controller, other = (
        Vocabulary(
            PreTrainedTokenizerFast(
                tokenizer_file=str(shared("tokenizers", name, "tokenizer.json"))
            )
        )
        for name in ("llama2", target)
    )
    read = said = 0
    for output in outputs[:40]:
        text = output["output"].encode()
        follower = Follower(controller, list(START), context=100_000)
        chain: list[int] = list(START)
        for token in other.encode_continuation(text):
            follower.push_bytes(other.token_bytes[token])
            now = follower.ids + follower.trunk
            common = next(
                (i for i, (a, b) in enumerate(zip(chain, now, strict=False)) if a != b),
                min(len(chain), len(now)),
            )
            read += len(now) - common
            said += 1
            chain = now
        assert chain == START + controller.encode_continuation(text)
    assert read / said <= most
