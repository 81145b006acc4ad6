"""Plain texts to pre-train on: text files, a column of data files, or records as texts."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cmc.data.columns import as_record
from cmc.data.files import SUFFIXES, data_files, rows_of_file
from cmc.data.text_files import PART, opened_text
from cmc.errors import DataError

TEXT_FILES = (".txt", ".md", ".text")
COLUMNS = ("text", "content", "story")
# Stands alone in a line between two documents of one file, as in the TinyStories files.
BETWEEN = "<|endoftext|>"
_HINT = f"Name text files ({', '.join(TEXT_FILES)}), data files or a Hub id."


def read_texts(source: str | Path, column: str = "") -> Iterator[str]:
    """Yield the documents of a source.

    A text file is one document, or several with a line of `<|endoftext|>` between them; of a
    long one every part of about a million characters is yielded as if it were a document.

    Args:
        source: a text file, a data file, a folder of either, or a data set of the Hub.
        column: of data files; empty takes the first of `COLUMNS`, or question and answer.

    Raises:
        DataError: it cannot be found or read, or holds no text; the message names the row.
    """
    path = Path(source).expanduser()
    parts = [path] if path.suffix.lower() in TEXT_FILES else _parts(path, source)
    found = False
    for part in parts:
        is_text = Path(part).suffix.lower() in TEXT_FILES
        for text in _documents(Path(part)) if is_text else _column(part, column):
            if text.strip():
                found = True
                yield text
    if not found:
        raise DataError(f"{path.name} holds no text", hint=_HINT)


def _parts(path: Path, source: str | Path) -> list[str | Path]:
    """Return the files of a folder, text files if it has some; what is no folder as it is."""
    if path.is_dir():
        texts = sorted(each for each in path.rglob("*") if each.suffix.lower() in TEXT_FILES)
        return texts or data_files(path)
    if path.is_file() and path.suffix.lower() not in SUFFIXES:
        raise DataError(f"{path.name} is of no kind that can be read", hint=_HINT)
    return [source]


def _documents(path: Path) -> Iterator[str]:
    if not path.is_file():
        raise DataError(f"there is no file {path}", hint=f"Check the path. {_HINT}")
    lines: list[str] = []
    length = 0
    with opened_text(path) as file:
        while line := file.readline(PART):
            is_end = line.strip() == BETWEEN
            if is_end or length > PART:
                yield "".join(lines)
                lines, length = [], 0
            if not is_end:
                lines.append(line)
                length += len(line)
    yield "".join(lines)


def _column(source: str | Path, column: str) -> Iterator[str]:
    name = Path(source).name
    for row, item in enumerate(rows_of_file(source), start=1):
        yield _text(item, row, name, column)


def _text(item: Any, row: int, name: str, column: str) -> str:
    wanted = (column,) if column else COLUMNS
    place = next((each for each in wanted if isinstance(item, Mapping) and each in item), None)
    if place is None and not column:
        record = as_record(item, row, name, {})
        return "\n".join(filter(None, (record.instruction, record.input, record.output)))
    if place is None or not isinstance(item[place], str):
        what = "no" if place is None else "something else than text as"
        raise DataError(
            f'row {row:,} of {name} has {what} "{place or column}"',
            hint="Say which column holds the text (column).",
        )
    return item[place]
