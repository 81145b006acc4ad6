"""The command line: what it prints, and what it says when something is wrong."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from cmc.__main__ import main
from cmc.arguments import named_strengths
from cmc.errors import SettingError
from cmc.settings import Sampling, lab_folder
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
    assert wanted | {"recovered_effect", "recovered_interval"} == keys(row)
    assert row["n"] == 4


def test_train_beside_real_weights_lowers_the_held_out_loss(capsys, tmp_path):
    template = str(shared("models", "stories260K"))
    data = str(shared("alpaca", "alpaca_en_demo.json"))
    found = printed(
        capsys, "train", "--template", template, "--data", data, "--limit", "60",
        "--max-steps", "40", "--batch-size", "8", "--max-length", "160", "--hidden-size", "64",
        "--layers", "2", "--run", str(tmp_path / "run"), "--out", str(tmp_path / "controller"),
    )  # fmt: skip
    wanted = {"run", "controller", "steps", "loss_first", "loss_last", "held_out", "version"}
    assert wanted == keys(found)
    assert found["steps"] == 40
    assert found["held_out"]["controlled"] < found["held_out"]["template"] - 0.1
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
    "no worker": (["lab", "build", "--workers", "0"], "Workers is 0, out of range"),
    "parity of another transfer": (["map", "--parity", "--transfer", "cover"], "Parity"),
    "a temperature that overflows": (["generate", "--temperature", "1e-30", "Hi"], "0 is greedy"),
    "a name too long": (["map", "--controller", "n" * 5000], "cannot be looked up"),
    "a controller twice": (
        ["generate", "--controller", "a:1", "--controller", "a:-2", "Hi"], "A is given twice"
    ),
    "a folder as map file": (["map", "--out", "{folder}"], "is a folder"),
    "a folder as report": (["evaluate", "transfer", "--out", "{folder}"], "is a folder"),
    "a file as folder": (["map", "--out", "{folder}/empty.json/map"], "File exists"),
    "a file as controller": (["train", "--out", "{folder}/empty.json"], "File exists"),
    "a transfer that does not fit": (
        ["evaluate", "transfer", "--controller", "{controller}", "--targets", "{model}", "{byte}",
         "--data", "{folder}/good.json", "--transfers", "same", "--template", "{folder}"],
        "The transfer same does not fit",
    ),
    "too few questions": (["evaluate", "transfer", "--limit", "0"], "out of range"),
}  # fmt: skip


@pytest.fixture(scope="module")
def tiny(tmp_path_factory) -> dict[str, str]:
    """Return folders of a tiny model and a tiny controller, so that no lab is needed."""
    folder = tmp_path_factory.mktemp("tiny")
    for name, family in (("model", "sentencepiece"), ("byte", "byte-level")):
        tiny_target(family).model.save_pretrained(folder / name)
        tiny_tokenizer(family).save_pretrained(folder / name)
    tiny_controller("sentencepiece").save_pretrained(folder / "controller")
    return {name: str(folder / name) for name in ("model", "byte", "controller")}


@pytest.mark.parametrize("name", list(BAD))
def test_a_mistake_gives_one_sentence_with_a_remedy(name, capsys, tmp_path, tiny):
    (tmp_path / "empty.json").write_text("")
    (tmp_path / "latin.json").write_bytes('[{"instruction": "é"}]'.encode("latin-1"))
    (tmp_path / "columns.json").write_text('[{"frage": "a", "antwort": "b"}]')
    (tmp_path / "good.json").write_text('[{"instruction": "a", "output": "b"}]')
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
    assert named_strengths(["lab:instruct:0.5", "lab:style"], ["2"]) == {
        "lab:instruct": "0.5",
        "lab:style": "2",
    }
    assert named_strengths(["/a/folder", "owner/name@v1"], None) == {
        "/a/folder": 1,
        "owner/name@v1": 1,
    }
    with pytest.raises(SettingError, match="given twice"):
        named_strengths(["lab:style", "lab:style:2"], None)
    with pytest.raises(SettingError, match="more strengths"):
        named_strengths(["lab:instruct:1"], ["2"])


def test_a_full_disk_is_told_and_a_missing_folder_is_made(capsys, tmp_path, tiny):
    pair = ["map", "--controller", tiny["model"], "--target", tiny["byte"]]
    out = tmp_path / "new" / "folder" / "map.safetensors"
    assert printed(capsys, *pair, "--out", str(out))["out"] == str(out)
    assert out.is_file()
    assert printed(capsys, *pair, "--parity")["transfer"] == "pm-mined"
    inside = ["--out", str(tmp_path / "there" / ("n" * 300))]
    assert_one_sentence("cannot be read or written", run(capsys, *pair, *inside, "--json"))
    if not Path("/dev/full").exists():
        pytest.skip("this system has no full disk to try")
    (tmp_path / "good.json").write_text('[{"instruction": "a", "output": "b"}]')
    evaluate = ["evaluate", "transfer", "--controller", tiny["controller"], "--template",
                tiny["model"], "--targets", tiny["model"], "--transfers", "same",
                "--data", str(tmp_path / "good.json"), "--out", "/dev/full"]  # fmt: skip
    assert_one_sentence("No space left", run(capsys, *evaluate, "--json"))


def test_whole_numbers_stay_exact():
    assert Sampling(seed=2**53 + 1).seed == 2**53 + 1
    assert Sampling(seed=str(2**53 + 1)).seed == 2**53 + 1
    with pytest.raises(SettingError, match="out of range"):
        Sampling(seed=2**63 + 1)


def test_a_damaged_lab_is_told(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("CMC_LAB", str(tmp_path))
    info = ["lab", "info", "--json"]
    assert_one_sentence("here is no starter lab", run(capsys, *info))
    (tmp_path / "models").mkdir()
    assert_one_sentence("half built: lab.json is missing", run(capsys, *info))
    (tmp_path / "lab.json").write_text("{")
    assert_one_sentence("lab.json of the starter lab", run(capsys, *info))
    model = {"name": "lab:template"}
    (tmp_path / "lab.json").write_text(json.dumps({"template": model, "targets": [model]}))
    assert_one_sentence("half built: manifest.json is missing", run(capsys, *info))
    (tmp_path / "manifest.json").write_text("[]")
    assert_one_sentence("manifest.json of the starter lab", run(capsys, *info))


def test_wrong_usage_is_exit_code_two():
    for arguments in ([], ["train", "--no-such"], ["map", "--transfer", "magic"]):
        command = [sys.executable, "-m", "cmc", *arguments]
        assert subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 2
