"""Hostile tokenizer files end in a clear error, and never in this process."""

import base64
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


def junk_in_place_of_a_table(told):
    table = base64.b64encode((400).to_bytes(4, "little") + b"\xff" * 800).decode()
    told["normalizer"] = {"type": "Precompiled", "precompiled_charsmap": table}


def frame_without_its_token(told):
    told["post_processor"] = {
        "type": "TemplateProcessing", "special_tokens": {}, "pair": [],
        "single": [{"SpecialToken": {"id": "none", "type_id": 0}}],
    }  # fmt: skip


def pieces_of_no_length(told):
    told["pre_tokenizer"] = {"type": "FixedLength", "length": 0}


def prefix_longer_than_its_tokens(told):
    told["model"]["continuing_subword_prefix"] = "x" * 40


PANICS = (
    junk_in_place_of_a_table, frame_without_its_token, pieces_of_no_length,
    prefix_longer_than_its_tokens,
)  # fmt: skip


@pytest.mark.parametrize("change", PANICS, ids=lambda change: change.__name__)
def test_what_makes_the_rust_code_panic_is_refused_by_another_process(folder, change):
    rewrite(folder, change)
    with pytest.raises(TokenizerError, match="PanicException"):
        try_tokenizer(folder, "it")


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


def test_a_pipe_is_not_waited_for(folder):
    (folder / "tokenizer_config.json").unlink()
    os.mkfifo(folder / "tokenizer_config.json")
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json is no file"):
        try_tokenizer(folder, "it")


SETTINGS = {
    "tokenizer_config.json": [
        ({"eos_token": "x" * 30_000}, "has 30,000 characters"),
        ({"added_tokens_decoder": {"1": {"content": "x" * 30_000}}}, "has 30,000 characters"),
        ({"additional_special_tokens": ["x" * 30_000]}, "has 30,000 characters"),
        ({"added_tokens_decoder": {str(each): {} for each in range(100_001)}}, "adds 100,001"),
    ],
    "added_tokens.json": [({f"<{each}>": each for each in range(100_001)}, "adds 100,001")],
    "special_tokens_map.json": [({"pad_token": {"content": "x" * 30_000}}, "has 30,000")],
}


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [(name, *each) for name, cases in SETTINGS.items() for each in cases],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_settings_that_add_too_much_are_refused(folder, name, content, said):
    (folder / name).write_text(json.dumps(content))
    with pytest.raises(TokenizerError, match=said):
        load_tokenizer(folder, "it")


def test_a_long_chat_template_is_no_token(folder):
    file = folder / "tokenizer_config.json"
    told = json.loads(file.read_text()) | {"chat_template": "{# " + "x" * 30_000 + " #}"}
    file.write_text(json.dumps(told))
    assert try_tokenizer(folder, "it") == []


@pytest.mark.parametrize("content", ["[]", '{"a": ', "7"])
def test_damaged_settings_are_refused(folder, content):
    (folder / "tokenizer_config.json").write_text(content)
    with pytest.raises(TokenizerError, match=r"tokenizer_config\.json"):
        try_tokenizer(folder, "it")


OLDER = {
    "vocab.json": {
        "duplicate ids": (b'{"a": 1, "b": 1}', "the same id"),
        "negative id": (b'{"a": 0, "b": -1}', "has the id -1"),
        "enormous id": (b'{"a": 0, "b": 4000000000}', "has the id 4000000000"),
        "an id that is no number": (b'{"a": "b"}', "with the id 'b'"),
        "no object": (b"[1]", "the piece 0 is 1"),
        "long token": (b'{"%s": 0}' % (b"x" * 3_000_000), "has 3,000,000 characters"),
        "not UTF-8": (b'{"\xff": 0}', "is not UTF-8"),
        "no JSON": (b"{" * 10, "is no JSON"),
        "nested": (b"[" * 200_000, "nested too deeply"),
        "empty": (b"", "is no JSON"),
    },
    "merges.txt": {
        "not UTF-8": (b"#version: 0.2\na \xff", "is not UTF-8"),
        "long line": (b"a" * 3_000_000, "has 3,000,000 characters"),
    },
    "vocab.txt": {
        "not UTF-8": (b"\xff\xfe", "is not UTF-8"),
        "long line": (b"a" * 3_000_000, "has 3,000,000 characters"),
    },
}


