"""Records: read, check, split, fingerprint."""

import hashlib
import itertools
import json
import re
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import astuple
from pathlib import Path

from cmc.data.columns import FIELDS, NEEDED, Record, as_record, columns_of
from cmc.data.files import data_files, read_rows, rows_of_file
from cmc.errors import DataError
from cmc.settings import lab_folder

MAX_RECORDS = 500_000
MAX_TEXT = 300_000_000  # bytes that the records' texts take in memory


def read_records(source: str | Path, *, limit: int = 0, columns: str = "") -> list[Record]:
    """Read records: Alpaca-style, prompt and completion, TOFU, or conversations.

    Args:
        source: a `.json`, `.jsonl`, `.csv`, `.tsv` or `.parquet` file, a folder of such,
            `owner/name[@revision][:config[:split]]` on the Hub, or `lab:` and the name of one
            of the lab's data files.
        limit: records to read at most; 0 reads all.
        columns: `FIELD=COLUMN, …` where a field's column has a name of its own.

    Raises:
        DataError: the file cannot be read, decoded or parsed, or a record is not as it must be;
            the message names the line, byte or row, the hint the remedy.
    """
    place = _data_path(source)
    name, found = Path(place).name, _checked_rows(place, named_columns(columns))
    records, taken = [], 0
    for record in itertools.islice(found, limit or None):
        records.append(record)
        taken += sum(map(sys.getsizeof, (record.instruction, record.input, record.output)))
        if len(records) > MAX_RECORDS or taken > MAX_TEXT:
            is_long = taken > MAX_TEXT
            most = f"{MAX_TEXT // 10**6:,} MB of text" if is_long else f"{MAX_RECORDS:,} records"
            raise DataError(f"{name} holds more than {most}", hint="Set a limit, or cut the file.")
    if not records:
        raise DataError(f"{name} is empty", hint=f"Put records into it. {NEEDED}")
    return records


def _checked_rows(place: str | Path, named: dict[str, str]) -> Iterator[Record]:
    """Yield the records of all files; a row is counted within its own file."""
    for part in data_files(place):
        for row, item in enumerate(rows_of_file(part), start=1):
            yield as_record(item, row, Path(part).name, named)


def read_columns(source: str | Path, columns: str = "") -> tuple[dict[str, str], list[str]]:
    """Return which column each field is taken from, and the columns that are not used.

    The first row decides what is told; every row is read by its own columns.

    Raises:
        DataError: as `read_records` does.
    """
    first = next(iter(read_rows(_data_path(source))), None)
    if not isinstance(first, dict):
        return {}, []
    used = columns_of(first, named_columns(columns))
    taken = {place.partition(":")[0] for place in used.values()} | set(used.values())
    return used, [column for column in first if column not in taken]


def named_columns(columns: str) -> dict[str, str]:
    """Return field to column from `FIELD=COLUMN, FIELD=COLUMN`.

    Raises:
        DataError: it is written otherwise, or there is no such field.
    """
    parts = [part.strip() for part in columns.split(",") if part.strip()]
    named = dict(map(str.strip, part.partition("=")[::2]) for part in parts)
    for field, column in named.items():
        if field not in FIELDS or not column:
            raise DataError(
                f'the column "{field}={column}" is not understood',
                hint=f"Write it as in instruction=question; fields: {', '.join(FIELDS)}.",
            )
    return named


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


def _data_path(source: str | Path) -> str | Path:
    """Return `source`, or the lab's file it means."""
    if not str(source).startswith("lab:"):
        return source
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
