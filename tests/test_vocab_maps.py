"""A vocab map is saved, read, compared, changed by hand, and used as it then is."""

import csv
import json
from dataclasses import replace

import numpy as np
import pytest
from conftest import shared, tiny_controller, tiny_target, tiny_vocabulary
from safetensors.numpy import save_file

from cmc.__main__ import main
from cmc.errors import CmcError, DataError, SettingError, VocabMismatch
from cmc.generation import ControlledModel, Row
from cmc.models import load_vocabulary
from cmc.settings import Sampling
from cmc.store import Store
from cmc.store.maps import keep_map, load_map, maps_of_pair
from cmc.vocab import Kind, VocabMap, build_map, composition
from cmc.vocab.entries import diff_maps, distances, relation
from cmc.vocab.map_files import read_map, write_csv, write_json
from cmc.vocab.visible import token_names

CONTROLLER, TARGET = "sentencepiece", "byte-level"


@pytest.fixture(scope="module")
def pair():
    return tiny_vocabulary(CONTROLLER), tiny_vocabulary(TARGET)


@pytest.fixture(scope="module")
def built(pair) -> VocabMap:
    return build_map(*pair)


def test_a_map_is_read_as_it_was_saved(built, tmp_path):
    built.save(tmp_path / "new" / "map.safetensors")
    again = VocabMap.load(tmp_path / "new" / "map.safetensors")
    assert diff_maps(built, again).same
    assert (again.kinds == built.kinds).all()
    assert again.target_fingerprint == built.target_fingerprint
    assert [path.name for path in (tmp_path / "new").iterdir()] == ["map.safetensors"]


def hostile(ids, kinds, **about) -> dict:
    return {"ids": np.asarray(ids, np.int32), "kinds": np.asarray(kinds), "about": about}


@pytest.mark.parametrize(
    "wrong",
    [
        hostile([0, 99], np.int8([1, 1])),
        hostile([0, -2], np.int8([1, 1])),
        hostile([0], np.int8([1, 1])),
        hostile([0], np.int8([77])),
        hostile([0], np.float32([1])),
        hostile([], np.int8([])),
        hostile([0], np.int8([1]), format="other"),
        hostile([0], np.int8([1]), surprise=1),
        hostile([0], np.int8([1]), controller_fingerprint=5),
        hostile([0], np.int8([1]), transfer="none"),
    ],
)
def test_a_file_with_wrong_entries_is_refused(tmp_path, wrong):
    about = {
        "format": "cmc-vocab-map-1", "transfer": "pm-mined", "parity": False,
        "controller_fingerprint": "a", "target_fingerprint": "b", "controller_size": 10,
    }  # fmt: skip
    about |= wrong.pop("about")
    save_file(wrong, tmp_path / "x.safetensors", {"cmc": json.dumps(about)})
    with pytest.raises(DataError, match="is no vocab map"):
        VocabMap.load(tmp_path / "x.safetensors")


def test_a_map_whose_description_is_no_object_is_refused(tmp_path):
    tensors = {"ids": np.int32([0]), "kinds": np.int8([1])}
    save_file(tensors, tmp_path / "x.safetensors", {"cmc": '"word"'})
    with pytest.raises(DataError, match="is no vocab map"):
        VocabMap.load(tmp_path / "x.safetensors")


@pytest.mark.parametrize("content", [b"", b"{}", b"\x08\0\0\0\0\0\0\0{}      ", b"\xff" * 64])
def test_junk_is_refused(tmp_path, content):
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(DataError, match="is no vocab map"):
        VocabMap.load(path)


def test_differences_are_entries_gained_lost_and_changed(built):
    mapped = np.flatnonzero(built.ids >= 0)
    gained, lost, changed = mapped[0], mapped[1], mapped[2]
    before = built.overridden(int(gained), -1)
    other = (int(built.ids[changed]) + 1) % built.controller_size
    after = built.overridden(int(lost), -1).overridden(int(changed), other)
    found = diff_maps(before, after)
    assert (list(found.gained), list(found.lost), list(found.changed)) == (
        [gained], [lost], [changed],
    )  # fmt: skip
    assert not found.same
    backwards = diff_maps(after, before)
    assert (list(backwards.gained), list(backwards.lost)) == ([lost], [gained])


