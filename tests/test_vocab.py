"""Vocabularies as bytes, and the maps between them, against published data and brute force."""

import json
import random
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, normalizers, pre_tokenizers
from tokenizers.models import BPE, Unigram
from transformers import PreTrainedTokenizerFast

import cmc
from cmc.errors import DataError, VocabMismatch
from cmc.vocab import (
    Kind,
    PrefixIndex,
    VocabMap,
    Vocabulary,
    build_map,
    composition,
    inspected_map,
    map_summary,
)
from cmc.vocab.canonical import GPT2_ALPHABET, split_incomplete
from cmc.vocab.pm_mined import _index
from tests.conftest import real_vocabulary, shared, tiny_tokenizer, tiny_vocabulary

REAL = ("llama2", "mistral_v1", "llama3", "qwen2_5", "gpt2")
TEXTS = (
    " Hello world, naïve  café\n\tx = 1",
    "日本語 テキスト 中文 한국어",
    "नमस्ते दुनिया สวัสดีชาวโลก 👩‍👩‍👧 שלום مرحبا",
)


@pytest.mark.parametrize("name", list(REAL))
def test_bytes_of_a_real_tokenizers_tokens_are_the_text(name):
    vocabulary = real_vocabulary(name)
    for text in TEXTS:
        assert vocabulary.spell(vocabulary.encode_continuation(text.encode())) == text.encode()
    roles = {each for ids in vocabulary.roles.values() for each in ids}
    unspelled = {each for each, spelled in enumerate(vocabulary.token_bytes) if spelled is None}
    assert unspelled == roles


@pytest.mark.parametrize("name", ["llama3", "qwen2_5", "gpt2"])
def test_a_continuation_is_encoded_as_the_tokenizer_encodes_it(name):
    vocabulary = real_vocabulary(name)
    for text in TEXTS:
        own = vocabulary.tokenizer(text, add_special_tokens=False).input_ids
        assert vocabulary.encode_continuation(text.encode()) == own


@pytest.mark.parametrize("name", ["llama2", "mistral_v1"])
def test_a_continuation_has_no_dummy_space(name):
    vocabulary = real_vocabulary(name)
    for text in TEXTS:
        # Behind a line end the tokenizer itself adds no space in front of the text.
        own = vocabulary.tokenizer("\n" + text, add_special_tokens=False).input_ids
        line_end = vocabulary.id_of_bytes[b"\n"]
        assert vocabulary.encode_continuation(text.encode()) == own[own.index(line_end) + 1 :]


@pytest.mark.parametrize("family", ["sentencepiece", "byte-level"])
@settings(max_examples=150, deadline=None)
@given(data=st.binary(max_size=40) | st.text(max_size=30).map(lambda text: text.encode()))
def test_any_bytes_survive_a_lossless_tokenizer(family, data):
    vocabulary = tiny_vocabulary(family)
    text, rest = split_incomplete(data)
    assert vocabulary.spell(vocabulary.encode_continuation(data)) == text.encode() + rest


@cache
def unigram_with_bytes() -> Vocabulary:
    """Return a Unigram vocabulary with a token for every byte."""
    pieces = ["<unk>", *(f"<0x{byte:02X}>" for byte in range(256)), "▁", "a", "b", "▁a", "ab", "日"]
    model = Unigram([(piece, -1.0 - n / 100) for n, piece in enumerate(pieces)], 0, True)
    return Vocabulary(PreTrainedTokenizerFast(tokenizer_object=Tokenizer(model), unk_token="<unk>"))


@settings(max_examples=150, deadline=None)
@given(text=st.text(max_size=20) | st.text("ab 日é▁<0x>", max_size=20))
def test_unigram_with_byte_tokens_loses_nothing(text):
    vocabulary = unigram_with_bytes()
    assert vocabulary.decode(vocabulary.encode_continuation(text.encode())) == text


