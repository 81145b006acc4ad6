"""Rows of a data file: JSON, JSON Lines, CSV, TSV, Parquet, or a data set of the Hub."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cmc.errors import DataError

MAX_FILE = 100_000_000  # bytes of what is parsed at once; Parquet and the Hub come in parts
ROWS_AT_ONCE = 64  # of a Parquet file
SEPARATORS = {".csv": ",;\t", ".tsv": "\t"}
SUFFIXES = (".json", ".jsonl", *SEPARATORS, ".parquet")
HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?::([\w.-]+))?(?::([\w.-]+))?")
_SAVE = f"Save the records as one of: {', '.join(SUFFIXES)}."


def read_rows(source: str | Path) -> Iterator[Any]:
    """Yield the rows of a file, of a folder of data files, or of a data set of the Hub.

    Args:
        source: a file by its ending, a folder, or `owner/name[@revision][:config[:split]]`.

    Raises:
        DataError: it cannot be found, decoded or parsed; the message names line, byte or row.
    """
    path = Path(source).expanduser()
    hub = HUB_NAME.fullmatch(str(source))
    if path.is_dir() or (hub and not path.exists() and path.suffix.lower() not in SUFFIXES):
        yield from _data_set(path if path.is_dir() else hub, str(source))
    elif _checked(path).suffix.lower() == ".parquet":
        yield from _parquet(path)
    else:
        text = _decoded(_read_bytes(path), path.name)
        parse = _table if path.suffix.lower() in SEPARATORS else _parsed
        yield from parse(text, path)


def _checked(path: Path) -> Path:
    if not path.exists():
        raise DataError(f"there is no file {path}", hint=f"Check the path. {_SAVE}")
    if not path.is_file():
        raise DataError(f"{path} is no file", hint="Name the file itself.")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path.name} is of no kind that can be read", hint=_SAVE)
    return path


def _read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_FILE:
            raise DataError(
                f"{path.name} is larger than {MAX_FILE // 10**6} MB",
                hint="Save it as Parquet, which is read in parts, or split it.",
            )
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


def _parsed(text: str, path: Path) -> Iterator[Any]:
    """Yield the items of a JSON list or of JSON Lines, whichever `text` is."""
    name = path.name
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


def _table(text: str, path: Path) -> Iterator[dict[str, str]]:
    """Yield the rows of a table with a header, each as long as the header."""
    separators = SEPARATORS[path.suffix.lower()]
    header = text.split("\n", 1)[0]
    separator = max(separators, key=header.count)
    # One field may hold as much as the file: what is too long is told by row and column.
    csv.field_size_limit(MAX_FILE)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        for row, values in enumerate(reader, start=1):
            if values and len(values) != len(columns):
                raise DataError(
                    f"row {row:,} of {path.name} has {len(values)} fields, the header has "
                    f"{len(columns)}",
                    hint="Put text that holds the separator or a line break in double quotes.",
                )
            if values:
                yield dict(zip(columns, values, strict=True))
    except csv.Error as error:
        raise DataError(
            f"{path.name} is a broken table near line {reader.line_num} ({error})",
            hint="Repair that line; an unclosed double quote is the usual cause.",
        ) from None


def _parquet(path: Path) -> Iterator[dict[str, Any]]:
    """Yield the rows of a Parquet file, a few at a time, however much is packed into it."""
    import pyarrow
    import pyarrow.parquet

    try:
        with pyarrow.parquet.ParquetFile(path) as file:
            # Kept as a dictionary, a long text that stands in every row is held only once.
            texts = [
                field.name for field in file.schema_arrow if pyarrow.types.is_string(field.type)
            ]
        with pyarrow.parquet.ParquetFile(path, read_dictionary=texts) as file:
            _refuse_bomb(file.metadata, path.name)
            for batch in file.iter_batches(ROWS_AT_ONCE):
                yield from _plain_rows(batch, path.name)
    except (pyarrow.ArrowException, OSError) as error:
        raise DataError(
            f"{path.name} is no Parquet file that can be read ({str(error).splitlines()[0]})",
            hint="Write it again.",
        ) from None


def _refuse_bomb(metadata: Any, name: str) -> None:
    """Refuse row groups that unpack to more than memory should hold."""
    for group in range(metadata.num_row_groups):
        if metadata.row_group(group).total_byte_size > MAX_FILE:
            raise DataError(
                f"row group {group + 1} of {name} unpacks to more than {MAX_FILE // 10**6} MB",
                hint="Write the file again with smaller row groups.",
            )


def _plain_rows(batch: Any, name: str) -> list[dict[str, Any]]:
    """Return a batch as rows, unless one text alone would fill the memory many times."""
    import pyarrow
    import pyarrow.compute

    for column, values in zip(batch.schema.names, batch.columns, strict=True):
        texts = values.dictionary if pyarrow.types.is_dictionary(values.type) else values
        if pyarrow.types.is_string(texts.type) or pyarrow.types.is_large_string(texts.type):
            longest = pyarrow.compute.max(pyarrow.compute.binary_length(texts)).as_py() or 0
            if longest * len(batch) > MAX_FILE:
                raise DataError(
                    f'a text in "{column}" of {name} has {longest:,} bytes',
                    hint="Shorten it or split the record.",
                )
    return batch.to_pylist()


def _data_set(where: Path | re.Match[str], name: str) -> Iterator[Any]:
    """Yield the rows of a folder of data files or of a data set of the Hub, as they arrive."""
    import datasets

    owner, revision, config, split = (
        (str(where), None, None, None) if isinstance(where, Path) else where.groups()
    )
    try:
        yield from datasets.load_dataset(
            owner, config, revision=revision, split=split or "train", streaming=True
        )
    # Whatever goes wrong at the other end, its own words say what.
    except Exception as error:
        raise DataError(
            f"the data set {name} cannot be read ({' '.join(str(error).split())[:300]})",
            hint="Check its name, as in owner/name:config:split, and that the Hub can be reached.",
        ) from error
