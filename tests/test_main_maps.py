"""The commands on vocab maps: measure on a text, keep, change, compare, import, look through."""

import csv
import json

import pytest

from cmc.__main__ import main
from cmc.models import load_vocabulary
from cmc.vocab import Kind, VocabMap, build_map
from cmc.vocab.coverage import cover_text
from cmc.vocab.entries import diff_maps
from tests.conftest import shared


@pytest.fixture
def pair(saved, tmp_path, monkeypatch) -> list[str]:
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    return ["--controller", saved["controller"], "--target", saved["byte"]]


@pytest.fixture
def sides(saved):
    return load_vocabulary(saved["controller"]), load_vocabulary(saved["byte"])


def printed(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0, capsys.readouterr().err
    return json.loads(capsys.readouterr().out)


def refused(capsys, *arguments: str) -> str:
    assert main(list(arguments)) == 1
    return capsys.readouterr().err


def test_a_map_is_measured_on_a_given_text(capsys, pair, sides, tmp_path):
    text = " Anna walked to the river. Да!\n"
    (tmp_path / "text.txt").write_text(text, "utf-8")
    given = ["map", *pair, "--transfer", "pm-mined", "--text", str(tmp_path / "text.txt")]
    found = printed(capsys, *given)
    expected = cover_text(build_map(*sides), *sides, text)
    assert found["score"] == pytest.approx(expected.score, abs=1e-4)
    assert found["mass"]["exact"] == pytest.approx(expected.share(Kind.EXACT), abs=1e-4)
    assert [row["script"] for row in found["scripts"]] == ["Latin", "Cyrillic"]
    assert main(given) == 0
    shown = capsys.readouterr().out
    assert "Cyrillic of the text" in shown
    assert "text.txt" in shown


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"\xff\xfe", "not UTF-8"), (b" \n", "is empty"), (None, "cannot be read"),
        ("é".encode() * (2 << 20) + b"a", "larger than 4 MB"),
    ],
    ids=["no UTF-8", "empty", "absent", "large"],
)  # fmt: skip
def test_a_text_that_cannot_be_measured_is_refused(capsys, pair, tmp_path, content, said):
    if content is not None:
        (tmp_path / "text.txt").write_bytes(content)
    assert said in refused(capsys, "map", *pair, "--text", str(tmp_path / "text.txt"))


def test_a_map_is_written_in_the_format_its_name_asks_for(capsys, pair, sides, tmp_path):
    built = build_map(*sides)
    for name in ("map.csv", "map.json", "map.safetensors", "map"):
        out = tmp_path / name
        printed(capsys, "map", *pair, "--transfer", "pm-mined", "--out", str(out))
        if name == "map.csv":
            ids = [int(row["controller_id"]) for row in csv.DictReader(out.open(newline=""))]
        elif name == "map.json":
            ids = [each["controller_id"] for each in json.loads(out.read_text())["entries"]]
        else:
            ids = VocabMap.load(out).ids.tolist()
        assert ids == built.ids.tolist(), name


def test_a_map_is_kept_changed_and_compared(capsys, pair, sides):
    kept = printed(capsys, "maps", "keep", *pair, "--transfer", "pm-mined", "--label", "best")
    assert kept["labels"] == ["best"]
    name = kept["name"]
    how = ["--saved", f"{name}@best", "--reason", "a test"]
    changed = printed(capsys, "maps", "override", "9", "-1", *pair, *how)
    assert (changed["number"], changed["parent"]) == (2, 1)
    assert changed["provenance"]["reason"] == "a test"
    found = printed(capsys, "maps", "diff", f"{name}@1", f"{name}@2", *pair)
    assert (found["gained"], found["lost"], found["changed"]) == (0, 1, 0)
    [entry] = found["lost_entries"]
    assert (entry["before"]["id"], entry["after"]["controller_id"]) == (9, -1)
    assert entry["before"]["controller_id"] == build_map(*sides).ids[9]
    assert main(["maps", "diff", f"{name}@1", f"{name}@2", *pair]) == 0
    assert "1 entries lost" in capsys.readouterr().out
    assert "no version or label" in refused(
        capsys, "maps", "diff", f"{name}@9", "cover", *pair
    )  # fmt: skip


def test_transfers_are_compared_by_name(capsys, pair, sides):
    found = printed(capsys, "maps", "diff", "parity", "pm-mined", *pair, "--limit", "2")
    expected = diff_maps(build_map(*sides, parity=True), build_map(*sides))
    for what in ("gained", "lost", "changed"):
        ids = getattr(expected, what).tolist()
        assert found[what] == len(ids)
        assert [each["before"]["id"] for each in found[f"{what}_entries"]] == ids[:2]


def test_an_exported_map_is_imported(capsys, pair, tmp_path):
    out = tmp_path / "map.json"
    printed(capsys, "map", *pair, "--transfer", "pm-mined", "--out", str(out))
    version = printed(capsys, "maps", "import", str(out), *pair)
    assert version["provenance"]["what"] == "imported from map.json"
    reference = f"{version['name']}@1"
    found = printed(capsys, "maps", "diff", "pm-mined", reference, *pair)
    assert found["gained"] == found["lost"] == found["changed"] == 0
    out.write_text("[]")
    assert "is no map of this pair" in refused(capsys, "maps", "import", str(out), *pair)


def test_entries_are_searched(capsys, pair, sides):
    found = printed(
        capsys, "maps", "entries", *pair, "--transfer", "pm-mined", "--wanted", " th",
        "--kind", "exact", "--limit", "3",
    )  # fmt: skip
    built, target = build_map(*sides), sides[1]
    expected = [
        each for each, data in enumerate(target.token_bytes)
        if data and b" th" in data.lower() and built.kinds[each] == Kind.EXACT
    ]  # fmt: skip
    assert found["found"] == len(expected)
    assert [each["id"] for each in found["entries"]] == expected[:3]
    assert all(each["kind"] == "exact" for each in found["entries"])
    assert "Limit is -1" in refused(capsys, "maps", "entries", *pair, "--limit", "-1")


def test_the_published_map_is_imported_and_equals_our_own(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CMC_HOME", str(tmp_path))
    names = [str(shared("tokenizers", name)) for name in ("llama2", "mistral_v1")]
    pair = ["--controller", names[0], "--target", names[1]]
    published = shared("published_map", "one2one_mistral2llama_id.json")
    version = printed(capsys, "maps", "import", str(published), *pair)
    assert version["provenance"]["parity"]
    found = printed(capsys, "maps", "diff", "parity", f"{version['name']}@1", *pair)
    assert found["gained"] == found["lost"] == found["changed"] == 0
