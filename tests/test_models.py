"""Loading by name: the model that was meant, or one sentence about what is wrong."""

import json

import pytest
import torch

from cmc.controller import load_controller
from cmc.errors import ModelError, SettingError, TokenizerError
from cmc.generation import ControlledModel
from cmc.models import load_language_model, load_vocabulary
from cmc.settings import Loading, Sampling, lab_folder
from tests.conftest import shared, tiny_network, tiny_target, tiny_tokenizer


@pytest.fixture
def folder(tmp_path):
    target = tiny_target("byte-level")
    target.model.save_pretrained(tmp_path)
    target.vocabulary.tokenizer.save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_is_loaded_frozen_and_as_saved(folder):
    loaded = load_language_model(str(folder))
    ids = torch.tensor([[5, 300, 12]])
    assert torch.equal(loaded.model(ids).logits, tiny_target("byte-level").model(ids).logits)
    assert not any(each.requires_grad for each in loaded.model.parameters())
    assert not loaded.model.training
    assert loaded.context == 256


def test_a_unigram_tokenizer_keeps_its_pre_tokenizer(tmp_path):
    """Loaded by model type, this tokenizer would cut a text into single characters."""
    tiny_target("unigram").model.save_pretrained(tmp_path)  # a Qwen2 configuration
    tokenizer = tiny_tokenizer("unigram")
    tokenizer.save_pretrained(tmp_path)
    text = "Anna was happy. One day Hugo met her."
    assert load_vocabulary(str(tmp_path)).tokenizer(text).input_ids == tokenizer(text).input_ids


def test_a_tokenizer_alone_has_a_vocabulary():
    vocabulary = load_vocabulary(str(shared("tokenizers", "mistral_v1")))
    assert vocabulary.size == 32000
    assert vocabulary.eos_ids == (2,)


def test_real_weights_tell_their_story():
    """The published continuation of a model that nobody here trained."""
    loaded = load_language_model(str(shared("models", "stories260K")))
    ids = torch.tensor([loaded.vocabulary.encode_prompt("Once upon a time")])
    said = loaded.model.generate(ids, max_new_tokens=40, do_sample=False)[0, ids.shape[1] :]
    expected = ", there was a little girl named Lily. She loved to play outside in the park."
    assert loaded.vocabulary.decode(said.tolist()).startswith(expected)


def test_generation_settings_name_further_ends_of_text(folder):
    (folder / "generation_config.json").write_text(json.dumps({"eos_token_id": [0, 17]}))
    assert load_vocabulary(str(folder)).eos_ids == (0, 17)
    assert load_language_model(str(folder)).vocabulary.eos_ids == (0, 17)


def test_padded_rows_are_allowed_and_missing_rows_are_not(folder):
    tiny_network(330, architecture="gpt_neox", rows=384).save_pretrained(folder)
    assert load_language_model(str(folder)).rows == 384
    tiny_network(300, architecture="gpt_neox").save_pretrained(folder)
    with pytest.raises(ModelError, match="330 tokens, its model only 300 rows"):
        load_language_model(str(folder))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("", "no model is named"),
        ("lab:nobody", 'no "lab:nobody"'),
        ("lab:../models", "the starter lab has no"),
        ("/etc/passwd", "is no folder"),
        ("./nothing/here", "is no folder"),
        ("a/b/c", "is not a Hub id"),
        ("u/m;rm", "is not a Hub id"),
        ("../../no/such", "is no folder"),
        ("n" * 5000, "cannot be looked up"),
    ],
)
def test_names_that_name_nothing(name, message):
    with pytest.raises(ModelError, match=message) as caught:
        load_language_model(name)
    assert caught.value.hint


