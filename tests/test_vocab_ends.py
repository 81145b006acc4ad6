"""What ends a text is read from every settings file alike, whatever loads the folder."""

import contextlib
import json
import shutil
from pathlib import Path

import pytest

from cmc.controller import load_controller
from cmc.errors import ModelError, TokenizerError
from cmc.models import load_language_model, load_vocabulary
from cmc.vocab.ends import stored_eos_ids
from tests.conftest import tiny_controller

FILES = {
    "controller.json": {"eos_ids": [3, 4]},
    "generation_config.json": {"eos_token_id": [5, 6]},
    "config.json": {"eos_token_id": 7, "text_config": {"eos_token_id": 8}},
}


def written(folder: Path, **files: dict) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_the_first_file_that_names_ends_is_right(tmp_path):
    for name, content in FILES.items():
        (tmp_path / name).write_text(json.dumps(content))
    found = []
    for name in FILES:
        found.append(stored_eos_ids(tmp_path, "it"))
        (tmp_path / name).unlink()
    assert found == [[3, 4], [5, 6], [7]]
    assert stored_eos_ids(tmp_path, "it") == []


@pytest.mark.parametrize("nothing", [{}, {"eos_token_id": None}, {"eos_token_id": []}])
def test_a_file_that_names_none_leaves_it_to_the_next(tmp_path, nothing):
    written(tmp_path, generation_config=nothing, config={"text_config": {"eos_token_id": [1, 9]}})
    assert stored_eos_ids(tmp_path, "it") == [1, 9]


@pytest.mark.parametrize("wrong", ["</s>", [None], [[1]], {"a": 1}, True, 1.5, [2, "x"]])
@pytest.mark.parametrize("file", ["config", "generation_config"])
def test_ends_that_are_no_ids_are_refused(tmp_path, file, wrong):
    written(tmp_path, **{file: {"eos_token_id": wrong}})
    with pytest.raises(ModelError, match=rf"eos_token_id in {file}\.json of it is .*no id"):
        stored_eos_ids(tmp_path, "it")


DAMAGED = {
    "empty": b"", "no object": b"[]", "cut": b"{", "no UTF-8": b"\xff", "nested": b"[" * 200_000,
    "large": b"{" * (17 << 20),
}  # fmt: skip


@pytest.mark.parametrize("content", DAMAGED.values(), ids=list(DAMAGED))
def test_a_damaged_file_is_told(tmp_path, content):
    (tmp_path / "generation_config.json").write_bytes(content)
    with pytest.raises(ModelError, match=r"generation_config\.json of it is damaged"):
        stored_eos_ids(tmp_path, "it")


def test_a_controller_has_one_vocabulary_whatever_reads_it(tmp_path):
    """A map that is kept for a controller's folder fits the controller that is loaded from it."""
    controller = tiny_controller("sentencepiece")
    text = controller.vocabulary.tokens.index("a")
    ends = [*controller.vocabulary.eos_ids, text]
    controller.save_pretrained(tmp_path)
    file = tmp_path / "controller.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"eos_ids": ends}))
    loaded = load_controller(str(tmp_path)).vocabulary
    assert loaded.eos_ids == tuple(sorted(ends))
    assert load_vocabulary(str(tmp_path)).fingerprint == loaded.fingerprint


@pytest.mark.parametrize("place", ["generation_config.json", "config.json", "chat template"])
def test_a_model_has_one_vocabulary_whatever_reads_it(saved, tmp_path, place):
    folder = tmp_path / "model"
    shutil.copytree(saved["model"], folder)
    own = load_vocabulary(str(folder)).eos_ids
    if place == "chat template":
        end = tiny_controller("sentencepiece").vocabulary.tokenizer.unk_token
        template = "{% for each in messages %}{{ each.content }}" + end + "{% endfor %}"
        (folder / "chat_template.jinja").write_text(template)
        more = load_vocabulary(str(folder)).tokens.index(end)
    else:
        more = 17
        (folder / "generation_config.json").unlink(missing_ok=True)
        told = json.loads((folder / place).read_text()) if place == "config.json" else {}
        (folder / place).write_text(json.dumps(told | {"eos_token_id": [*own, more]}))
    alone, whole = load_vocabulary(str(folder)), load_language_model(str(folder)).vocabulary
    carried = load_controller(str(folder)).vocabulary
    assert set(alone.eos_ids) == {*own, more}
    assert alone.fingerprint == whole.fingerprint == carried.fingerprint


@pytest.mark.parametrize("file", ["tokenizer_config.json", "special_tokens_map.json"])
@pytest.mark.parametrize("name", ["unk_token", "eos_token", "added_tokens_decoder"])
@pytest.mark.parametrize("wrong", ["", {}, 5, [[1]]])
def test_settings_that_make_no_sense_end_in_a_sentence(saved, tmp_path, file, name, wrong):
    folder = tmp_path / "model"
    shutil.copytree(saved["byte"], folder)
    path = folder / file
    told = json.loads(path.read_text()) if path.is_file() else {}
    path.write_text(json.dumps(told | {name: wrong}))
    # Some are harmless; nothing but this may come of the others.
    with contextlib.suppress(TokenizerError):
        load_vocabulary(str(folder)).encode_continuation(b"It may do no harm.")
