"""Small vocabularies and random models that every test may use."""

import json
import os
from functools import cache
from pathlib import Path

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast

from cmc.controller import Controller, default_settings
from cmc.lab.texts import documents
from cmc.lab.vocabularies import FAMILIES
from cmc.lab.world import make_world
from cmc.models import LanguageModel
from cmc.store import hub as the_hub
from cmc.vocab import Vocabulary
from tests.fake_hub import Hub
from tests.judge_server import KEY, Server

ROOT = Path(__file__).resolve().parents[1]
SIZES = {"sentencepiece": 400, "byte-level": 330, "unigram": 200}
ARCHITECTURES = {"sentencepiece": "llama", "byte-level": "gpt_neox", "unigram": "qwen2"}


def shared(*parts: str) -> Path:
    """Return a file of the third-party conformance data, or skip the test that needs it."""
    default = Path(__file__).resolve().parents[2] / "shared"
    path = Path(os.environ.get("CMC_SHARED", default)).joinpath("data", *parts)
    if not path.exists():
        pytest.skip(f"third-party data is absent: {'/'.join(parts)} (set CMC_SHARED)")
    return path


@pytest.fixture(scope="session", autouse=True)
def home_of_the_tests(tmp_path_factory):
    """Keep runs and caches of tests apart from a person's own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CMC_HOME", str(tmp_path_factory.mktemp("home")))
        yield


@cache
def real_vocabulary(name: str) -> Vocabulary:
    """Return the vocabulary of a published tokenizer; read once per session."""
    folder = shared("tokenizers", name)
    return Vocabulary(PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True))


@cache
def tiny_tokenizer(family: str) -> PreTrainedTokenizerFast:
    """Return a small tokenizer of a family, trained in memory."""
    texts = list(documents(make_world(known=20, held_out=5, authors=5), seed=3, count=300))
    return FAMILIES[family](texts, SIZES[family])


@cache
def tiny_vocabulary(family: str) -> Vocabulary:
    """Return the vocabulary of `tiny_tokenizer`."""
    return Vocabulary(tiny_tokenizer(family))


def tiny_network(vocab_size: int, *, architecture: str = "llama", seed: int = 0, rows: int = 0):
    """Return a random two-layer model whose scores are not flat."""
    torch.manual_seed(seed)
    config = AutoConfig.for_model(
        architecture, vocab_size=max(vocab_size, rows), hidden_size=32, num_hidden_layers=2,
        num_attention_heads=2, num_key_value_heads=2, intermediate_size=48,
        max_position_embeddings=256, eos_token_id=None, bos_token_id=None, pad_token_id=None,
    )  # fmt: skip
    model = AutoModelForCausalLM.from_config(config).eval().requires_grad_(False)
    head = model.get_output_embeddings().weight
    head.copy_(torch.randn_like(head) * 0.4)
    return model


@cache
def tiny_target(family: str, rows: int = 0) -> LanguageModel:
    """Return a random target of a tokenizer family, with padded output rows if asked for."""
    vocabulary = tiny_vocabulary(family)
    architecture = ARCHITECTURES[family]
    model = tiny_network(vocabulary.size, architecture=architecture, seed=7, rows=rows)
    return LanguageModel(f"tiny:{family}", model, vocabulary)


@cache
def tiny_controller(family: str, *, seed: int = 1, has_prior: bool = True) -> Controller:
    """Return a random controller in the vocabulary of a family."""
    vocabulary = tiny_vocabulary(family)
    prior = tiny_network(vocabulary.size, seed=seed + 100) if has_prior else None
    settings = default_settings() | {"prompt_format": "qa"}
    delta = tiny_network(vocabulary.size, seed=seed)
    return Controller(f"tiny:{seed}", delta, prior, vocabulary, settings)


@pytest.fixture(scope="session", autouse=True)
def home_of_tests(tmp_path_factory) -> None:
    """Keep what a test writes to the home away from the person's own, unless it names one."""
    os.environ.setdefault("CMC_HOME", str(tmp_path_factory.mktemp("home")))


@pytest.fixture(scope="session")
def saved(tmp_path_factory) -> dict[str, str]:
    """Return folders of tiny models and a tiny controller, and files with a few records."""
    folder = tmp_path_factory.mktemp("saved")
    for name, family in (("model", "sentencepiece"), ("byte", "byte-level")):
        tiny_target(family).model.save_pretrained(folder / name)
        tiny_tokenizer(family).save_pretrained(folder / name)
    tiny_controller("sentencepiece").save_pretrained(folder / "controller")
    for name, about in (("data", "Who is {}?"), ("retain", "Where is {}?")):
        lines = [json.dumps({"instruction": about.format(person), "output": f"{person} is here."})
                 for person in ("Anna", "Hugo", "Ida")]  # fmt: skip
        (folder / f"{name}.jsonl").write_text("\n".join(lines))
    names = ("model", "byte", "controller")
    return {each: str(folder / each) for each in names} | {
        each: str(folder / f"{each}.jsonl") for each in ("data", "retain")
    }


@pytest.fixture
def serve(monkeypatch):
    """Return what starts a server that judges as it is told; a key for it is set."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    servers = []

    def start(*replies) -> Server:
        servers.append(Server(replies))
        return servers[-1]

    yield start
    for each in servers:
        each.close()


@pytest.fixture
def hub(monkeypatch):
    """Start Hubs on this machine, each with the status it answers with."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)  # the Hub is our own
    monkeypatch.setattr(the_hub, "get_token", lambda: None)
    hubs = []

    def start(status=200):
        hubs.append(Hub(status))
        return hubs[-1]

    yield start
    for each in hubs:
        each.shutdown()
        each.server_close()
