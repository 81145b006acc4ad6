"""Rows of CSV and TSV files, one after the other, each as long as the header."""

import csv
from collections.abc import Iterator
from typing import TextIO

from cmc.data.text_files import MAX_ROW
from cmc.errors import DataError

SEPARATORS = {".csv": ",;\t", ".tsv": "\t"}


def table_rows(file: TextIO, name: str, suffix: str) -> Iterator[dict[str, str]]:
    """Yield the rows of a table with a header.

    Raises:
        DataError: a row is longer or shorter than the header, or the table is broken.
    """
    header = _first_line(file, name)
    separator = max(SEPARATORS[suffix], key=header.count)
    # One field may hold as much as a row: what is too long is told by row and column.
    csv.field_size_limit(MAX_ROW)
    reader = csv.reader(_lines(file, header, name), delimiter=separator, strict=True)
    row = 0
    try:
        columns = _named([each.strip() for each in next(reader, [])], name)
        for values in reader:
            # Spreadsheets leave rows of separators alone below a table.
            if not any(values):
                continue
            row += 1
            if len(values) != len(columns):
                raise _ragged(row, name, len(values), len(columns))
            yield {key: value for key, value in zip(columns, values, strict=True) if key}
    except csv.Error as error:
        raise DataError(
            f"{name} is a broken table near line {reader.line_num:,}, row {row + 1:,} ({error})",
            hint="Repair that line; an unclosed double quote is the usual cause.",
        ) from None


def _first_line(file: TextIO, name: str) -> str:
    line = file.readline(MAX_ROW)
    if len(line) >= MAX_ROW:
        raise _too_long(name, 1)
    return line


def _lines(file: TextIO, first: str, name: str) -> Iterator[str]:
    yield first
    number = 1
    while line := file.readline(MAX_ROW):
        number += 1
        if len(line) >= MAX_ROW:
            raise _too_long(name, number)
        yield line


def _named(columns: list[str], name: str) -> list[str]:
    """Return the header, in which no name may stand twice; columns without one are left out."""
    for column in filter(None, columns):
        if columns.count(column) > 1:
            raise DataError(
                f'the header of {name} has the column "{column[:40]}" twice',
                hint="Rename or remove one of the two.",
            )
    return columns


def _ragged(row: int, name: str, found: int, wanted: int) -> DataError:
    count = "1 field" if found == 1 else f"{found:,} fields"
    return DataError(
        f"row {row:,} of {name} has {count}, the header has {wanted:,}",
        hint="Put text that holds the separator or a line break in double quotes.",
    )


def _too_long(name: str, line: int) -> DataError:
    return DataError(
        f"line {line:,} of {name} has more than {MAX_ROW // 10**6} million characters",
        hint="Shorten or remove it.",
    )
