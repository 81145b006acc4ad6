"""Maps of the app: built once, searched and sorted, compared, changed by hand, kept, imported."""

import csv
import json
import os

import numpy as np
import pytest
from conftest import tiny_vocabulary

from cmc import models
from cmc.errors import CmcError, DataError, ModelError, SettingError, StoreError, VocabMismatch
from cmc.settings import MapRequest
from cmc.settings.vocabulary import ENTRY_COLUMNS, EntryQuery
from cmc.vocab import Kind, VocabMap
from cmc.vocab.coverage import cover_text
from cmc.vocab.entries import diff_maps
from cmc.workspace import Workspace
from cmc.workspace.map_versions import (
    import_map,
    keep_inspected,
    label_map,
    override_entry,
    pair_name,
    rollback_map,
    versions_of,
    write_map,
)
from cmc.workspace.maps import compare_maps, find_entries, inspect_map, measure_text

MINED = MapRequest(controller="unigram", target="byte-level", transfer="pm-mined")
COVER = MapRequest(controller="unigram", target="byte-level", transfer="cover")


@pytest.fixture
def loaded(monkeypatch) -> list[str]:
    names: list[str] = []

    def load(name):
        names.append(name)
        return tiny_vocabulary(name)

    monkeypatch.setattr(models, "load_vocabulary", load)
    return names


@pytest.fixture
def workspace(tmp_path, loaded) -> Workspace:  # noqa: ARG001 (it replaces what loads)
    return Workspace(home=tmp_path)


def test_maps_of_a_pair_share_its_vocabularies(workspace, loaded):
    found = inspect_map(workspace, MINED)
    assert inspect_map(workspace, MINED) is found
    assert inspect_map(workspace, COVER).pair is found.pair
    assert loaded == ["unigram", "byte-level"]


def test_a_tokenizer_that_changed_is_read_again(workspace, tmp_path, monkeypatch):
    monkeypatch.setattr(models, "load_vocabulary", lambda _: tiny_vocabulary("byte-level"))
    file = tmp_path / "mine" / "tokenizer.json"
    file.parent.mkdir()
    file.write_text("{}")
    request = MapRequest(controller=str(file.parent), target="unigram")
    first = inspect_map(workspace, request)
    assert inspect_map(workspace, request) is first
    file.write_text("{ }")
    os.utime(file, ns=(1, 1))
    assert inspect_map(workspace, request) is not first


def test_entries_are_found_by_kind_by_either_token_and_by_id(workspace):
    found = inspect_map(workspace, MINED)
    prefixes = find_entries(found, EntryQuery(kind="prefix"))
    assert prefixes.tolist() == np.flatnonzero(found.map.kinds == Kind.PREFIX).tolist()
    spelled = found.target.token_bytes
    by_text = find_entries(found, EntryQuery(wanted=" TH"))
    mine = [found.controller.token_bytes[each] if each >= 0 else b"" for each in found.map.ids]
    expected = [
        each
        for each in range(found.target.size)
        if any(b" th" in (side or b"").lower() for side in (spelled[each], mine[each]))
    ]
    assert expected
    assert by_text.tolist() == expected
    assert find_entries(found, EntryQuery(wanted="·th")).tolist() == expected
    assert len(prefixes)
    assert find_entries(found, EntryQuery(wanted="#17")).tolist() == [17]
    assert not len(find_entries(found, EntryQuery(wanted="#999999")))
    assert not len(find_entries(found, EntryQuery(wanted="no such token anywhere")))


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("column", ENTRY_COLUMNS)
def test_every_column_sorts_and_what_has_no_value_comes_last(workspace, column, descending):
    found = inspect_map(workspace, MINED)
    rows = find_entries(found, EntryQuery(sort=column, descending=descending)).tolist()
    assert sorted(rows) == list(range(found.target.size))
    ids = found.map.ids.tolist()
    value = {
        "id": lambda each: each,
        "token": lambda each: found.pair.target_names[each],
        "bytes": lambda each: len(found.target.token_bytes[each] or b"") or None,
        "kind": lambda each: int(found.map.kinds[each]),
        "distance": lambda each: _distance(found, each),
        "controller id": lambda each: ids[each] if ids[each] >= 0 else None,
        "fan-in": lambda each: ids.count(ids[each]) if ids[each] >= 0 else None,
    }[column]
    values = [value(each) for each in rows]
    present = [each for each in values if each is not None]
    assert values == present + [None] * (len(values) - len(present))
    assert present == sorted(present, reverse=descending)


