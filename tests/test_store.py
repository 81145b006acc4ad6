"""Versions never change, labels move, and nothing is ever half written."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from conftest import tiny_controller
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import save_file

from cmc.__main__ import main
from cmc.commands.train import _kept_version
from cmc.controller import load_controller
from cmc.errors import StoreError
from cmc.store import Store, pinned, place_of
from cmc.store import folders as module
from cmc.store.diff import diff_folders
from cmc.workspace import Workspace

ROOT = Path(__file__).resolve().parents[1]


def folder_with(path: Path, **files: str) -> Path:
    path.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (path / name).write_text(text)
    return path


@pytest.fixture
def store(tmp_path) -> Store:
    return Store(tmp_path / "home")


@pytest.fixture
def three(store, tmp_path) -> Store:
    for number in (1, 2, 3):
        source = folder_with(tmp_path / f"source{number}", a=f"text {number}")
        store.save("report", "mine", source, parent=number - 1 or None)
    return store


def told(capsys, *arguments: str) -> dict:
    assert main([*arguments, "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def test_versions_are_numbered_and_keep_content_parent_and_provenance(store, tmp_path):
    source = folder_with(tmp_path / "source", a="one")
    first = store.save("report", "mine", source, provenance={"run": "r"})
    folder_with(source, a="two")
    second = store.save("report", "mine", source, parent=1)
    assert (first.number, second.number, second.parent) == (1, 2, 1)
    assert (first.content / "a").read_text() == "one"
    assert store.open("report", "mine@1").provenance == {"run": "r"}
    assert store.open("report", "mine").number == 2
    assert store.open("report", "mine@latest").number == 2


def test_equal_content_is_the_version_there_is(store, tmp_path):
    first = store.save("report", "mine", folder_with(tmp_path / "a", x="1"))
    store.save("report", "mine", folder_with(tmp_path / "b", x="2"))
    again = store.save("report", "mine", folder_with(tmp_path / "c", x="1"))
    assert again.number == first.number
    assert again.digest == first.digest
    assert len(store.versions("report", "mine")) == 2


def test_a_label_moves_and_rolls_back_and_versions_stay(three):
    for number in (1, 3):
        three.label("report", f"mine@{number}", "best")
    assert three.open("report", "mine@best").number == 3
    three.label("report", "mine@best", "best")  # no move, so nothing to roll back
    assert three.rollback("report", "mine", "best").number == 1
    assert [each.labels for each in three.versions("report", "mine")] == [("best",), (), ()]
    with pytest.raises(StoreError, match="no other version before"):
        three.rollback("report", "mine", "best")


def test_a_label_never_moves_to_a_damaged_version(three):
    for number in (2, 3):
        three.label("report", f"mine@{number}", "best")
    (three.find("report", "mine@2").content / "a").write_text("changed")
    with pytest.raises(StoreError, match="damaged"):
        three.rollback("report", "mine", "best")
    with pytest.raises(StoreError, match="damaged"):
        three.label("report", "mine@2", "other")
    assert three.find("report", "mine@best").number == 3


def _change(version):
    (version.content / "a").write_text("text X")


def _truncate(version):
    (version.content / "a").write_text("")


def _lose(version):
    (version.content / "a").unlink()


def _add(version):
    (version.content / "b").write_text("")


def _retell(version):
    path = version.content.parent / "version.json"
    path.write_text(path.read_text().replace('"parent": 1', '"parent": 7'))


@pytest.mark.parametrize("harm", [_change, _truncate, _lose, _add, _retell])
def test_damage_is_found_on_reading_and_an_intact_version_is_named(three, harm):
    harm(three.find("report", "mine@2"))
    with pytest.raises(StoreError, match="mine@2 is damaged") as caught:
        three.open("report", "mine@2")
    assert "mine@3 is intact" in caught.value.hint
    assert three.open("report", "mine@1").number == 1
    assert len(three.versions("report", "mine")) == 3


@pytest.mark.parametrize(
    "name", ["", ".", "..", "../x", "a/b", ".hidden", " a", "a ", "x" * 65, "a\nb", "a@b", "é"]
)
def test_a_name_never_leads_out_of_the_store(store, tmp_path, name):
    with pytest.raises(StoreError):
        store.save("report", name, folder_with(tmp_path / "source", a="1"))
    assert not (tmp_path / "home").exists()


@given(st.text(max_size=12))
def test_any_reference_is_found_or_told(tmp_path_factory, reference):
    store = Store(tmp_path_factory.getbasetemp() / "empty")
    with pytest.raises(StoreError):
        store.open("report", reference)


@pytest.mark.parametrize("label", ["", "latest", "3", "Best", "a b", "../x", "x" * 40])
def test_a_label_is_a_small_word(three, label):
    with pytest.raises(StoreError, match="is no label"):
        three.label("report", "mine@1", label)


def test_unknown_versions_are_told_with_those_there_are(three):
    three.label("report", "mine@1", "best")
    with pytest.raises(StoreError, match='no version or label "9"') as caught:
        three.open("report", "mine@9")
    assert caught.value.hint == "There are: 1, 2, 3, best."
    with pytest.raises(StoreError, match='no report "yours"') as caught:
        three.open("report", "yours")
    assert "mine" in caught.value.hint


def test_export_copies_the_files_and_overwrites_nothing(three, tmp_path):
    out = tmp_path / "out" / "copy"
    three.export("report", "mine@2", out)
    assert [path.name for path in out.iterdir()] == ["a"]
    with pytest.raises(StoreError, match="is there already"):
        three.export("report", "mine@3", out)
    assert (out / "a").read_text() == "text 2"


def test_every_failing_call_leaves_all_versions_intact(three, tmp_path, monkeypatch):
    """Let the n-th call to the file system fail, for every n, until saving succeeds."""
    source = folder_with(tmp_path / "source", a="new", b="newer")
    calls = {"left": 0}

    def failing(real):
        def call(*given, **named):
            calls["left"] -= 1
            if calls["left"] == 0:
                raise OSError(28, "No space left on device")
            return real(*given, **named)

        return call

    monkeypatch.setattr(os, "fsync", failing(os.fsync))
    monkeypatch.setattr(module.shutil, "copyfile", failing(module.shutil.copyfile))
    for method in ("rename", "replace", "write_text", "mkdir"):
        monkeypatch.setattr(Path, method, failing(getattr(Path, method)))
    for n in range(1, 100):
        calls["left"] = n
        version = None
        with contextlib.suppress(StoreError):
            version = three.save("report", "mine", source)
            break
        found = three.versions("report", "mine")
        assert not any(each.damage() for each in found)
        # Only the last flush may fail when the version is there already.
        assert len(found) in (3, 4)
    assert n > 8
    assert version.number == 4
    assert not version.damage()
    assert not list(version.content.parents[1].glob(".tmp-*"))


KILLED = """
import os, sys, pathlib
from cmc.store import Store
from cmc.store import folders, store, version
at, calls = int(sys.argv[3]), [0]
def deadly(real):
    def call(*given, **named):
        calls[0] += 1
        if calls[0] == at:
            os.kill(os.getpid(), 9)
        return real(*given, **named)
    return call
