"""Bad data of every kind: told by row and column with a remedy, or harmless; memory stays small."""

import gzip
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cmc.data import Record, read_records, records
from cmc.errors import DataError

GOOD = {"instruction": "Say hello.", "output": "Hello!"}
ROOT = Path(__file__).resolve().parents[1]


def lines(*rows) -> str:
    return "\n".join(row if isinstance(row, str) else json.dumps(row) for row in rows)


def said(output) -> str:
    return lines(GOOD, {"instruction": "a", "output": output})


# name of the file, its content, what the message says, what the hint says
TOLD = [
    ("latin.csv", "prompt,completion\ncafé,b".encode("cp1252"), "not UTF-8 near byte 21", "UTF-8"),
    ("wide.csv", "prompt,completion\na,b".encode("utf-16"), "looks like UTF-16", "UTF-8"),
    ("wide.json", json.dumps([GOOD]).encode("utf-16-le"), "looks like UTF-16", "UTF-8"),
    ("cut.jsonl", (said("x") + "é").encode()[:-1], "not UTF-8 near byte 85", "UTF-8"),
    ("short.csv", "prompt,completion\na,b\nc\n", "row 2 of short.csv has 1 field,", "quotes"),
    ("long.csv", "prompt,completion\na,b\nc,d,e\n", "row 2 of long.csv has 3 fields", "quotes"),
    ("open.csv", 'prompt,completion\na,b\n"c,d\n', "near line 3, row 2", "double quote"),
    ("twice.csv", "prompt,prompt,completion\na,b,c\n", 'the column "prompt" twice', "Rename"),
    ("bare.csv", "Who is it?,A cat.\nWhere?,Here.\n", 'columns are "Who is it?"', "columns"),
    ("sheet.csv", b"PK\x03\x04 and more", "zip archive or a spreadsheet", "save the sheet as CSV"),
    ("nested.jsonl", said({"text": "b"}), '"output" in row 2 of nested.jsonl is an obj', "columns"),
    ("list.jsonl", said(["b"]), '"output" in row 2 of list.jsonl is a list', "columns"),
    ("wrapped.json", '{"data": [{"prompt": "a"}]}', 'its columns are "data"', "Rename"),
    ("empty.jsonl", said(""), 'row 2 of empty.jsonl has an empty "output"', "Fill it in"),
    ("unseen.jsonl", said(" \u200b\n"), 'row 2 of unseen.jsonl has an empty "output"', "Fill it"),
    ("zeros.jsonl", said("\0\0"), 'row 2 of zeros.jsonl has an empty "output"', "Fill it in"),
    ("number.jsonl", said(7), '"output" in row 2 of number.jsonl is a number', "quotes"),
    ("nan.jsonl", said(float("nan")), '"output" in row 2 of nan.jsonl is NaN', "quotes"),
    ("huge.jsonl", said(10**400), '"output" in row 2 of huge.jsonl is NaN or inf', "quotes"),
    ("null.jsonl", said(None), '"output" in row 2 of null.jsonl is null', "quotes"),
    ("mixed.jsonl", lines(GOOD, [1, 2]), "row 2 of mixed.jsonl is no record but a list", "record"),
    ("tail.jsonl", lines(GOOD, "", "}{"), "broken JSON at line 3", "Repair"),
    ("more.jsonl", lines(GOOD) + " more", "broken JSON at line 1 (something stands", "Repair"),
    ("tail.json", f"[{lines(GOOD)}]\nmore", "broken JSON at line 2", "Repair"),
    ("open.json", f"[{lines(GOOD)},\n{lines(GOOD)}", "line 2 (the list has no end", "Repair"),
    ("comma.json", f"[{lines(GOOD)}\n{lines(GOOD)}]", "line 2 (a comma is missing", "Repair"),
    ("early.json", '[{"instruction" "a"},\n' + "9, " * 10**6 + "9]", "at line 1", "Repair"),
    ("keys.jsonl", lines(GOOD, '{"output": "a", "output": "b"}'), 'key "output" twice', "leave"),
    ("deep.jsonl", lines(GOOD, "[" * 10**5), "too deeply, in or after line 2", "flatten"),
    ("raw.jsonl", lines(GOOD, '{"output": "a\a"}'), "broken JSON at line 2 (Inv", "Repair"),
    ("half.jsonl", lines(GOOD, '{"instruction": "\\ud800", "output": "b"}'), "half a ch", "escape"),
    ("other.jsonl", lines(GOOD, {"prompt": "a"}), 'row 2 of other.jsonl has no "out', "Rename"),
    ("none.csv", "", "none.csv is empty", "Put records"),
    ("head.csv", "prompt,completion\n", "head.csv is empty", "Put records"),
    ("packed.json.gz", gzip.compress(b"[]"), "of no kind that can be read", ".jsonl"),
    ("packed.json", gzip.compress(b"[]"), "no text but a gzip archive", "Unpack"),
    ("named.json", b"PAR1", "no text but a Parquet file", ".parquet"),
]  # fmt: skip
HARMLESS = [
    ("mark.jsonl", b"\xef\xbb\xbf" + lines(GOOD).encode(), "Hello!"),
    ("one.json", json.dumps(GOOD), "Hello!"),
    ("formula.csv", 'prompt,completion\na,"=HYPERLINK(""x"")"\n', '=HYPERLINK("x")'),
    ("below.csv", "prompt,completion,\na,b,\n,,\n,,\n", "b"),
    ("returns.csv", "prompt,completion\ra,b\r", "b"),
    ("zero.csv", "prompt,completion\na,b\0\n", "b"),
    ("bell.jsonl", lines({"instruction": "a", "output": "b\a\x1b[31m"}), "b\a\x1b[31m"),
    ("id.jsonl", lines({**GOOD, "id": 10**4000, "x": float("nan"), "y": [[[1]]]}), "Hello!"),
    ("ends.jsonl", lines(GOOD, GOOD).replace("\n", "\r\n"), "Hello!"),
]  # fmt: skip