def _distance(found, token_id):
    other = found.map.ids[token_id]
    sides = found.target.token_bytes[token_id], found.controller.token_bytes[other]
    if other < 0 or None in sides:
        return None
    return abs(len(sides[0]) - len(sides[1]))


@pytest.mark.parametrize("wrong", [{"kind": "best"}, {"sort": "size"}])
def test_a_query_for_what_there_is_not_is_refused(wrong):
    with pytest.raises(SettingError):
        EntryQuery(**wrong)


def test_a_text_is_measured_as_a_whole_and_by_script(workspace):
    found = inspect_map(workspace, COVER)
    text = "the painter and Москва"
    told = measure_text(found, text)
    whole = cover_text(found.map, found.controller, found.target, text)
    assert told["score"] == round(whole.score, 4)
    assert told["tokens"] == whole.tokens
    assert [each["script"] for each in told["scripts"]] == ["Latin", "Cyrillic"]
    assert told["grade"] in "ABCD"
    assert told["advice"]


def test_two_transfers_are_compared_and_other_pairs_are_not(workspace):
    found = compare_maps(workspace, MINED, COVER)
    counted = diff_maps(found.before.map, found.after.map)
    assert found.diff.changed.tolist() == counted.changed.tolist()
    assert len(counted.changed)
    assert compare_maps(workspace, MINED, MINED).diff.same
    other = MapRequest(controller="unigram", target="sentencepiece", transfer="pm-mined")
    with pytest.raises(VocabMismatch):
        compare_maps(workspace, MINED, other)


def test_an_override_is_a_new_version_whose_parent_is_what_it_changed(workspace):
    found = inspect_map(workspace, MINED)
    other = (int(found.map.ids[300]) + 1) % found.controller.size
    version = override_entry(workspace, MINED, 300, other, " it means the same ")
    assert (version.number, version.parent) == (2, 1)
    assert version.provenance["reason"] == "it means the same"
    assert version.provenance["mapped_before"] == found.map.ids[300]
    saved = MapRequest(controller="unigram", target="byte-level", saved=version.reference)
    changed = compare_maps(workspace, MINED, saved)
    assert [changed.diff.changed.tolist(), changed.after.map.kinds[300]] == [[300], Kind.CHOSEN]
    again = override_entry(workspace, saved, 301, -1)
    assert (again.number, again.parent) == (3, 2)
    assert [each.number for each in versions_of(workspace, found)] == [1, 2, 3]


@pytest.mark.parametrize(
    ("request_", "token", "other"),
    [(MINED, 10**6, 0), (MINED, 0, 10**6), (MINED, -1, 0), (MINED, 0, -2), (COVER, 0, 0)],
)
def test_an_override_that_cannot_be_keeps_nothing(workspace, request_, token, other):
    with pytest.raises(DataError):
        override_entry(workspace, request_, token, other)
    assert workspace.store.names("map") == []


def test_an_override_that_changes_nothing_is_told(workspace):
    found = inspect_map(workspace, MINED)
    with pytest.raises(DataError, match="already"):
        override_entry(workspace, MINED, 300, int(found.map.ids[300]))
    assert workspace.store.names("map") == []


def test_the_same_map_is_kept_once_and_labels_move_and_roll_back(workspace):
    first = keep_inspected(workspace, MINED, "good")
    assert (first.reference, first.labels) == ("unigram to byte-level@1", ("good",))
    assert keep_inspected(workspace, MINED).number == 1
    second = override_entry(workspace, MINED, 300, 0)
    assert label_map(workspace, second.reference, "good").labels == ("good",)
    assert rollback_map(workspace, second.name, "good").number == 1
    by_label = MapRequest(controller="unigram", target="byte-level", saved=f"{first.name}@good")
    assert diff_maps(inspect_map(workspace, by_label).map, inspect_map(workspace, MINED).map).same


