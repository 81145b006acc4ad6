"""Alpaca-style records: read, check, split, fingerprint."""

import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple, dataclass
from pathlib import Path
from typing import Any

from cmc.errors import DataError
from cmc.settings import lab_folder

FIELDS = ("instruction", "input", "output")
MAX_FIELD = 100_000  # characters
MAX_FILE = 4_000_000_000  # bytes
_NEEDED = 'Every record needs "instruction" and "output"; "input" is optional.'


@dataclass(frozen=True)
class Record:
    """One question with its answer."""

    instruction: str
    input: str = ""
    output: str = ""


def read_records(source: str | Path, *, limit: int = 0) -> list[Record]:
    """Read Alpaca-style records from a `.json` array or a `.jsonl` file, or from the lab.

    Args:
        source: a file, or `lab:` and the name of one of the lab's data files.
        limit: records to read at most; 0 reads all.

    Raises:
        DataError: the file cannot be read, decoded or parsed, or a record is not as it must be;
            the message names the line, byte or row, the hint the remedy.
    """
    path = _data_path(source)
    text = _decoded(_read_bytes(path), path.name)
    if not text.strip():
        raise DataError(f"{path.name} is empty", hint=f"Put records into it. {_NEEDED}")
    records: list[Record] = []
    for row, item in enumerate(_parsed(text, path.name), start=1):
        records.append(_record(item, row, path.name))
        if len(records) == limit:
            break
    if not records:
        raise DataError(f"{path.name} holds no records", hint=f"Put records into it. {_NEEDED}")
    return records


def split_records(
    records: Sequence[Record], fraction: float, seed: int
) -> tuple[list[Record], list[Record]]:
    """Set about `fraction` of the records aside so that no instruction is on both sides.

    The order of a hash decides, so that the same question falls on the same side whatever
    else the file holds and however it is sorted.

    Args:
        records: what to split.
        fraction: share to set aside, no unit; 0 sets nothing aside.
        seed: another seed, another split.

    Returns:
        The records to train on and those held out, both in their old order. With a positive
        fraction and two different instructions neither side is empty.
    """
    groups: dict[str, int] = {}
    for record in records:
        groups[record.instruction] = groups.get(record.instruction, 0) + 1
    wanted = round(fraction * len(records)) or int(fraction > 0)
    held: set[str] = set()
    if wanted and len(groups) > 1:
        order = sorted(groups, key=lambda instruction: _sha256(f"{seed}\n{instruction}"))
        for instruction in order:
            if groups[instruction] <= wanted:
                held.add(instruction)
                wanted -= groups[instruction]
        held = held or {min(order, key=groups.__getitem__)}
    train = [record for record in records if record.instruction not in held]
    return train, [record for record in records if record.instruction in held]


def fingerprint_records(records: Iterable[Record]) -> str:
    """Return a sha256 in hex of the records' content, in their order."""
    digest = hashlib.sha256()
    for record in records:
        digest.update(json.dumps(astuple(record)).encode() + b"\n")
    return digest.hexdigest()


def _sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _data_path(source: str | Path) -> Path:
    """Return the file meant by `source`; names that start with `lab:` lie in the lab."""
    if not str(source).startswith("lab:"):
        return Path(source).expanduser()
    name = str(source).removeprefix("lab:")
    folder = lab_folder() / "data"
    path = folder / f"{name}.jsonl"
    if re.fullmatch(r"[a-z0-9_-]+", name) and path.is_file():
        return path
    names = ", ".join(f"lab:{file.stem}" for file in sorted(folder.glob("*.jsonl")))
    hint = (
        f"Choose one of: {names}." if names else 'Build the lab first: "python -m cmc lab build".'
    )
    raise DataError(f"the lab has no data called {source}", hint=hint)


def _read_bytes(path: Path) -> bytes:
    if not path.exists():
        raise DataError(
            f"there is no file {path}", hint="Check the path; it must be a .json or .jsonl."
        )
    if not path.is_file():
        raise DataError(f"{path} is no file", hint="Name the .json or .jsonl file itself.")
    if path.suffix.lower() not in (".json", ".jsonl"):
        raise DataError(
            f"{path.name} is neither .json nor .jsonl",
            hint="Save the records as a JSON list or as JSON Lines.",
        )
    try:
        if path.stat().st_size > MAX_FILE:
            raise DataError(f"{path.name} is larger than 4 GB", hint="Split the file.")
        return path.read_bytes()
    except OSError as error:
        raise DataError(
            f"{path.name} cannot be read ({error.strerror})", hint="Check the file's permissions."
        ) from error