os.fsync = deadly(os.fsync)
pathlib.Path.rename = deadly(pathlib.Path.rename)
pathlib.Path.replace = deadly(pathlib.Path.replace)
Store(pathlib.Path(sys.argv[1])).save("report", "mine", pathlib.Path(sys.argv[2]))
"""


def test_a_killed_process_leaves_the_store_as_it_was_or_with_one_more(three, tmp_path):
    source = folder_with(tmp_path / "source", a="new")
    for at in (1, 3, 4, 5):
        command = [sys.executable, "-c", KILLED, str(three.home), str(source), str(at)]
        done = subprocess.run(command, cwd=ROOT, check=False)
        assert done.returncode == -signal.SIGKILL
        found = three.versions("report", "mine")
        assert [each.number for each in found] == [1, 2, 3]
        assert not any(each.damage() for each in found)
    assert three.save("report", "mine", source).number == 4
    assert not list((three.home / "store" / "report" / "mine").glob(".tmp-*"))


SAVING = """
import pathlib, sys
from cmc.store import Store
home, me = pathlib.Path(sys.argv[1]), sys.argv[2]
store = Store(home)
source = home / f"source-{me}"
source.mkdir(parents=True)
for number in range(8):
    (source / "a").write_text(f"{me} {number}")
    version = store.save("report", "mine", source)
    store.label("report", version.reference, f"by-{me}")