def test_maps_of_different_pairs_are_not_compared(built):
    other = build_map(tiny_vocabulary(CONTROLLER), tiny_vocabulary("unigram"))
    with pytest.raises(VocabMismatch, match="another target vocabulary"):
        diff_maps(built, other)


def test_an_override_changes_one_entry_of_a_new_map(built):
    before = built.ids.copy()
    changed = built.overridden(5, 7)
    assert (built.ids == before).all()
    assert changed.ids[5] == 7
    assert changed.kinds[5] == Kind.CHOSEN
    assert (np.delete(changed.ids, 5) == np.delete(before, 5)).all()
    assert changed.overridden(5, -1).kinds[5] == Kind.NONE
    assert built.named("same").overridden(5, 7).transfer == "pm-mined"


@pytest.mark.parametrize("entry", [(-1, 0), (10**9, 0), (0, -2), (0, 10**9)])
def test_an_override_out_of_range_is_refused(built, entry):
    with pytest.raises(DataError, match="cannot be mapped"):
        built.overridden(*entry)


def test_cover_has_no_entries_to_override(pair):
    with pytest.raises(DataError, match="follows no map"):
        composition(*pair).overridden(0, 0)


def test_distance_is_the_difference_of_lengths(pair, built):
    found = distances(built, *pair)
    mine, theirs = pair
    for token_id, other in enumerate(built.ids.tolist()):
        spelled = theirs.token_bytes[token_id]
        if other < 0 or spelled is None or mine.token_bytes[other] is None:
            assert found[token_id] == -1
        else:
            assert found[token_id] == abs(len(spelled) - len(mine.token_bytes[other]))
    assert ((built.kinds == Kind.EXACT) == (found == 0)).all()


def test_the_relation_of_an_entry_is_the_kind_it_was_built_with(pair, built):
    for token_id, other in enumerate(built.ids.tolist()):
        assert relation(*pair, token_id, other) == built.kinds[token_id]
    unrelated = pair[0].id_of_bytes[b"a"], pair[1].id_of_bytes[b"b"]
    assert relation(*pair, unrelated[1], unrelated[0]) == Kind.CHOSEN