def test_a_label_that_moved_is_seen_at_once(workspace):
    first = keep_inspected(workspace, MINED, "good")
    by_label = MapRequest(controller="unigram", target="byte-level", saved=f"{first.name}@good")
    before = inspect_map(workspace, by_label)
    label_map(workspace, override_entry(workspace, MINED, 300, 0).reference, "good")
    after = inspect_map(workspace, by_label)
    assert diff_maps(before.map, after.map).changed.tolist() == [300]


@pytest.mark.parametrize("file_format", ["safetensors", "json"])
def test_what_was_exported_comes_back_as_the_version_it_was(workspace, tmp_path, file_format):
    kept = keep_inspected(workspace, MINED)
    path = write_map(inspect_map(workspace, MINED), file_format, tmp_path)
    assert import_map(workspace, MINED, path).reference == kept.reference


def test_an_exported_table_has_a_row_per_token(workspace, tmp_path):
    found = inspect_map(workspace, MINED)
    path = write_map(found, "csv", tmp_path)
    with path.open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert [int(each["controller_id"]) for each in rows] == found.map.ids.tolist()
    with pytest.raises(SettingError):
        write_map(found, "pickle", tmp_path)


def test_the_published_format_is_imported_with_its_own_kinds(workspace, tmp_path):
    found = inspect_map(workspace, MINED)
    path = tmp_path / "one2one.json"
    path.write_text(json.dumps([0] * found.target.size))
    version = import_map(workspace, MINED, path)
    kept = VocabMap.load(version.content / "map.safetensors")
    assert set(kept.ids.tolist()) == {0}
    assert version.provenance["what"] == "imported from one2one.json"


def test_a_file_of_another_pair_is_not_kept(workspace, tmp_path):
    path = tmp_path / "map.json"
    path.write_text("[1, 2, 3]")
    with pytest.raises(DataError, match="3 entries"):
        import_map(workspace, MINED, path)
    assert workspace.store.names("map") == []


def test_pairs_that_are_called_alike_have_versions_of_their_own(workspace, monkeypatch):
    keep_inspected(workspace, MINED)
    other = MapRequest(controller="b/unigram", target="byte-level", transfer="pm-mined")
    assert pair_name(other) == pair_name(MINED)
    monkeypatch.setattr(
        models,
        "load_vocabulary",
        lambda name: tiny_vocabulary(name.replace("b/unigram", "sentencepiece")),
    )
    second = keep_inspected(workspace, other)
    assert second.number == 1
    assert second.name.startswith("unigram to byte-level ")
    assert [each.reference for each in versions_of(workspace, inspect_map(workspace, MINED))] == [
        "unigram to byte-level@1"
    ]


def test_names_of_versions_are_safe_whatever_the_folders_are_called():
    for name in ("/a/b/../..", "owner/name@main", "lab:byte", "C:\\x\\y", "ü" * 300, "..."):
        called = pair_name(MapRequest(controller=name, target=name))
        assert len(called) <= 57
        assert called == called.strip(" .")


def test_a_demo_writes_no_versions_and_reads_no_files(tmp_path, loaded):
    demo = Workspace(mode="demo", home=tmp_path)
    request = MapRequest(transfer="pm-mined")
    for attempt in (
        lambda: keep_inspected(demo, request),
        lambda: override_entry(demo, request, 0, 0),
        lambda: import_map(demo, request, tmp_path / "x.json"),
        lambda: label_map(demo, "a@1", "good"),
        lambda: rollback_map(demo, "a", "good"),
    ):
        with pytest.raises(StoreError, match="public Space"):
            attempt()
    assert not list(tmp_path.iterdir())
    path = tmp_path / "map.json"
    path.write_text("[]")
    for wrong in (
        MapRequest(saved=str(path)),
        MapRequest(controller="/etc"),
        MapRequest(target="/etc"),
    ):
        with pytest.raises(CmcError) as caught:
            inspect_map(demo, wrong)
        assert isinstance(caught.value, StoreError | ModelError)
    assert loaded == []