def _decoded(data: bytes, name: str) -> str:
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        # utf-8-sig counts from behind the byte order mark, people count from the start.
        start = error.start + 3 * data.startswith(b"\xef\xbb\xbf")
        looks = "UTF-16" if data[:2] in (b"\xff\xfe", b"\xfe\xff") else "Latin-1 or binary"
        raise DataError(
            f"{name} is not UTF-8 near byte {start} (looks like {looks})",
            hint="Save it again as UTF-8.",
        ) from None


def _parsed(text: str, name: str) -> Iterator[Any]:
    """Yield the items of a JSON list or of JSON Lines, whichever `text` is."""
    if text.lstrip().startswith("["):
        yield from _loaded(text, name, 0)
        return
    # Not splitlines(): that would also break at U+2028, which JSON allows inside strings.
    lines = text.split("\n")
    filled = [number for number, line in enumerate(lines) if line.strip()]
    if len(filled) > 1 and lines[filled[0]].strip() == "{":
        raise DataError(
            f"{name} is one JSON object, not a list of records",
            hint="Put the records into [ ], or write one record per line.",
        )
    for number in filled:
        yield _loaded(lines[number], name, number)


def _loaded(text: str, name: str, line: int) -> Any:
    """Return the value of `text`, which starts `line` lines into the file."""
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError as error:
        message = f"{name} is broken JSON at line {line + error.lineno} ({error.msg})"
    except RecursionError:
        message = f"{name} is nested too deeply after line {line + 1}"
    except ValueError as error:
        message = f"{name} has a number that JSON does not allow after line {line + 1} ({error})"
    raise DataError(message, hint="Repair that line; a missing comma or quote is the usual cause.")


def _refuse_constant(constant: str) -> None:
    raise ValueError(constant)


def _record(item: Any, row: int, name: str) -> Record:
    """Return row `row` (counted from 1) as a record, or say what is wrong with it."""
    if not isinstance(item, dict):
        raise DataError(f"row {row:,} of {name} is no record but {_kind(item)}", hint=_NEEDED)
    missing = [field for field in ("instruction", "output") if field not in item]
    if missing:
        needed = " and ".join(f'"{field}"' for field in missing)
        there = ", ".join(f'"{column}"' for column in list(item)[:8]) or "none"
        raise DataError(
            f"row {row:,} of {name} has no {needed}; its columns are {there}",
            hint=f"Rename the columns. {_NEEDED}",
        )
    values = {field: _field(item.get(field), field, f"row {row:,} of {name}") for field in FIELDS}
    for field in ("instruction", "output"):
        if not values[field].strip():
            raise DataError(
                f'row {row:,} of {name} has an empty "{field}"',
                hint="Fill it in or remove the row.",
            )
    return Record(**values)


def _field(value: Any, field: str, where: str) -> str:
    """Return one field as text that can be encoded; a null `input` is empty."""
    if value is None and field == "input":
        return ""
    if not isinstance(value, str):
        raise DataError(
            f'"{field}" in {where} is {_kind(value)}, not text', hint="Put it in quotes."
        )
    if len(value) > MAX_FIELD:
        raise DataError(
            f'"{field}" in {where} has {len(value):,} characters; the limit is {MAX_FIELD:,}',
            hint="Shorten it or split the record.",
        )
    try:
        value.encode()
    except UnicodeEncodeError:
        raise DataError(
            f'"{field}" in {where} holds half a character (a lone surrogate)',
            hint="Remove the broken \\u escape.",
        ) from None
    return value.replace("\x00", "")


def _kind(value: Any) -> str:
    """Return what a person calls the JSON type of `value`."""
    kinds = {dict: "an object", list: "a list", str: "text", bool: "true or false"}
    return "null" if value is None else kinds.get(type(value), "a number")
