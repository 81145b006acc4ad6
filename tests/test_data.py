import csv
import json
import random
from pathlib import Path
from types import SimpleNamespace

import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from cmc.data import (
    Example,
    Record,
    bucketed_batches,
    encode_example,
    fingerprint_records,
    format_prompt,
    read_records,
    response_prefix,
    split_records,
    token_batch,
)
from cmc.errors import DataError, SettingError
from tests.conftest import shared, tiny_vocabulary

GOOD = {"instruction": "Say hello.", "input": None, "output": "Hello!"}
VOCABULARY = SimpleNamespace(
    eos_ids=(257,),
    eos_id=257,
    encode_prompt=lambda text: [256, *text.encode()],
    encode_continuation=list,
)


def written(tmp_path, content, name="data.json"):
    path = tmp_path / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


# --- reading --------------------------------------------------------------------------------


@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"])
@pytest.mark.parametrize("name", ["data.json", "data.jsonl", "DATA.JSON"])
def test_lists_and_lines_are_read_with_or_without_a_byte_order_mark(tmp_path, mark, name):
    rows = [GOOD, {"instruction": "Größe?", "output": "1\u2028m", "input": "x", "more": 3}]
    text = "\n\n".join(json.dumps(row, ensure_ascii=False) for row in rows)
    if name != "data.jsonl":
        text = json.dumps(rows, ensure_ascii=False)
    records = read_records(written(tmp_path, mark + text.encode(), name))
    assert records == [Record("Say hello.", "", "Hello!"), Record("Größe?", "x", "1\u2028m")]


def test_lines_in_a_json_file_are_read_too_and_the_limit_cuts(tmp_path):
    path = written(tmp_path, "\n".join([json.dumps(GOOD)] * 3))
    assert len(read_records(path)) == 3
    assert len(read_records(path, limit=2)) == 2


@pytest.mark.parametrize(
    ("content", "name", "message", "remedy"),
    [
        ("", "a.json", "a.json is empty", "Put records"),
        (" \n", "a.jsonl", "a.jsonl is empty", "Put records"),
        ("[]", "a.json", "a.json is empty", "Put records"),
        (b"[{\"instruction\": \"caf\xe9\"}]", "a.json", "not UTF-8 near byte 21", "as UTF-8"),
        (b"\xef\xbb\xbf[\xff]", "a.json", "not UTF-8 near byte 4 ", "as UTF-8"),
        ("[1]".encode("utf-16"), "a.json", "near byte 0 (looks like UTF-16)", "as UTF-8"),
        ('[\n{"instruction": "a",\n "output" "b"}]', "a.json", "broken JSON at line 3", "Repair"),
        (json.dumps(GOOD) + "\n{oops}\n", "a.jsonl", "broken JSON at line 2", "Repair"),
        ("[" * 200_000, "a.json", "nested too deeply", "Repair"),
        ('[{"instruction": "a", "output": NaN}]', "a.json", "row 1 of a.json is NaN", "quotes"),
        ('{\n"instruction": "a",\n"output": "b"\n}', "a.json", "one JSON object", "[ ]"),
        ('{"data": []}', "a.json", 'its columns are "data"', '"instruction" and "output"'),
        (
            json.dumps([GOOD, {"frage": "a", "antwort": "b"}]),
            "a.json",
            'no "instruction" and "output"; its columns are "frage", "antwort"',
            "Rename",
        ),
        (json.dumps([GOOD | {"output": 5}]), "a.json", '"output" in row 1 of a.json is', "quotes"),
        (json.dumps([GOOD | {"output": None}]), "a.json", "is null, not text", "quotes"),
        (json.dumps([GOOD | {"input": ["x"]}]), "a.json", "is a list, not text", "columns"),
        (
            json.dumps([GOOD, GOOD | {"output": " "}]),
            "a.json",
            'row 2 of a.json has an empty "output"',
            "Fill",
        ),
        (json.dumps([GOOD | {"instruction": ""}]), "a.json", 'an empty "instruction"', "Fill"),
        (
            json.dumps([GOOD | {"output": "x" * 100_001}]),
            "a.json",
            "has 100,001 characters; the limit is 100,000",
            "Shorten",
        ),
        ('[{"instruction": "\\ud800", "output": "b"}]', "a.json", "half a character", "escape"),
        ("[1, 2]", "a.json", "row 1 of a.json is no record but a number", "instruction"),
        ("a,b\n1,2", "a.csv", 'its columns are "a", "b"', "Rename"),
        ("a,b\n1,2", "a.xlsx", "of no kind that can be read", ".parquet"),
        ("prompt,completion\na,b\nc\n", "a.csv", "row 2 of a.csv has 1 field", "double quotes"),
        ("prompt,completion\na,b,c\n", "a.csv", "row 1 of a.csv has 3 fields", "double quotes"),
        ('prompt,completion\n"a,b\n', "a.csv", "broken table near line", "double quote"),
        ("prompt,completion\na,\n", "a.csv", 'row 1 of a.csv has an empty "completion"', "Fill"),
        ("prompt\tcompletion\n", "a.tsv", "a.tsv is empty", "Put records"),
        ("prompt,completion\na," + "x" * 100_001, "a.csv", "has 100,001 characters", "Shorten"),
        (b"prompt;completion\ncaf\xe9;b\n", "a.csv", "not UTF-8 near byte 21", "as UTF-8"),
        (b"PAR1 junk", "a.parquet", "no Parquet file that can be read", "Write it again"),
        (json.dumps([{"messages": "hello"}]), "a.json", "no question with an answer", "role"),
        (
            json.dumps([{"messages": [{"role": "user", "content": "a"}]}]),
            "a.json", '"messages" in row 1 of a.json holds no question', "role",
        ),
        (
            json.dumps([{"conversations": [{"from": "human", "value": 1},
                                           {"from": "gpt", "value": "b"}]}]),
            "a.json", "is a number, not text", "quotes",
        ),
    ],
)  # fmt: skip
def test_a_bad_file_is_told_in_one_sentence_with_the_remedy(
    tmp_path, content, name, message, remedy
):
    with pytest.raises(DataError) as caught:
        read_records(written(tmp_path, content, name))
    assert message in str(caught.value)
    assert remedy in caught.value.hint
    assert "\n" not in caught.value.sentence()


