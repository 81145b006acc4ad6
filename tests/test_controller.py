"""Controllers on disk: what is saved comes back, what is damaged is refused."""

import copy
import json
from types import SimpleNamespace

import pytest
import torch
from transformers import BloomConfig, BloomForCausalLM, LlamaConfig, MistralConfig, Qwen2Config

from cmc.controller import Controller, copy_controller, load_controller, random_controller
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


def test_a_save_leaves_nothing_of_an_earlier_one_and_every_other_file(tmp_path):
    controller = tiny_controller("sentencepiece")
    controller.save_pretrained(tmp_path)
    (tmp_path / "notes.txt").write_text("mine")
    Controller("bare", controller.delta, None, controller.vocabulary).save_pretrained(tmp_path)
    assert load_controller(str(tmp_path)).prior is None
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_copied_controller_leaves_nothing_of_an_earlier_one(tmp_path):
    whole = tiny_controller("sentencepiece")
    whole.save_pretrained(tmp_path / "out")
    (tmp_path / "out" / "notes.txt").write_text("mine")
    bare = Controller("bare", whole.delta, None, whole.vocabulary)
    bare.save_pretrained(tmp_path / "run")
    for _ in range(2):
        copy_controller(tmp_path / "run", tmp_path / "out")
        assert load_controller(str(tmp_path / "out")).prior is None
    copy_controller(tmp_path / "out", tmp_path / "out")
    assert load_controller(str(tmp_path / "out")).prior is None
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"


def test_controllers_are_exact_however_they_were_stored(tmp_path, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr("cmc.controller.best_device", lambda: torch.device("cpu"))
    controller = tiny_controller("sentencepiece")
    controller.save_pretrained(tmp_path)
    copy.deepcopy(controller.delta).half().save_pretrained(tmp_path / "delta")
    copy.deepcopy(controller.prior).bfloat16().save_pretrained(tmp_path / "prior")
    loaded = load_controller(str(tmp_path))
    assert (loaded.delta.dtype, loaded.prior.dtype) == (torch.float32, torch.float32)


@pytest.mark.parametrize(
    ("config", "context"),
    [
        (LlamaConfig(max_position_embeddings=64), 64),
        (MistralConfig(max_position_embeddings=64, sliding_window=16), 16),
        (MistralConfig(max_position_embeddings=64, sliding_window=None), 64),
        (Qwen2Config(max_position_embeddings=64, use_sliding_window=True, sliding_window=16), 16),
        (Qwen2Config(max_position_embeddings=64, use_sliding_window=False), 64),
    ],
)
def test_a_controller_reads_no_more_than_its_window(config, context):
    delta = SimpleNamespace(config=config)
    assert Controller("any", delta, None, tiny_vocabulary("sentencepiece")).context == context


def test_a_controller_without_a_known_context_is_refused(tmp_path):
    size = tiny_vocabulary("sentencepiece").size
    config = BloomConfig(vocab_size=size, hidden_size=16, n_layer=1, n_head=2)
    BloomForCausalLM(config).save_pretrained(tmp_path)
    tiny_tokenizer("sentencepiece").save_pretrained(tmp_path)
    with pytest.raises(ModelError, match="does not say how many tokens it reads") as caught:
        load_controller(str(tmp_path))
    assert "Llama" in caught.value.hint


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
