"""Controllers on disk: what is saved comes back, what is damaged is refused."""

import json

import pytest
import torch

from cmc.controller import Controller, load_controller, random_controller
from cmc.errors import ModelError
from cmc.settings import lab_folder
from cmc.vocab import Vocabulary
from tests.conftest import tiny_controller, tiny_tokenizer, tiny_vocabulary

IDS = torch.tensor([[1, 270, 300, 12]])


def test_a_saved_controller_comes_back(tmp_path):
    controller = tiny_controller("sentencepiece", seed=9)
    controller.settings["recommended_strength"] = 1.25
    controller.save_pretrained(tmp_path)
    loaded = load_controller(str(tmp_path))
    assert torch.equal(loaded.delta(IDS).logits, controller.delta(IDS).logits)
    assert torch.equal(loaded.prior(IDS).logits, controller.prior(IDS).logits)
    assert loaded.vocabulary.fingerprint == controller.vocabulary.fingerprint
    assert loaded.settings["recommended_strength"] == 1.25
    assert loaded.prompt_format == "qa"
    assert "Cross-model Control" in (tmp_path / "README.md").read_text("utf-8")
    names = {path.suffix for path in tmp_path.rglob("*") if path.is_file()}
    assert names <= {".json", ".safetensors", ".md", ".jinja"}


def test_ends_of_text_from_generation_settings_survive(tmp_path):
    vocabulary = Vocabulary(tiny_tokenizer("sentencepiece"), eos_ids=[2, 300])
    random_controller(vocabulary, hidden_size=32, layers=1, seed=0).save_pretrained(tmp_path)
    loaded = load_controller(str(tmp_path))
    assert loaded.vocabulary.eos_ids == (2, 300)
    assert loaded.vocabulary.fingerprint == vocabulary.fingerprint
    assert loaded.prior is None


def test_a_plain_language_model_is_a_controller(tmp_path):
    """The published controllers are folders without a controller.json."""
    tiny_controller("sentencepiece").delta.save_pretrained(tmp_path)
    tiny_tokenizer("sentencepiece").save_pretrained(tmp_path)
    loaded = load_controller(str(tmp_path))
    assert loaded.prior is None
    assert loaded.prompt_format == "open-instruct"


def test_random_controllers_are_drawn_from_their_seed():
    vocabulary = tiny_vocabulary("sentencepiece")
    one, again, other = (
        random_controller(vocabulary, hidden_size=64, layers=2, seed=seed) for seed in (1, 1, 2)
    )
    assert torch.equal(one.delta(IDS).logits, again.delta(IDS).logits)
    assert not torch.equal(one.delta(IDS).logits, other.delta(IDS).logits)


def test_a_damaged_controller_is_refused(tmp_path):
    tiny_controller("sentencepiece").save_pretrained(tmp_path)
    manifest = tmp_path / "controller.json"
    whole = manifest.read_text("utf-8")
    manifest.write_text(whole[:40])
    with pytest.raises(ModelError, match="damaged"):
        load_controller(str(tmp_path))
    manifest.write_text(json.dumps(json.loads(whole) | {"format_version": 99}))
    with pytest.raises(ModelError, match="format version"):
        load_controller(str(tmp_path))
    manifest.write_text(whole)
    weights = tmp_path / "delta" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-100])
    with pytest.raises(ModelError, match="cannot be read"):
        load_controller(str(tmp_path))


def test_a_tokenizer_of_another_size_is_refused(tmp_path):
    controller = tiny_controller("sentencepiece")
    Controller("mixed", controller.delta, None, controller.vocabulary).save_pretrained(tmp_path)
    bigger = tiny_tokenizer("sentencepiece").backend_tokenizer.to_str()
    described = json.loads(bigger)
    described["model"]["vocab"] |= {f"zz{number}": 400 + number for number in range(50)}
    (tmp_path / "tokenizer.json").write_text(json.dumps(described), "utf-8")
    with pytest.raises(ModelError, match="450 tokens, its network only 400 rows"):
        load_controller(str(tmp_path))


@pytest.mark.skipif(not (lab_folder() / "lab.json").is_file(), reason="there is no starter lab")
def test_the_labs_controllers_say_how_they_were_made():
    for name in ("instruct", "style", "forget"):
        settings = load_controller(f"lab:{name}").settings
        assert settings["template"] == "lab:template"
        assert settings["metrics"]["held_out_controlled"] is not None
        assert all(source.startswith("lab:") for source in settings["data"])