def written(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


@pytest.mark.parametrize(("name", "content", "message", "hint"), TOLD)
def test_bad_data_is_told_with_its_place_and_what_to_do(tmp_path, name, content, message, hint):
    with pytest.raises(DataError) as caught:
        read_records(written(tmp_path, name, content))
    assert message in str(caught.value)
    assert hint in caught.value.hint
    assert len(caught.value.sentence()) < 400


@pytest.mark.parametrize(("name", "content", "output"), HARMLESS)
def test_what_does_no_harm_is_read(tmp_path, name, content, output):
    assert read_records(written(tmp_path, name, content))[-1].output == output


def test_columns_that_are_not_there_are_told_by_row(tmp_path):
    path = written(tmp_path, "a.jsonl", lines({"q": "a", "a": "b"}))
    with pytest.raises(DataError, match=r'row 1 of a.jsonl has no .*"q", "a"') as caught:
        read_records(path, columns="instruction=q, output=answer")
    assert "columns" in caught.value.hint


def test_a_folder_is_read_by_its_training_files_and_errors_name_file_and_row(tmp_path):
    for name in ("a-train.jsonl", "b-train.jsonl", "c-test.jsonl", ".hidden.jsonl", "notes.txt"):
        written(tmp_path, name, lines({"instruction": name, "output": "b"}))
    names = ["a-train.jsonl", "b-train.jsonl"]
    assert [each.instruction for each in read_records(tmp_path)] == names
    written(tmp_path, "b-train.jsonl", said(7))
    with pytest.raises(DataError, match=r"row 2 of b-train.jsonl"):
        read_records(tmp_path)
    (tmp_path / "none").mkdir()
    with pytest.raises(DataError, match="the folder none holds no data file"):
        read_records(tmp_path / "none")


def test_more_records_or_text_than_memory_should_hold_are_refused(tmp_path, monkeypatch):
    path = written(tmp_path, "a.jsonl", lines(*[GOOD] * 20))
    monkeypatch.setattr(records, "MAX_RECORDS", 19)
    with pytest.raises(DataError, match="more than 19 records"):
        read_records(path)
    assert len(read_records(path, limit=19)) == 19
    monkeypatch.setattr(records, "MAX_TEXT", 1000)
    with pytest.raises(DataError, match="MB of text") as caught:
        read_records(path)
    assert "limit" in caught.value.hint


@pytest.mark.parametrize("part", [1, 7, 64])
def test_a_list_is_the_same_however_little_is_read_at_once(tmp_path, monkeypatch, part):
    rows = [{"instruction": f"{n} é 👍\n", "output": "]," * n + '"\\', "x": [-1.5e3, True, None]}
            for n in range(1, 9)]  # fmt: skip
    path = written(tmp_path, "a.json", json.dumps(rows, indent=1, ensure_ascii=False))
    from cmc.data import json_rows

    monkeypatch.setattr(json_rows, "PART", part)
    expected = [Record(row["instruction"], "", row["output"]) for row in rows]
    assert read_records(path) == expected
    numbers = written(tmp_path, "b.json", "[1, 23, 456]")
    with numbers.open() as file:
        assert list(json_rows.json_rows(file, "b.json")) == [1, 23, 456]


# --- what would fill the memory -------------------------------------------------------------


def same(value, count):
    """One value many times, which takes room only once in a file."""
    return pa.DictionaryArray.from_arrays(pa.array([0] * count, pa.int32()), pa.array([value]))


def talks(rows, turns, length):
    count = 2 * rows * turns
    turn = pa.StructArray.from_arrays(
        [pa.array(["user", "assistant"] * (count // 2)), same("x" * length, count)],
        ["role", "content"],
    )
    return pa.ListArray.from_arrays(np.arange(0, count + 1, 2 * turns, dtype=np.int32), turn)


def zeros(rows, each):
    offsets = np.arange(0, (rows + 1) * each, each, dtype=np.int32)
    return pa.ListArray.from_arrays(offsets, pa.array(np.zeros(rows * each, dtype=np.int8)))


def bombs(folder: Path) -> dict[str, str]:
    """Write files that are small and unpack to much, or are large; return what is said of each."""
    long, text = "x" * 10_000_000, "a\n"
    written(folder, "field.jsonl", said(long))
    written(
        folder, "field.json", "[" + lines(GOOD) + "," + json.dumps({**GOOD, "output": long}) + "]"
    )
    written(folder, "field.csv", f"prompt,completion\na,b\nc,{long}\n")
    written(folder, "lists.json", b"[" + b"[]," * 8_000_000 + b"[]]")
    written(folder, "lists.jsonl", b'{"instruction": [' + b"[]," * 8_000_000 + b"[]]}")
    written(folder, "line.csv", b"prompt,completion\n" + b"a" * 21_000_000)
    tables = {
        "field": {"prompt": ["a", "b"], "completion": [text, long]},
        "text": {"prompt": same("x" * 4_000_000, 1000), "completion": same("b", 1000)},
        "binary": {"prompt": same(b"x" * 4_000_000, 1000), "completion": same("b", 1000)},
        "talks": {"messages": talks(500, 1, 400_000)},
        "talk": {"messages": talks(2, 1000, 400_000)},
        "lists": {"prompt": zeros(20, 100_000), "completion": same("b", 20)},
        "group": {"prompt": [f"{n}" * 50_000 for n in range(10_000, 10_450)],
                  "completion": same("b", 450)},
    }  # fmt: skip
    for name, columns in tables.items():
        pq.write_table(pa.table(columns), folder / f"{name}.parquet")
    return {
        "field.jsonl": 'in row 2 of field.jsonl has 10,000,000 characters',
        "field.json": 'in row 2 of field.json has 10,000,000 characters',
        "field.csv": '"completion" in row 2 of field.csv has 10,000,000 characters',
        "lists.json": "row 1 of lists.json is no record but a list",
        "lists.jsonl": "a record of more than 20 million characters after line 1",
        "line.csv": "line 2 of line.csv has more than 20 million characters",
        "field.parquet": '"completion" in row 2 of field.parquet has 10,000,000 characters',
        "text.parquet": '"prompt" in row 1 of text.parquet has 4,000,000 characters',
        "binary.parquet": '"prompt" in row 1 of binary.parquet is binary data',
        "talks.parquet": '"instruction" in row 1 of talks.parquet has 400,000 characters',
        "talk.parquet": '"messages" in row 1 of talk.parquet may unpack to more',
        "lists.parquet": 'row 1 of lists.parquet has no "instruction"',
        "group.parquet": "row group 1 of group.parquet unpacks to more than 100 MB",
    }  # fmt: skip


READER = """
import json, sys
from pathlib import Path
from cmc.data import read_records
from cmc.errors import DataError
said = {}
for name in sys.argv[2:]:
    try:
        read_records(Path(sys.argv[1]) / name)
    except DataError as error:
        said[name] = str(error)
for line in Path("/proc/self/status").read_text().splitlines():
    if line.startswith("VmHWM"):
        said["peak"] = int(line.split()[1])
print(json.dumps(said))
"""


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
def test_what_unpacks_to_gigabytes_is_told_within_one_of_memory(tmp_path):
    expected = bombs(tmp_path)
    command = [sys.executable, "-c", READER, str(tmp_path), *expected]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=300)
    said = json.loads(done.stdout)
    assert said.pop("peak") < 1_000_000  # kB, all files in one process
    for name, message in expected.items():
        assert message in said[name]
