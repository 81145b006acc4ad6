"""Six published tokenizers: every id accounted for, every text put together again, every pair."""

import itertools
import unicodedata

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from cmc.vocab import VocabMap, build_map
from cmc.vocab.entries import diff_maps
from cmc.vocab.health import unused_ids
from cmc.vocab.losses import find_losses
from cmc.vocab.sample import sample_texts
from tests.conftest import real_vocabulary

LOSSLESS = ("llama2", "mistral_v1", "llama3", "qwen2_5", "gpt2")
ALL = (*LOSSLESS, "t5_small")
SPACED = ("llama2", "mistral_v1")  # put a space before any text
# What Python's tables do not know yet, another library may compose in another way.
UNICODE = st.text(st.characters(exclude_categories=["Cs", "Cn"]), max_size=40) | st.text(
    st.sampled_from(" \n\t▁Ġ\x00é\u0301日あ한😀\u200d\ufeff🏳\U0010ffffaB1.'<>|s/"), max_size=40
)


@pytest.mark.parametrize("name", ALL)
def test_every_id_spells_something_or_plays_a_role_or_is_unused(name):
    vocabulary = real_vocabulary(name)
    spelled = {each for each, data in enumerate(vocabulary.token_bytes) if data}
    played = {each for ids in vocabulary.roles.values() for each in ids}
    unused = set(unused_ids(vocabulary))
    assert spelled | played | unused == set(range(vocabulary.size))
    assert len(spelled) + len(played) + len(unused) == vocabulary.size
    assert sum(map(len, vocabulary.roles.values())) == len(played)  # one role each
    assert len(spelled) > 0.98 * vocabulary.size


@pytest.mark.parametrize("name", ALL)
def test_bytes_are_those_the_tokenizers_own_decoder_writes(name):
    vocabulary = real_vocabulary(name)
    decode = vocabulary.tokenizer.backend_tokenizer.decode
    anchor = vocabulary.id_of_bytes[b"a"]
    for token in range(0, vocabulary.size, 97):
        data = vocabulary.token_bytes[token]
        if data is None:
            continue
        # A token in front: decoders take a space off the beginning of a text.
        assert decode([anchor, token]) == "a" + data.decode("utf-8", "replace"), token


@pytest.mark.parametrize("name", LOSSLESS)
def test_text_in_many_languages_is_put_together_again(name):
    vocabulary = real_vocabulary(name)
    assert not find_losses(vocabulary).is_lossy
    for sample in sample_texts():
        data = sample.text.encode()
        assert vocabulary.spell(vocabulary.encode_continuation(data)) == data, sample.language
        own = vocabulary.tokenizer(sample.text, add_special_tokens=False).input_ids
        assert vocabulary.spell(own) == expected(name, sample.text), sample.language


@pytest.mark.parametrize("name", LOSSLESS)
@settings(max_examples=200, deadline=None)
@given(text=UNICODE)
@example(text="<s>")
@example(text="▁ <unk>▁")
def test_any_text_is_put_together_again(name, text):
    vocabulary = real_vocabulary(name)
    ids = vocabulary.encode_continuation(text.encode())
    assert vocabulary.spell(ids) == text.encode()
    specials = map(str, vocabulary.tokenizer.added_tokens_decoder.values())
    if not any(token in text for token in specials):
        own = vocabulary.tokenizer(text, add_special_tokens=False).input_ids
        assert vocabulary.spell(own) == expected(name, text)


def expected(name: str, text: str) -> bytes:
    """Return what a tokenizer makes of a whole text before it cuts it."""
    if name in SPACED:
        # Their alphabet writes a space as U+2581, so the sign itself becomes one.
        return (" " + text if text else "").replace("▁", " ").encode()
    return unicodedata.normalize("NFC", text).encode() if name == "qwen2_5" else text.encode()


def test_t5_is_named_lossy_with_examples():
    vocabulary = real_vocabulary("t5_small")
    losses = find_losses(vocabulary)
    assert losses.is_lossy
    assert {"\n", "\t", "{", "日", "я", "ω", "한", "😀"} <= set(losses.unspelled)
    assert not {"A", " ,"} & set(losses.unspelled)
    for lost in losses.unspelled:
        ids = vocabulary.tokenizer(f"a{lost}a", add_special_tokens=False).input_ids
        back = vocabulary.tokenizer.decode(ids, skip_special_tokens=True)
        assert back != f"a{lost}a", repr(lost)
    assert dict(losses.rewritten)["ﬁ"] == "fi"


@pytest.mark.parametrize(("mine", "theirs"), list(itertools.permutations(ALL, 2)))
def test_every_pair_builds_saves_loads_and_compares(mine, theirs, tmp_path):
    controller, target = real_vocabulary(mine), real_vocabulary(theirs)
    built = build_map(controller, target)
    built.save(tmp_path / "map.safetensors")
    loaded = VocabMap.load(tmp_path / "map.safetensors")
    loaded.check_pair(controller.fingerprint, target.fingerprint)
    assert diff_maps(built, loaded).same
    assert np.array_equal(built.kinds, loaded.kinds)
    token = int(np.flatnonzero(built.ids >= 0)[0])
    assert diff_maps(built, loaded.overridden(token, -1)).lost.tolist() == [token]
    _check_some_entries(built, controller.token_bytes, target.token_bytes)


def _check_some_entries(built: VocabMap, mine: list, theirs: list) -> None:
    """Check entries drawn at random against every token of the controller."""
    spelled = [each for each, data in enumerate(theirs) if data]
    for token in np.random.default_rng(len(mine)).choice(spelled, 3).tolist():
        data, found = theirs[token], built.ids[token]
        near = [
            abs(len(other) - len(data)) for other in mine
            if other and (data.startswith(other) or other.startswith(data))
            and (other != b" " or not data.strip(b" "))
        ]  # fmt: skip
        assert (found < 0) == (not near)
        if near:
            assert abs(len(mine[found]) - len(data)) == min(near)