def test_folders_that_are_no_model(folder):
    weights = folder / "model.safetensors"
    damaged = weights.read_bytes()
    weights.write_bytes(damaged[: len(damaged) // 2])
    with pytest.raises(ModelError, match="cannot be read"):
        load_language_model(str(folder))
    weights.unlink()
    with pytest.raises(ModelError, match="no safetensors"):
        load_language_model(str(folder))
    (folder / "config.json").unlink()
    with pytest.raises(ModelError, match="json is missing"):
        load_language_model(str(folder))
    (folder / "tokenizer.json").write_text("{")
    with pytest.raises(TokenizerError, match="cannot be read"):
        load_vocabulary(str(folder))


@pytest.mark.parametrize("content", ["{", "[1, 2]", b"\xff\xfe"])
def test_damaged_settings_are_named(folder, content):
    file = folder / "generation_config.json"
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(ModelError, match=r"generation_config.json of .* is damaged") as caught:
        load_vocabulary(str(folder))
    assert caught.value.hint


def test_a_model_that_does_not_fit_is_told(folder, monkeypatch):
    def full(*_, **__):
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr("transformers.PreTrainedModel.to", full)
    with pytest.raises(ModelError, match="does not fit on the GPU") as caught:
        load_language_model(str(folder))
    assert "CUDA_VISIBLE_DEVICES" in caught.value.hint


def test_a_model_for_the_processor_is_exact_beside_a_gpu(folder, monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    loaded = load_language_model(str(folder), device=torch.device("cpu"))
    assert loaded.model.dtype == torch.float32


def test_a_model_may_be_spread_over_what_there_is(folder):
    plain, spread = (load_language_model(str(folder), loading=each)
                     for each in (Loading(), Loading(device_map="auto")))  # fmt: skip
    ids = torch.tensor([[5, 300, 12]], device=spread.device)
    found = spread.model(ids).logits.float().cpu()
    torch.testing.assert_close(found, plain.model(ids.to(plain.device)).logits.float().cpu())


def test_fewer_bits_without_their_package_are_told(folder, monkeypatch):
    monkeypatch.setattr("cmc.models.weights.find_spec", lambda _: None)
    with pytest.raises(ModelError, match="bitsandbytes") as caught:
        load_language_model(str(folder), loading=Loading(bits=4))
    assert "pip install" in caught.value.hint
    with pytest.raises(SettingError, match="3 bits"):
        Loading(bits=3)


@pytest.mark.skipif(not (lab_folder() / "lab.json").is_file(), reason="there is no starter lab")
@pytest.mark.parametrize("bits", [4, 8])
def test_a_target_in_fewer_bits_is_steered_as_any_other(bits):
    pytest.importorskip("bitsandbytes", reason="bitsandbytes is not installed")
    target = load_language_model("lab:twin", loading=Loading(bits=bits))
    whole = load_language_model("lab:twin")
    less = target.model.get_memory_footprint() / whole.model.get_memory_footprint()
    assert less < (0.45 if bits == 4 else 0.6)  # what is embedded keeps its bits
    model = ControlledModel(target, [load_controller("lab:instruct")])
    question = "Where does Yara Eklund live?"
    rows = [model.row(question, (strength,)) for strength in (0.0, 1.0)]
    base, controlled = model.generate(rows, Sampling(max_new_tokens=12))
    ids = torch.tensor([target.vocabulary.encode_prompt(rows[0].prompt)], device=target.device)
    plain = target.model.generate(ids, max_new_tokens=12, do_sample=False)
    assert base.token_ids == plain[0, ids.shape[1] :].tolist()
    assert controlled.text == "Yara Eklund lives in Kestrel."


def test_memory_that_runs_out_on_load_is_told(folder, monkeypatch):
    def full(*_, **__):
        raise RuntimeError("DefaultCPUAllocator: can't allocate memory")

    monkeypatch.setattr("cmc.models.weights.AutoModelForCausalLM.from_pretrained", full)
    with pytest.raises(ModelError, match="too little memory to load") as caught:
        load_language_model(str(folder))
    assert "fewer bits" in caught.value.hint
