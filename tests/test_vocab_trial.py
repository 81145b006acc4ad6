"""Hostile tokenizer files end in a clear error, and never in this process."""

import json
import os
import resource
from pathlib import Path

import pytest

from cmc.errors import TokenizerError
from cmc.models import load_tokenizer, load_vocabulary
from cmc.vocab import trial, trial_process
from cmc.vocab.trial import try_tokenizer
from tests.conftest import shared, tiny_tokenizer

CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content"
    " + '<|im_end|>\n' }}{% endfor %}"
)


@pytest.fixture
def folder(tmp_path) -> Path:
    tiny_tokenizer("sentencepiece").save_pretrained(tmp_path)
    return tmp_path


def rewrite(folder: Path, change) -> None:
    file = folder / "tokenizer.json"
    described = json.loads(file.read_text("utf-8"))
    file.write_text(json.dumps(change(described) or described), "utf-8")


def missing_merge(told):
    told["model"]["merges"].append(["qqq", "zzz"])


def cyclic_merges(told):
    told["model"]["vocab"] |= {"\u0001": 900, "\u0002": 901}
    told["model"]["merges"] += [["\u0001", "\u0002"], ["\u0001\u0002", "\u0001"]]


def duplicate_ids(told):
    one, other = list(told["model"]["vocab"])[300:302]
    told["model"]["vocab"][one] = told["model"]["vocab"][other]


def negative_id(told):
    told["model"]["vocab"][next(iter(told["model"]["vocab"]))] = -1


def enormous_id(told):
    told["model"]["vocab"]["far"] = 4_000_000_000


def far_id(told):
    told["model"]["vocab"]["far"] = 3_900_000


def added_with_a_used_id(told):
    told["added_tokens"].append(told["added_tokens"][0] | {"content": "<two>"})


def token_that_is_no_text(told):
    told["added_tokens"].append({"id": 950, "content": 7})


def long_token(told):
    told["model"]["vocab"]["x" * 3_000_000] = 950


def many_long_tokens(told):
    told["model"]["vocab"] |= {f"{n:09}" + "x" * 9_000: 1000 + n for n in range(20)}


def no_model(told):
    return {"version": told["version"]}


def empty_vocabulary(told):
    told["model"]["vocab"], told["model"]["merges"], told["added_tokens"] = {}, [], []


def broken_pattern(told):
    told["pre_tokenizer"] = {
        "type": "Split", "pattern": {"Regex": "(((("}, "behavior": "Isolated", "invert": False,
    }  # fmt: skip


def slow_pattern(told):
    told["normalizer"] = {
        "type": "Replace",
        "pattern": {"Regex": "(a*)*(a*)*(a*)*b$"},
        "content": "",
    }


def growing_normalizer(told):
    grow = {"type": "Replace", "pattern": {"String": "a"}, "content": "a" * 400}
    told["normalizer"] = {"type": "Sequence", "normalizers": [grow] * 4}


REFUSED = (
    missing_merge, cyclic_merges, duplicate_ids, negative_id, enormous_id, far_id,
    added_with_a_used_id, token_that_is_no_text, long_token, many_long_tokens, no_model,
    empty_vocabulary, broken_pattern, slow_pattern, growing_normalizer,
)  # fmt: skip


@pytest.mark.parametrize("change", REFUSED, ids=lambda change: change.__name__)
def test_a_hostile_tokenizer_is_refused_by_another_process(folder, change, monkeypatch):
    if change is slow_pattern:
        monkeypatch.setattr(trial, "SECONDS", 2)
    rewrite(folder, change)
    with pytest.raises(TokenizerError, match="tokenizer of it") as caught:
        try_tokenizer(folder, "it")
    assert "valid tokenizer.json" in caught.value.sentence()


JUNK = {
    "no UTF-8": b'{"model": "\xff\xfe"}',
    "no JSON": b"{" * 10,
    "nested": b"[" * 200_000,
    "50 MB of zeros": b"\0" * 50_000_000,
    "50 MB of numbers": b"[" + b"1," * 24_999_999 + b"1]",
    "empty": b"",
}


@pytest.mark.parametrize("content", JUNK.values(), ids=list(JUNK))
def test_junk_is_refused(folder, content):
    (folder / "tokenizer.json").write_bytes(content)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(TokenizerError, match="cannot be read"):
        load_vocabulary(str(folder))
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown < 20_000, "this process read it"