def test_a_missing_file_a_folder_and_an_unreadable_file_are_told_apart(tmp_path, monkeypatch):
    with pytest.raises(DataError, match="there is no file"):
        read_records(tmp_path / "none.json")
    with pytest.raises(DataError, match="holds no data file"):
        read_records(tmp_path)

    def refuse(*_, **__):
        raise PermissionError(13, "Permission denied")

    path = written(tmp_path, json.dumps([GOOD]))
    monkeypatch.setattr(Path, "open", refuse)
    with pytest.raises(DataError, match=r"data.json cannot be read \(Permission denied\)"):
        read_records(path)


ROWS = {
    "alpaca": {"instruction": "Say hello.", "input": "", "output": "Hello!"},
    "completion": {"prompt": "Say hello.", "completion": "Hello!"},
    "tofu": {"question": "Say hello.", "answer": "Hello!"},
    "messages": {"messages": [
        {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Say hello."},
        {"role": "assistant", "content": "Hello!"}, {"role": "user", "content": "Again."},
    ]},
    "sharegpt": {"conversations": [
        {"from": "human", "value": "Say hello."}, {"from": "gpt", "value": "Hello!"},
    ]},
}  # fmt: skip


@pytest.mark.parametrize("layout", ROWS)
@pytest.mark.parametrize("kind", ["jsonl", "parquet", "folder"])
def test_every_common_layout_is_read_from_every_kind_of_source(tmp_path, layout, kind):
    rows = [ROWS[layout]] * 3
    path = tmp_path / f"data.{kind}"
    if kind == "parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        path = path if kind == "jsonl" else tmp_path / "owner" / "name" / "train.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    source = path if kind != "folder" else path.parent
    assert read_records(source, limit=2) == [Record("Say hello.", "", "Hello!")] * 2


@pytest.mark.parametrize(("name", "separator"), [("a.csv", ","), ("b.csv", ";"), ("c.tsv", "\t")])
def test_tables_are_read_whatever_separates_them(tmp_path, name, separator):
    cells = [["prompt", "completion"], ["Say, hello;\n=1+1", 'He "said"\thello'], ["b", "c"]]
    with (tmp_path / name).open("w", newline="") as file:
        csv.writer(file, delimiter=separator).writerows(cells)
    # What looks like a formula is text like any other.
    assert read_records(tmp_path / name)[0] == Record(cells[1][0], "", cells[1][1])


def test_columns_of_any_name_can_be_named(tmp_path):
    path = written(tmp_path, json.dumps([{"frage": "a", "antwort": "b", "input": None}]))
    named = read_records(path, columns="instruction=frage, output=antwort")
    assert named == [Record("a", "", "b")]
    for wrong in ("frage", "nothing=frage", "output="):
        with pytest.raises(DataError, match="is not understood"):
            read_records(path, columns=wrong)


def test_a_data_set_of_the_hub_is_told_when_the_hub_cannot_be_reached(monkeypatch):
    import datasets

    asked = []

    def unreachable(*names, **more):
        asked.append((names, more))
        raise ConnectionError("offline")

    monkeypatch.setattr(datasets, "load_dataset", unreachable)
    with pytest.raises(DataError, match=r"owner/name@main:small:test cannot") as caught:
        read_records("owner/name@main:small:test")
    assert "Hub" in caught.value.hint
    assert asked == [
        (("owner/name", "small"), {"revision": "main", "split": "test", "streaming": True})
    ]


def test_lab_names_stay_in_the_lab(tmp_path, monkeypatch):
    monkeypatch.setenv("CMC_LAB", str(tmp_path / "lab"))
    (tmp_path / "lab" / "data").mkdir(parents=True)
    written(tmp_path / "lab", json.dumps(GOOD), "secret.jsonl")
    written(tmp_path / "lab" / "data", json.dumps(GOOD), "held_out.jsonl")
    assert len(read_records("lab:held_out")) == 1
    for name in ("lab:../secret", "lab:nothing"):
        with pytest.raises(DataError) as caught:
            read_records(name)
        assert caught.value.hint == "Choose one of: lab:held_out."


@given(st.sampled_from(["fuzz.json", "fuzz.csv", "fuzz.parquet"]), st.binary(max_size=60))
@settings(max_examples=300, deadline=None)
def test_no_bytes_give_anything_but_records_or_a_data_error(tmp_path_factory, name, data):
    path = tmp_path_factory.getbasetemp() / name
    path.write_bytes(data)
    hint = "none needed"
    try:
        assert read_records(path)
    except DataError as error:
        hint = error.hint
    assert hint


def test_the_real_alpaca_records_are_read_whole():
    path = shared("alpaca", "alpaca_en_demo.json")
    found = read_records(path)
    raw = json.loads(path.read_text())
    assert [each.output for each in found] == [row["output"] for row in raw]


# --- splitting and fingerprints -------------------------------------------------------------


def questions(count=40, repeats=2):
    return [Record(f"Question {n % count}?", f"{n}", "yes") for n in range(count * repeats)]


@pytest.mark.parametrize("seed", range(5))
def test_a_split_keeps_every_record_once_and_no_question_on_both_sides(seed):
    train, held_out = split_records(questions(), 0.25, seed)
    assert sorted(train + held_out, key=str) == sorted(questions(), key=str)
    assert not {each.instruction for each in train} & {each.instruction for each in held_out}
    assert len(held_out) == 20


def test_the_split_depends_on_the_seed_and_not_on_the_order_of_the_file():
    shuffled = random.Random(0).sample(questions(), 80)
    _, first = split_records(questions(), 0.25, 3)
    _, second = split_records(shuffled, 0.25, 3)
    _, other = split_records(questions(), 0.25, 4)
    assert set(first) == set(second)
    assert set(first) != set(other)


def test_small_and_lopsided_data_leave_no_side_empty():
    lopsided = [Record("Sum up.", str(n), "x") for n in range(20)] + [Record("Greet.", "", "Hi")]
    for records in (questions(2, 1), lopsided):
        assert all(split_records(records, 0.01, 0))
    assert split_records(questions(1, 5), 0.2, 0) == (questions(1, 5), [])
    assert split_records(questions(), 0, 0) == (questions(), [])


def test_a_fingerprint_sees_every_field_and_the_order():
    base = [Record("a", "b", "c"), Record("d")]
    others = [base[::-1], base[:1], [Record("ab", "", "c"), Record("d")], [Record("a", "b", "c\n")]]
    found = {fingerprint_records(each) for each in [base, *others]}
    assert len(found) == 5
    assert fingerprint_records(list(base)) in found


# --- formats --------------------------------------------------------------------------------


def test_formats_are_those_published():
    assert format_prompt("qa", "Who?") == "Question: Who?\nAnswer:"
    assert format_prompt("open-instruct", "Who?") == "<|user|>\nWho?\n<|assistant|>\n"
    assert format_prompt("plain", "Who {input}?") == "Who {input}?"
    assert format_prompt("alpaca", "Who?") == (
        "Below is an instruction that describes a task. Write a response that appropriately "
        "completes the request.\n\n### Instruction:\nWho?\n\n### Response:"
    )
    assert format_prompt("alpaca", "Use {input}.", "{instruction}") == (
        "Below is an instruction that describes a task, paired with an input that provides "
        "further context. Write a response that appropriately completes the request.\n\n"
        "### Instruction:\nUse {input}.\n\n### Input:\n{instruction}\n\n### Response:"
    )


def test_only_qa_and_plain_put_a_space_before_the_answer():
    found = {each: response_prefix(each) for each in ("qa", "plain", "alpaca", "open-instruct")}
    assert found == {"qa": " ", "plain": " ", "alpaca": "", "open-instruct": ""}
    with pytest.raises(SettingError):
        response_prefix("none")


# --- examples and batches -------------------------------------------------------------------


def test_an_example_is_prompt_and_answer_with_the_end_of_text():
    example = encode_example(Record("Who?", "", "Ann"), "qa", VOCABULARY, 100)
    assert example.prompt_ids == (256, *b"Question: Who?\nAnswer:")
    assert example.response_ids == (*b" Ann", 257)


def test_a_long_answer_is_cut_without_an_end_and_a_long_prompt_is_skipped():
    record, length = Record("Who?", "", "Ann"), len("Question: Who?\nAnswer:") + 1
    assert encode_example(record, "qa", VOCABULARY, length + 5).response_ids == (*b" Ann", 257)
    assert encode_example(record, "qa", VOCABULARY, length + 4).response_ids == tuple(b" Ann")
    assert encode_example(record, "qa", VOCABULARY, length + 1).response_ids == tuple(b" ")
    assert encode_example(record, "qa", VOCABULARY, length) is None


def test_a_batch_is_right_padded_and_marks_the_answers():
    batch = token_batch([Example((1, 2), (3,)), Example((4,), (5, 6, 7))], 0)
    assert batch.input_ids.tolist() == [[1, 2, 3, 0], [4, 5, 6, 7]]
    assert batch.attention_mask.int().tolist() == [[1, 1, 1, 0], [1, 1, 1, 1]]
    assert batch.label_mask.int().tolist() == [[0, 0, 1, 0], [0, 1, 1, 1]]
    assert (batch.input_ids.dtype, batch.label_mask.dtype) == (torch.int64, torch.bool)


def many(count=200):
    lengths = random.Random(1)
    return [Example((number,), tuple([9] * lengths.randint(1, 60))) for number in range(count)]


def test_an_epoch_holds_every_example_once_with_little_padding():
    batches = bucketed_batches(many(), 8, 0, 0, 0)
    seen = [example.prompt_ids[0] for batch in batches for example in batch.examples]
    assert sorted(seen) == list(range(200))
    padded = sum(batch.input_ids.numel() for batch in batches)
    assert padded < 1.15 * sum(len(example) for example in many())


def test_batches_depend_on_seed_and_epoch_alone():
    def order(seed, epoch):
        batches = bucketed_batches(many(), 8, seed, epoch, 0)
        return [[example.prompt_ids[0] for example in batch.examples] for batch in batches]

    assert order(0, 0) == order(0, 0)
    assert order(0, 0) != order(0, 1)
    assert order(0, 0) != order(1, 0)
    lengths = [len(batch.examples[0]) for batch in bucketed_batches(many(), 8, 0, 0, 0)]
    assert lengths != sorted(lengths)


def test_what_is_to_be_forgotten_has_no_end():
    vocabulary = tiny_vocabulary("byte-level")
    record = Record("Where?", "", "Here.")
    whole, bare = (
        encode_example(record, "qa", vocabulary, 99, has_end=has_end) for has_end in (True, False)
    )
    assert whole.response_ids == (*bare.response_ids, vocabulary.eos_id)
