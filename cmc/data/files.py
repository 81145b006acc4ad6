"""Rows of a data file: JSON, JSON Lines, CSV, TSV, Parquet, or a data set of the Hub."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from cmc.data.json_rows import json_rows
from cmc.data.parquet_rows import parquet_rows
from cmc.data.table_rows import SEPARATORS, table_rows
from cmc.data.text_files import opened_text
from cmc.errors import DataError

SUFFIXES = (".json", ".jsonl", *SEPARATORS, ".parquet")
HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?::([\w.-]+))?(?::([\w.-]+))?")
# Of a folder that holds several splits, the one to train on is read.
OTHER_SPLITS = re.compile(r"(^|[^a-z])(test|testing|valid|validation|dev|eval)([^a-z]|$)")
TRAIN_SPLIT = re.compile(r"(^|[^a-z])(train|training)([^a-z]|$)")
_SAVE = f"Save the records as one of: {', '.join(SUFFIXES)}."


def read_rows(source: str | Path) -> Iterator[Any]:
    """Yield the rows of a file, of a folder of data files, or of a data set of the Hub.

    However large it is, only a small part of it is in memory at a time.

    Args:
        source: a file by its ending, a folder, or `owner/name[@revision][:config[:split]]`.

    Raises:
        DataError: it cannot be found, decoded or parsed; the message names line, byte or row.
    """
    for part in data_files(source):
        yield from rows_of_file(part)


def data_files(source: str | Path) -> list[str | Path]:
    """Return the data files of a folder in the order of their names; what is no folder as it is.

    Raises:
        DataError: the folder holds no data file.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        return [source]
    found = sorted(
        path for path in folder.rglob("*")
        if path.suffix.lower() in SUFFIXES and path.is_file()
        and not any(part.startswith(".") for part in path.relative_to(folder).parts)
    )  # fmt: skip
    named = {path: str(path.relative_to(folder).with_suffix("")).lower() for path in found}
    chosen = [path for path in found if TRAIN_SPLIT.search(named[path])]
    chosen = chosen or [path for path in found if not OTHER_SPLITS.search(named[path])] or found
    if not chosen:
        raise DataError(f"the folder {folder.name} holds no data file", hint=_SAVE)
    return list(chosen)


def rows_of_file(source: str | Path) -> Iterator[Any]:
    """Yield the rows of one file, or of a data set of the Hub; see `read_rows`."""
    path = Path(source).expanduser()
    hub = HUB_NAME.fullmatch(str(source))
    suffix = path.suffix.lower()
    if hub and not path.exists() and suffix not in SUFFIXES:
        yield from _data_set(hub, str(source))
    elif _checked(path).suffix.lower() == ".parquet":
        yield from parquet_rows(path)
    else:
        with opened_text(path) as file:
            parse = table_rows if suffix in SEPARATORS else json_rows
            yield from parse(file, path.name, suffix)


def _checked(path: Path) -> Path:
    if not path.exists():
        raise DataError(f"there is no file {path}", hint=f"Check the path. {_SAVE}")
    if not path.is_file():
        raise DataError(f"{path} is no file", hint="Name the file itself.")
    if path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path.name} is of no kind that can be read", hint=_SAVE)
    return path


def _data_set(where: re.Match[str], name: str) -> Iterator[Any]:
    """Yield the rows of a data set of the Hub, as they arrive."""
    import datasets

    owner, revision, config, split = where.groups()
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