@cache
def bytes_before_the_cut() -> Vocabulary:
    """Return a vocabulary whose tokenizer writes bytes first and cuts at spaces then."""
    tokens = [*sorted(GPT2_ALPHABET), "ab", "Ġa", "Ġab"]
    merges = [("a", "b"), ("Ġ", "a"), ("Ġa", "b")]
    backend = Tokenizer(BPE({token: each for each, token in enumerate(tokens)}, merges))
    backend.normalizer, backend.decoder = normalizers.ByteLevel(), decoders.ByteLevel()
    backend.pre_tokenizer = pre_tokenizers.Split("Ġ", "merged_with_next")
    return Vocabulary(PreTrainedTokenizerFast(tokenizer_object=backend))


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=20) | st.text("ab é\n", max_size=20))
def test_a_tokenizer_that_writes_bytes_before_it_cuts_loses_nothing(text):
    vocabulary = bytes_before_the_cut()
    ids = vocabulary.encode_continuation(text.encode())
    assert vocabulary.decode(ids) == text
    assert ids == vocabulary.tokenizer(text, add_special_tokens=False).input_ids


@given(st.text(max_size=8), st.integers(0, 40))
def test_an_incomplete_character_is_held_back(text, cut):
    data = text.encode()[:cut]
    whole, rest = split_incomplete(data)
    assert whole.encode() + rest == data
    assert "�" not in whole or "�" in text
    assert len(rest) < 4


def test_roles_are_found_by_what_they_do():
    llama3 = real_vocabulary("llama3")
    assert llama3.roles["bos"] == (128000,)
    assert set(llama3.eos_ids) == {128001, 128008, 128009}
    assert llama3.bos_id == 128000
    assert real_vocabulary("gpt2").bos_id is None  # the end of a text is no beginning of a prompt


def test_fingerprints_are_of_meaning_not_of_name():
    one, again = tiny_vocabulary("unigram"), Vocabulary(tiny_tokenizer("unigram"))
    assert one.fingerprint == again.fingerprint
    assert one.fingerprint != tiny_vocabulary("sentencepiece").fingerprint


def test_parity_reproduces_the_published_map():
    published = json.loads(shared("published_map", "one2one_mistral2llama_id.json").read_text())
    ids = (
        [published[str(each)] for each in range(32000)]
        if isinstance(published, dict)
        else published
    )
    ours = build_map(real_vocabulary("llama2"), real_vocabulary("mistral_v1"), parity=True)
    assert ours.ids.tolist() == list(ids)
    assert (ours.ids == -1).sum() == 1341
    default = build_map(real_vocabulary("llama2"), real_vocabulary("mistral_v1"))
    question = real_vocabulary("mistral_v1").tokens.index("<?>")
    assert ours.ids[question] == question  # the accident of the published rules
    assert default.ids[question] != question


def test_the_public_names_reproduce_the_published_map(tmp_path):
    controller, target = (
        cmc.load_vocabulary(str(shared("tokenizers", name))) for name in ("llama2", "mistral_v1")
    )
    built = cmc.build_map(controller, target, parity=True)
    published = shared("published_map", "one2one_mistral2llama_id.json")
    assert built.ids.tolist() == json.loads(published.read_text())
    matches = json.loads(shared("published_map", "one2one_mistral2llama_match.json").read_text())
    assert (built.kinds == Kind.EXACT).tolist() == [bool(each) for each in matches]
    built.save(tmp_path / "map.safetensors")
    assert cmc.VocabMap.load(tmp_path / "map.safetensors").ids.tolist() == built.ids.tolist()


def naive(target: list[str], controller: list[str]) -> list[int]:
    """The published quadratic algorithm without its special cases: every pair is compared."""
    found = []
    for token in target:
        best = (10**9, -1)
        for index, other in enumerate(controller):
            if token == other:
                best = (-1, index)
                break
            if (token.startswith(other) or other.startswith(token)) and (
                other != "▁" or set(token) <= {"▁"}
            ):
                best = min(best, (abs(len(token) - len(other)), index))
        found.append(best[1])
    return found


def test_the_linear_build_equals_the_quadratic_one():
    random_state = random.Random(0)
    for _ in range(200):
        draw = [
            "".join(random_state.choices("ab▁", k=random_state.randint(1, 5))) for _ in range(40)
        ]
        controller, target = list(dict.fromkeys(draw[:20])), list(dict.fromkeys(draw[20:]))
        ids = {token: index for index, token in enumerate(controller)}
        nearest = _index(controller, ids, target)
        ours = [nearest.find(token, None if set(token) <= {"▁"} else "▁")[0] for token in target]
        assert ours == naive(target, controller)