def test_a_billion_characters_are_refused_unread(folder):
    with (folder / "tokenizer.json").open("r+b") as file:
        file.truncate(1_000_000_000)  # a hole: takes no room on the disk
    with pytest.raises(TokenizerError, match="953 MB, more than any tokenizer needs"):
        load_tokenizer(folder, "it")


@pytest.mark.parametrize("content", ["[]", '{"a": ', "7"])
def test_damaged_settings_are_refused(folder, content):
    (folder / "tokenizer_config.json").write_text(content)
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json"):
        try_tokenizer(folder, "it")


def child(tmp_path, body: str):
    """Run a stand-in for the trial's process; return what the parent makes of it."""
    script = tmp_path / "trial_process.py"
    script.write_text(body)
    return script


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ("import os; os.abort()", "ended the process"),
        ("import sys; sys.exit(3)", "ended the process that read it, with 3"),
        ("while True: pass", "more than 1 s"),
        ("import time; time.sleep(60)", "more than 1 s"),
    ],
)
def test_whatever_happens_to_the_other_process_is_told(folder, tmp_path, monkeypatch, body, said):
    monkeypatch.setattr(trial, "__file__", str(child(tmp_path, body)))
    monkeypatch.setattr(trial, "SECONDS", 0)
    trial._tried.cache_clear()
    with pytest.raises(TokenizerError, match=said):
        try_tokenizer(folder, "it")
    trial._tried.cache_clear()


def test_a_panic_that_is_no_exception_is_told(folder, monkeypatch, capsys):
    class PanicException(BaseException):
        """What the Rust code of tokenizers raises."""

    def panic(*_):
        raise PanicException("index out of bounds")

    monkeypatch.setattr(trial_process, "_try_folder", panic)
    monkeypatch.setattr(trial_process, "_limit", lambda *_: None)
    monkeypatch.setattr(os, "_exit", lambda _: None)
    trial_process.main(folder, 1, 1)
    assert json.loads(capsys.readouterr().out) == {"error": "PanicException: index out of bounds"}


def test_memory_is_limited(folder, monkeypatch):
    rewrite(folder, growing_normalizer)
    monkeypatch.setattr(trial, "MEMORY", 60 << 20)
    trial._tried.cache_clear()
    with pytest.raises(TokenizerError, match="too much memory"):
        try_tokenizer(folder, "it")


def test_the_trial_process_needs_nothing_of_the_package():
    source = Path(trial_process.__file__).read_text("utf-8")
    assert "import cmc" not in source
    assert "from cmc" not in source


@pytest.mark.parametrize("name", ["llama2", "llama3", "qwen2_5", "gpt2", "t5_small", "mistral_v1"])
def test_real_tokenizers_pass(name):
    path = shared("tokenizers", name, "tokenizer.json")
    assert try_tokenizer(path.parent, name) == []


def test_a_changed_folder_is_tried_anew(folder):
    assert try_tokenizer(folder, "it") == []
    rewrite(folder, duplicate_ids)
    with pytest.raises(TokenizerError, match="the same id"):
        try_tokenizer(folder, "it")


def test_the_chat_template_tells_what_ends_a_turn(folder):
    rewrite(folder, lambda told: told["added_tokens"].extend(
        told["added_tokens"][0] | {"id": 800 + n, "content": each, "special": True}
        for n, each in enumerate(("<|im_start|>", "<|im_end|>", "<|over|>"))
    ))  # fmt: skip
    file = folder / "tokenizer_config.json"
    told = json.loads(file.read_text())
    file.write_text(json.dumps(told | {"chat_template": CHATML.replace("im_end", "over")}))
    vocabulary = load_vocabulary(str(folder))
    over = vocabulary.tokenizer.convert_tokens_to_ids("<|over|>")
    start = vocabulary.tokenizer.convert_tokens_to_ids("<|im_start|>")
    assert over in vocabulary.eos_ids
    assert vocabulary.roles["turn"] == (start,)
    file.write_text(json.dumps(told))
    plain = load_vocabulary(str(folder))
    assert over not in plain.eos_ids
    assert start in plain.roles["other"]


@pytest.mark.parametrize("template", ["{% for %}", "{{ 1 / 0 }}", "{{ messages.x.y() }}", ""])
def test_a_template_that_cannot_be_rendered_tells_nothing(template):
    assert trial_process._turn_ends(template, {}, ["<|over|>"]) == []