"""


def test_two_processes_lose_nothing(store):
    workers = [
        subprocess.Popen([sys.executable, "-c", SAVING, str(store.home), me], cwd=ROOT)
        for me in "ab"
    ]
    assert [worker.wait(timeout=120) for worker in workers] == [0, 0]
    found = store.versions("report", "mine")
    assert [each.number for each in found] == list(range(1, 17))
    texts = {(each.content / "a").read_text() for each in found}
    assert texts == {f"{me} {number}" for me in "ab" for number in range(8)}
    for me in "ab":
        assert (store.open("report", f"mine@by-{me}").content / "a").read_text() == f"{me} 7"


def test_a_difference_tells_files_settings_and_numbers(tmp_path):
    before = folder_with(tmp_path / "a", same="1", lost="1")
    after = folder_with(tmp_path / "b", same="1", gained="1")
    for folder, rate in ((before, 1), (after, 2)):
        (folder / "s.json").write_text(json.dumps({"x": {"rate": rate, "seed": 0}}))
    weights = torch.arange(4.0)
    save_file({"w": weights.clone(), "same": weights}, before / "m.safetensors")
    moved = {"w": weights + torch.tensor([0, 0, 0.5, -2]), "same": weights}
    save_file(moved | {"new": weights.clone()}, after / "m.safetensors")
    found = diff_folders(before, after)
    assert found["files"] == {
        "gained": ["gained"], "lost": ["lost"], "changed": ["m.safetensors", "s.json"],
    }  # fmt: skip
    assert found["settings"] == {"s.json": {"x.rate": [1, 2]}}
    assert found["tensors"]["m.safetensors"] == {
        "new": {"changed": 4, "of": 4, "largest": None},
        "w": {"changed": 2, "of": 4, "largest": 2.0},
    }


def test_a_version_names_a_controller_wherever_one_is_named(tmp_path, monkeypatch):
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    store = Store()
    for seed in (1, 2):
        folder = tmp_path / str(seed)
        tiny_controller("sentencepiece", seed=seed).save_pretrained(folder)
        store.save("controller", "tiny", folder)
    store.label("controller", "tiny@1", "best")
    first, second = (load_controller(place_of(f"tiny@{each}")) for each in ("best", "latest"))
    key = "model.embed_tokens.weight"
    assert not torch.equal(first.delta.state_dict()[key], second.delta.state_dict()[key])
    assert pinned("tiny@best") == "tiny@1"
    assert "tiny@best" in Workspace().names_of_controllers()
    for other in ("lab:instruct", "owner/tiny@best", "gpt2@main", "tiny", ""):
        assert place_of(other) == other
    with pytest.raises(StoreError, match='no version or label "9"'):
        place_of("tiny@9")


def test_the_commands_do_what_the_store_does(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("CMC_HOME", str(tmp_path / "home"))
    source = folder_with(tmp_path / "source", a="1")
    for text in "12":
        folder_with(source, a=text)
        told(capsys, "versions", "save", "mine", str(source), "--kind", "report")
    kind = ("--kind", "report")
    assert [each["number"] for each in told(capsys, "versions", "list")["versions"]] == [1, 2]
    assert told(capsys, "versions", "label", "mine@1", "best", *kind)["labels"] == ["best"]
    told(capsys, "versions", "label", "mine@2", "best", *kind)
    assert told(capsys, "versions", "rollback", "mine@best", *kind)["number"] == 1
    shown = told(capsys, "versions", "show", "mine@best", *kind)
    assert shown["provenance"] == {"folder": str(source)}
    found = told(capsys, "versions", "diff", "mine@1", "mine@2", *kind)
    assert found["files"]["changed"] == ["a"]
    out = tmp_path / "out"
    told(capsys, "versions", "export", "mine@2", "--out", str(out), *kind)
    assert (out / "a").read_text() == "2"
    assert main(["versions", "show", "mine@9", *kind]) == 1
    assert "There are: 1, 2, best." in capsys.readouterr().err
    assert main(["versions", "list"]) == 0
    assert "mine@1" in capsys.readouterr().out


def test_a_run_keeps_its_controller_as_a_version_and_again_after_going_on(tmp_path):
    run = tmp_path / "runs" / "mine"
    status = {"controller": str(folder_with(run / "controller", a="1")), "step": 5}
    assert _kept_version(run, status) == "mine@1"
    assert _kept_version(run, status) == "mine@1"
    folder_with(run / "controller", a="2")
    assert _kept_version(run, status | {"step": 9}) == "mine@2"
    second = Store(tmp_path).open("controller", "mine")
    assert (second.parent, second.provenance["step"]) == (1, 9)
    assert _kept_version(tmp_path / "elsewhere", status) is None
    assert _kept_version(run, {"controller": None}) is None