def test_the_end_of_text_reaches_the_whole_end_set():
    controller, target = tiny_vocabulary("sentencepiece"), tiny_vocabulary("byte-level")
    built = build_map(controller, target)
    for end in target.eos_ids:
        assert built.ids[end] == controller.eos_id
    spelled = [each for each, text in enumerate(target.token_bytes) if text is not None]
    assert controller.eos_id not in built.ids[spelled]


def test_a_map_of_equal_vocabularies_is_the_identity():
    vocabulary = tiny_vocabulary("sentencepiece")
    assert build_map(vocabulary, vocabulary).ids.tolist() == list(range(vocabulary.size))


def test_a_saved_map_comes_back(tmp_path):
    built = build_map(tiny_vocabulary("sentencepiece"), tiny_vocabulary("unigram"))
    built.save(tmp_path / "map.safetensors")
    loaded = VocabMap.load(tmp_path / "map.safetensors")
    assert np.array_equal(loaded.ids, built.ids)
    assert loaded.target_fingerprint == built.target_fingerprint
    (tmp_path / "map.safetensors").write_bytes(b"junk")
    with pytest.raises(DataError, match="no vocab map"):
        VocabMap.load(tmp_path / "map.safetensors")


def test_a_map_refuses_scores_of_another_model():
    built = build_map(tiny_vocabulary("sentencepiece"), tiny_vocabulary("byte-level"))
    with pytest.raises(VocabMismatch, match="has 330 entries") as caught:
        built.gather_index(10, "cpu")
    assert "Build the map again" in caught.value.sentence()


@pytest.mark.parametrize("family", ["sentencepiece", "byte-level", "unigram"])
def test_prefix_intervals_hold_exactly_the_tokens_that_begin_so(family):
    vocabulary = tiny_vocabulary(family)
    index = PrefixIndex(vocabulary)
    for prefix in (b"", b" ", b" t", b"a", b"\xc3", b"\xff", b"zzz"):
        start, end = index.interval(prefix)
        expected = {
            each for each, spelled in enumerate(vocabulary.token_bytes)
            if spelled and spelled.startswith(prefix)
        }  # fmt: skip
        assert set(index.order[start:end].tolist()) == expected


def test_the_summary_counts_every_token_once():
    controller, target = tiny_vocabulary("sentencepiece"), tiny_vocabulary("byte-level")
    for transfer in ("pm-mined", "cover"):
        summary = map_summary(inspected_map(controller, target, transfer), controller, target)
        assert sum(summary["ids"].values()) == target.size
        assert sum(summary["mass"].values()) == pytest.approx(1, abs=1e-3)
    same = map_summary(inspected_map(controller, controller, "auto"), controller, controller)
    assert (same["transfer"], same["grade"], same["path_length"]) == ("same", "A", 1.0)


def test_composition_spells_what_the_controller_can_spell():
    controller, target = tiny_vocabulary("unigram"), tiny_vocabulary("byte-level")
    found = composition(controller, target)
    umlaut = target.id_of_bytes["ü".encode()[:1]]
    assert found.kinds[umlaut] == Kind.NONE  # no byte fallback in this family
    for token_id in np.flatnonzero(found.kinds == Kind.COMPOSED)[:50]:
        own = controller.encode_continuation(target.token_bytes[token_id])
        assert len(own) > 1
        assert own[0] == found.ids[token_id]


def test_an_end_that_pads_too_is_no_padding_and_no_beginning():
    """In GPT-2 style vocabularies one id ends, begins and pads."""
    built = build_map(tiny_vocabulary("byte-level"), tiny_vocabulary("sentencepiece"))
    target = tiny_vocabulary("sentencepiece")
    assert built.ids[target.bos_id] == -1
    assert built.ids[target.eos_id] == tiny_vocabulary("byte-level").eos_id


def test_ends_of_text_outside_the_vocabulary_are_none():
    vocabulary = Vocabulary(tiny_tokenizer("byte-level"), eos_ids=[-1, 0, 999])
    assert vocabulary.eos_ids == (0,)