@pytest.fixture
def older(tmp_path) -> Path:
    """Return a folder as GPT-2 came in, before there was a tokenizer.json."""
    (tmp_path / "config.json").write_text('{"model_type": "gpt2"}')
    letters = [chr(each) for each in range(ord("!"), ord("~"))]
    tokens = {each: number for number, each in enumerate(["<|endoftext|>", *letters, "Ġ", "ab"])}
    (tmp_path / "vocab.json").write_text(json.dumps(tokens))
    (tmp_path / "merges.txt").write_text("#version: 0.2\na b\n")
    return tmp_path


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [(name, *case) for name, cases in OLDER.items() for case in cases.values()],
    ids=[f"{name}: {case}" for name, cases in OLDER.items() for case in cases],
)
def test_files_of_older_formats_are_refused_before_a_library_reads_them(older, name, content, said):
    if name == "vocab.txt":
        for other in ("vocab.json", "merges.txt"):
            (older / other).unlink()
    (older / name).write_bytes(content)
    with pytest.raises(TokenizerError, match=said):
        load_vocabulary(str(older))


@pytest.mark.parametrize("name", ["vocab.json", "merges.txt", "tokenizer.model", "qwen.tiktoken"])
def test_50_mb_of_an_older_format_are_refused_unread(older, name):
    with (older / name).open("wb") as file:
        file.truncate(50_000_000)
    with pytest.raises(TokenizerError, match="47 MB, more than any tokenizer needs"):
        load_vocabulary(str(older))


# These take the library that converts older formats, some seconds each.
CONVERTED = {
    "missing merge": ("merges.txt", b"#version: 0.2\na b\nqqq zzz\n"),
    "cyclic merges": ("merges.txt", b"#version: 0.2\na b\nabab ab\nab ab\n"),
    "SentencePiece junk": ("tokenizer.model", bytes(range(256)) * 1000),
}


@pytest.mark.parametrize(("name", "content"), CONVERTED.values(), ids=list(CONVERTED))
def test_what_the_library_refuses_is_told(older, name, content):
    if name == "tokenizer.model":
        for other in ("vocab.json", "merges.txt"):
            (older / other).unlink()
        (older / "config.json").write_text('{"model_type": "llama"}')
    (older / name).write_bytes(content)
    with pytest.raises(TokenizerError, match="cannot be read") as caught:
        load_vocabulary(str(older))
    assert "valid tokenizer.json" in caught.value.sentence()


def test_an_older_folder_is_read_with_its_chat_template(older):
    told = {"chat_template": CHATML, "extra_special_tokens": ["<|im_start|>", "<|im_end|>"]}
    (older / "tokenizer_config.json").write_text(json.dumps(told))
    vocabulary = load_vocabulary(str(older))
    assert vocabulary.family == "byte-level"
    assert vocabulary.spell(vocabulary.encode_continuation(b"ab abc")) == b"ab abc"
    ends = {vocabulary.tokens[each] for each in vocabulary.eos_ids}
    assert ends == {"<|endoftext|>", "<|im_end|>"}
    assert [vocabulary.tokens[each] for each in vocabulary.roles["turn"]] == ["<|im_start|>"]


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
    monkeypatch.setattr(trial, "CLOCK", 1)
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


def test_a_template_that_marks_what_is_generated_is_rendered():
    template = CHATML.replace("{{ '<|im_start|>'", "{%- generation -%}{{ '<|im_start|>'").replace(
        "{% endfor %}", "{% endgeneration %}{% endfor %}"
    )
    assert trial_process._turn_ends(template, {}, ["<|im_start|>", "<|im_end|>"]) == ["<|im_end|>"]