def test_csv_and_json_hold_every_entry_and_json_is_read_back(pair, built, tmp_path):
    changed = built.overridden(9, 3)
    write_csv(tmp_path / "m.csv", changed, *pair)
    with (tmp_path / "m.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["controller_id"]) for row in rows] == changed.ids.tolist()
    assert rows[9]["kind"] == "chosen"
    names = token_names(pair[1])
    assert all(row["token"].removeprefix("'") == names[number].removeprefix("'")
               for number, row in enumerate(rows))  # fmt: skip
    assert not any(row["token"][:1] in "=+-@" for row in rows if row["token"])
    write_json(tmp_path / "m.json", changed, *pair)
    again = read_map(tmp_path / "m.json", *pair)
    assert diff_maps(changed, again).same
    assert (again.kinds == changed.kinds).all()


def test_a_list_of_ids_is_read_and_null_is_none(pair, built, tmp_path):
    ids = [None if each < 0 else each for each in built.ids.tolist()]
    (tmp_path / "ids.json").write_text(json.dumps(ids))
    again = read_map(tmp_path / "ids.json", *pair)
    assert diff_maps(built, again).same
    assert (again.kinds == built.kinds).all()


@pytest.mark.parametrize(
    "content", ["", "[", "[1]", "{}", '"x"', "[" * 100_000, '{"a": "b"}', "{short}", "{true}",
                "{float}", "{large}", '{"format": "cmc-vocab-map-1", "entries": [1]}'],
)  # fmt: skip
def test_json_that_is_no_map_is_refused(pair, tmp_path, content):
    ids = [0] * (pair[1].size - 1)
    for name, last in (("{short}", []), ("{true}", [True]), ("{float}", [1.5]), ("{large}", [999])):
        content = content.replace(name, json.dumps(ids + last))
    (tmp_path / "x.json").write_text(content)
    with pytest.raises(CmcError) as caught:
        read_map(tmp_path / "x.json", *pair)
    assert "x.json" in str(caught.value)


def test_the_published_map_is_read_in_both_of_its_formats():
    controller, target = (
        load_vocabulary(str(shared("tokenizers", name))) for name in ("llama2", "mistral_v1")
    )
    own = build_map(controller, target, parity=True)
    by_id = read_map(shared("published_map", "one2one_mistral2llama_id.json"), controller, target)
    by_token = read_map(
        shared("published_map", "one2one_mistral2llama_token.json"), controller, target
    )
    assert by_id.parity
    assert diff_maps(by_id, own).same
    # One controller token that is named does not exist: the accident of the published script.
    assert [target.tokens[each] for each in diff_maps(own, by_token).lost] == ["<?>"]
    assert len(diff_maps(own, by_token).changed) == 0
    # The published script mapped one ordinary token by accident; by default it is not.
    assert not diff_maps(own, build_map(controller, target)).same


def generated(model: ControlledModel) -> list[int]:
    row = Row("Where is it?", (8.0,))
    return model.generate([row], Sampling(max_new_tokens=6))[0].token_ids


def test_a_given_map_is_what_generation_follows(built):
    target, controllers = tiny_target(TARGET), [tiny_controller(CONTROLLER)]
    plain = ControlledModel(target, controllers, transfer="pm-mined")
    given = ControlledModel(target, controllers, transfer="pm-mined", maps=[built])
    assert generated(given) == generated(plain)
    assert given.transfers == ("pm-mined",)
    # Without any entry the controller moves nothing; strength 0 is the base.
    nothing = replace(built, ids=np.full_like(built.ids, -1))
    emptied = ControlledModel(target, controllers, maps=[nothing])
    base = plain.generate([Row("Where is it?", (0.0,))], Sampling(max_new_tokens=6))[0].token_ids
    assert generated(emptied) == base != generated(plain)


def test_a_map_for_others_or_for_cover_is_refused(pair, built):
    target, controllers = tiny_target(TARGET), [tiny_controller(CONTROLLER)]
    with pytest.raises(SettingError, match="does not follow this map"):
        ControlledModel(target, controllers, transfer="cover", maps=[built])
    with pytest.raises(SettingError, match="does not follow this map"):
        ControlledModel(target, controllers, maps=[composition(*pair)])
    with pytest.raises(SettingError, match="2 maps for 1"):
        ControlledModel(target, controllers, maps=[built, built])
    with pytest.raises(VocabMismatch, match="another target"):
        ControlledModel(tiny_target("unigram"), controllers, maps=[built])


def test_kept_maps_are_found_by_their_pair_and_read_by_name_or_file(pair, built, tmp_path):
    store = Store(tmp_path)
    first = keep_map(store, "mine", built)
    changed = built.overridden(5, 7)
    keep_map(store, "mine", changed, parent=first.number, provenance={"token": 5})
    keep_map(store, "other", build_map(pair[0], tiny_vocabulary("unigram")))
    assert [each.reference for each in maps_of_pair(store, *pair)] == ["mine@1", "mine@2"]
    assert diff_maps(load_map("mine@2", *pair, store), changed).same
    changed.save(tmp_path / "file.safetensors")
    assert diff_maps(load_map(str(tmp_path / "file.safetensors"), *pair, store), changed).same
    with pytest.raises(VocabMismatch):
        load_map("other@1", *pair, store)


def test_the_command_line_measures_and_follows_a_kept_map(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    controller, target = tmp_path / "controller", tmp_path / "target"
    tiny_controller(CONTROLLER).save_pretrained(target.with_name("controller"))
    tiny_target(TARGET).model.save_pretrained(target)
    tiny_target(TARGET).vocabulary.tokenizer.save_pretrained(target)
    pair = load_vocabulary(str(controller)), load_vocabulary(str(target))
    keep_map(Store(), "mine", build_map(*pair).overridden(5, 7))
    names = ["--controller", str(controller), "--target", str(target)]
    assert main(["map", *names, "--saved", "mine@1", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["ids"]["chosen"] == 1
    follow = ["generate", *names, "--max-new-tokens", "4", "Hi", "--json", "--map"]
    assert main([*follow, "mine@1"]) == 0
    assert json.loads(capsys.readouterr().out)["transfers"] == ["pm-mined"]
    assert main([*follow, "mine@9"]) == 1
    assert 'no version or label "9"' in capsys.readouterr().err
