"""The command line: what it prints, and what it says when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cmc.__main__ import _strengths, main
from cmc.errors import SettingError
from cmc.settings import lab_folder
from tests.conftest import shared, tiny_controller, tiny_target, tiny_tokenizer

ROOT = Path(__file__).resolve().parents[1]
needs_lab = pytest.mark.skipif(
    not (lab_folder() / "lab.json").is_file(), reason="there is no starter lab"
)


def run(capsys, *arguments: str) -> tuple[int, str, str]:
    code = main(list(arguments))
    said = capsys.readouterr()
    return code, said.out, said.err


def printed(capsys, *arguments: str) -> dict:
    code, out, err = run(capsys, *arguments, "--json")
    assert code == 0, err
    return json.loads(out)


def keys(found: dict) -> set[str]:
    return set(found)


@needs_lab
def test_lab_info_tells_what_is_in_the_lab(capsys):
    info = printed(capsys, "lab", "info")
    assert {"template", "targets", "controllers", "bytes", "verified"} <= keys(info)
    wanted = {"name", "architecture", "tokenizer", "parameters", "recall"}
    wanted |= {"base_score", "finetuned_score"}
    for model in (info["template"], *info["targets"]):
        assert wanted <= keys(model)
    assert info["verified"]


def test_map_builds_the_published_map_in_parity_mode(capsys, tmp_path):
    out = tmp_path / "map.safetensors"
    tokenizers = [str(shared("tokenizers", name)) for name in ("llama2", "mistral_v1")]
    found = printed(
        capsys, "map", "--controller", tokenizers[0], "--target", tokenizers[1],
        "--transfer", "pm-mined", "--parity", "--out", str(out),
    )  # fmt: skip
    assert {"controller", "target", "transfer", "ids", "mass", "grade", "seconds"} <= keys(found)
    assert {"exact", "prefix", "extension", "composed", "none", "role"} == keys(found["ids"])
    assert (found["ids"]["exact"], found["ids"]["none"]) == (24185, 1341)

    from cmc.vocab import VocabMap

    published = json.loads(shared("published_map", "one2one_mistral2llama_id.json").read_text())
    if isinstance(published, dict):
        published = [published[str(each)] for each in range(len(published))]
    assert VocabMap.load(out).ids.tolist() == published


@needs_lab
def test_generate_shows_base_and_controlled(capsys):
    found = printed(
        capsys, "generate", "--controller", "lab:instruct:1.5", "--target", "lab:byte",
        "--max-new-tokens", "8", "Where does Anna Zimmer live?", "Name three animals.",
    )  # fmt: skip
    for output in found["outputs"]:
        assert {"prompt", "base", "controlled", "strengths", "tokens", "seconds"} == keys(output)
        assert output["strengths"] == {"lab:instruct": 1.5}


@needs_lab
def test_generate_at_strength_zero_is_the_base(capsys):
    found = printed(capsys, "generate", "--strength", "0", "--max-new-tokens", "12", "Who is it?")
    assert found["outputs"][0]["base"] == found["outputs"][0]["controlled"]


@needs_lab
def test_evaluate_transfer_reports_rows_with_intervals(capsys):
    found = printed(
        capsys, "evaluate", "transfer", "--targets", "lab:byte", "--transfers", "cover",
        "--limit", "4",
    )  # fmt: skip
    assert {"exact_match", "low", "high", "n"} <= keys(found["template"])
    wanted = {"target", "transfer", "strength", "n", "exact_match", "low", "high", "base"}
    (row,) = found["rows"]
    assert wanted | {"recovered_effect"} == keys(row)
    assert row["n"] == 4


def test_train_beside_real_weights_lowers_the_held_out_loss(capsys, tmp_path):
    template = str(shared("models", "stories260K"))
    data = str(shared("alpaca", "alpaca_en_demo.json"))
    found = printed(
        capsys, "train", "--template", template, "--data", data, "--limit", "60",
        "--max-steps", "25", "--batch-size", "8", "--max-length", "160", "--hidden-size", "64",
        "--layers", "2", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "controller"),
    )  # fmt: skip
    assert {"run", "controller", "steps", "loss_first", "loss_last", "held_out"} == keys(found)
    assert found["steps"] == 25
    assert found["held_out"]["controlled"] < found["held_out"]["template"] - 0.2
    controlled = [
        printed(
            capsys, "generate", "--controller", str(tmp_path / "controller"), "--target", template,
            "--strength", strength, "--max-new-tokens", "5", "Tell me a story.",
        )["outputs"][0]["controlled"]
        for strength in ("-1", "0", "1", "2")
    ]  # fmt: skip
    assert len(set(controlled)) > 1


BAD = {
    "unknown lab model": (
        ["generate", "--controller", "{controller}", "--target", "lab:nobody", "Hi"],
        'no "lab:nobody"',
    ),
    "strength in letters": (["generate", "--strength", "abc", "Hi"], '"abc", which is no number'),
    "infinite strength": (["generate", "--strength", "inf", "Hi"], "out of range"),
    "empty prompt": (["generate", " "], "prompt is empty"),
    "folder that is no model": (
        ["generate", "--controller", "{controller}", "--target", "{folder}", "Hi"],
        "config.json is",
    ),
    "not a Hub id": (
        ["generate", "--controller", "{controller}", "--target", "a/b/c", "Hi"],
        "is not a Hub id",
    ),
    "a file as model": (
        ["map", "--controller", "{controller}", "--target", "{folder}/empty.json"], "is no folder"
    ),
    "no data file": (["train", "--data", "{folder}/none.json"], "none.json"),
    "empty data file": (["train", "--data", "{folder}/empty.json"], "empty"),
    "not UTF-8": (["train", "--data", "{folder}/latin.json"], "UTF-8"),
    "wrong columns": (["train", "--data", "{folder}/columns.json"], "instruction"),
    "broken JSON": (["train", "--data", "{folder}/broken.json"], "line"),
    "too few steps": (["train", "--max-steps", "0"], "out of range"),
    "too few questions": (["evaluate", "transfer", "--limit", "0"], "out of range"),
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> dict[str, str]:
    """Return folders of a tiny model and a tiny controller, so that no lab is needed."""
    folder = tmp_path_factory.mktemp("tiny")
    tiny_target("sentencepiece").model.save_pretrained(folder / "model")
    tiny_tokenizer("sentencepiece").save_pretrained(folder / "model")
    tiny_controller("sentencepiece").save_pretrained(folder / "controller")
    return {name: str(folder / name) for name in ("model", "controller")}


@pytest.mark.parametrize("name", list(BAD))
def test_a_mistake_gives_one_sentence_with_a_remedy(name, capsys, tmp_path, tiny):
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "latin.json").write_bytes('[{"instruction": "é"}]'.encode("latin-1"))
    (tmp_path / "columns.json").write_text('[{"question": "a", "answer": "b"}]')
    (tmp_path / "broken.json").write_text('[{"instruction": "a",')
    arguments, message = BAD[name]
    filled = [each.format(folder=tmp_path, **tiny) for each in arguments]
    if arguments[0] == "train":
        filled += ["--template", tiny["model"], "--run", str(tmp_path / "run")]
    assert_one_sentence(message, run(capsys, *filled, "--json"))


def assert_one_sentence(message: str, found: tuple[int, str, str]) -> None:
    code, out, err = found
    last = err.strip().splitlines()[-1]
    assert (code, out) == (1, "")
    assert message in last
    assert last.startswith("error: ")
    assert "Traceback" not in err


def test_strengths_may_stand_behind_the_name_or_apart():
    assert _strengths(["lab:instruct:0.5", "lab:style"], ["2"]) == {
        "lab:instruct": "0.5",
        "lab:style": "2",
    }
    assert _strengths(["/a/folder", "owner/name@v1"], None) == {"/a/folder": 1, "owner/name@v1": 1}
    with pytest.raises(SettingError, match="more strengths"):
        _strengths(["lab:instruct:1"], ["2"])


def test_wrong_usage_is_exit_code_two():
    for arguments in ([], ["train", "--no-such"], ["map", "--transfer", "magic"]):
        command = [sys.executable, "-m", "cmc", *arguments]
        assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 2
