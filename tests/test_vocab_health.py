"""Health and explanation of maps, against counting by hand and against the map itself."""

import numpy as np
import pytest

from cmc.vocab import (
    Kind,
    PrefixIndex,
    build_map,
    explain_token,
    inspected_map,
    map_summary,
)
from cmc.vocab.coverage import cover_text, places
from cmc.vocab.health import GRADES, fan_in, grade, unused_ids
from cmc.vocab.sample import by_script, sample_texts
from tests.conftest import tiny_vocabulary

FAMILIES = ("sentencepiece", "byte-level", "unigram")
PAIRS = [(one, other) for one in FAMILIES for other in FAMILIES if one != other]
WANTED = {
    "English", "German", "Spanish", "Russian", "Greek", "Arabic", "Persian", "Hebrew", "Hindi",
    "Bengali", "Tamil", "Thai", "Korean", "Japanese", "Chinese",
}  # fmt: skip


def test_the_sample_speaks_many_languages_in_their_scripts():
    samples = {each.language: each for each in sample_texts()}
    assert set(samples) >= WANTED
    for each in samples.values():
        longest = next(iter(by_script(each.text)))
        assert longest in each.script.replace("Kana and Han", "Kana Han"), each.language
        assert len(each.text.encode()) > 150


def test_a_text_is_cut_by_script_and_loses_nothing():
    text = "Да, yes! 日本 42"
    parts = by_script(text)
    assert parts == {"Latin": "yes! ", "Han": "日本 42", "Cyrillic": "Да, "}
    assert by_script("42") == {"no letters": "42"}
    assert by_script("") == {}


@pytest.mark.parametrize(("mine", "theirs"), PAIRS)
def test_agreement_is_counted_where_both_have_the_same_token_at_the_same_place(mine, theirs):
    controller, target = tiny_vocabulary(mine), tiny_vocabulary(theirs)
    text = " One day Anna walked to the market."
    data = text.encode()

    def spans(vocabulary):
        """Every token's bytes by where it begins, read off the tokens' lengths."""
        ids = vocabulary.encode_continuation(data)
        ends = np.cumsum([len(vocabulary.token_bytes[each]) for each in ids])
        starts = ends - [len(vocabulary.token_bytes[each]) for each in ids]
        return {(int(a), int(b)) for a, b in zip(starts, ends, strict=True)}

    found = cover_text(build_map(controller, target), controller, target, text)
    both = spans(controller) & spans(target)
    assert found.agreeing == len(both)
    assert found.tokens == len(spans(target))
    assert found.path_length == pytest.approx(len(spans(controller)) / len(spans(target)))
    assert 0 < found.agreement < 1


def test_a_map_without_an_entry_carries_less():
    vocabulary = tiny_vocabulary("sentencepiece")
    whole = build_map(vocabulary, vocabulary)
    text = " Anna lives in Oslo."
    token = vocabulary.encode_continuation(text.encode())[1]
    whole.kinds[token] = Kind.NONE
    whole.ids[token] = -1
    assert cover_text(whole, vocabulary, vocabulary, text).score < 1


def test_what_the_target_cannot_spell_counts_as_lost():
    controller, target = tiny_vocabulary("sentencepiece"), tiny_vocabulary("unigram")
    found = cover_text(build_map(controller, target), controller, target, " a日")
    assert found.lost == pytest.approx(3 / 5)
    assert found.score <= 2 / 5


def test_places_go_on_behind_an_unknown_token():
    target = tiny_vocabulary("unigram")
    data = " a日 b".encode()
    found = {place for place, _ in places(target, target.encode_continuation(data), data)}
    assert data.index(b" b") in found


@pytest.mark.parametrize("transfer", ["pm-mined", "cover"])
def test_the_health_of_a_map_tells_every_language_role_and_crowd(transfer):
    controller, target = tiny_vocabulary("sentencepiece"), tiny_vocabulary("byte-level")
    built = inspected_map(controller, target, transfer)
    health = map_summary(built, controller, target, "Hello, Мир")
    assert {row["language"] for row in health["languages"]} >= WANTED
    for row in health["languages"]:
        kinds = [row[kind.name.lower()] for kind in Kind]
        assert sum(kinds) == pytest.approx(1, abs=1e-3)
        assert row["grade"] == grade(row["score"])
    assert [row["script"] for row in health["scripts"]] == ["Latin", "Cyrillic"]
    assert health["roles"]["eos"] == {
        "controller": len(controller.eos_ids), "target": len(target.eos_ids),
    }  # fmt: skip
    assert health["grade"] in dict((letter, least) for least, letter in GRADES)
    counted = np.bincount(built.ids[(built.ids >= 0) & (built.kinds != Kind.ROLE)])
    first = health["fan_in"]["largest"][0]
    assert (first["id"], first["count"]) == (int(counted.argmax()), int(counted.max()))


def test_fan_in_counts_every_served_token_once():
    controller, target = tiny_vocabulary("unigram"), tiny_vocabulary("byte-level")
    built = build_map(controller, target)
    mapped = built.ids[(built.ids >= 0) & (built.kinds != Kind.ROLE)]
    told = fan_in(built)
    assert sum(told["histogram"].values()) == len(set(mapped.tolist()))
    alone = told["histogram"]["1"]
    assert told["shared"] == pytest.approx(1 - alone / len(mapped), abs=1e-4)


def test_every_id_is_bytes_or_a_role_or_unused():
    for family in FAMILIES:
        assert unused_ids(tiny_vocabulary(family)) == []


@pytest.mark.parametrize(("mine", "theirs"), PAIRS)
def test_an_explanation_gives_the_entry_of_the_map(mine, theirs):
    controller, target = tiny_vocabulary(mine), tiny_vocabulary(theirs)
    built, index = build_map(controller, target), PrefixIndex(controller)
    for token in range(target.size):
        told = explain_token(controller, target, index, token)
        assert (told.chosen, told.kind) == (built.ids[token], built.kinds[token]), told


def test_an_explanation_lists_candidates_and_what_cover_sums():
    controller, target = tiny_vocabulary("sentencepiece"), tiny_vocabulary("byte-level")
    index = PrefixIndex(controller)
    token = target.id_of_bytes[b" s"]
    told = explain_token(controller, target, index, token)
    expected = {
        data for data in controller.id_of_bytes
        if data and (data.startswith(b" s") or b" s".startswith(data))
    }  # fmt: skip
    assert told.candidate_count == len(expected)
    assert {each.spelled for each in told.candidates} <= expected
    distances = [each.distance for each in told.candidates if not each.barred]
    assert distances == sorted(distances)
    rest, count, _ = told.beyond[0]
    assert rest == b" s"
    assert count == sum(bool(data) and data.startswith(b" s") for data in controller.token_bytes)
    end = explain_token(controller, target, index, target.eos_ids[0])
    assert "role eos" in end.reason
