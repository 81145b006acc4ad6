"""Text files that are read in parts: what is no UTF-8 is told by its byte."""

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from cmc.errors import DataError

MAX_ROW = 20_000_000  # characters of one row: what is parsed at once
PART = 1 << 20  # characters, or bytes, read at once
# How files begin that are not text, and what to do with them.
PACKED = {
    b"\x1f\x8b": ("gzip archive", "Unpack it first."),
    b"PK\x03\x04": ("zip archive or a spreadsheet", "Unpack it, or save the sheet as CSV."),
    b"PAR1": ("Parquet file", "Let its name end with .parquet."),
}


@contextmanager
def opened_text(path: Path) -> Iterator[TextIO]:
    """Open a UTF-8 file, with or without a byte order mark; line ends stay as they are.

    Raises:
        DataError: it cannot be opened, or, while it is read, is not UTF-8.
    """
    try:
        _refuse_packed(path)
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield file
    except UnicodeDecodeError:
        raise _not_utf8(path) from None
    except OSError as error:
        raise DataError(
            f"{path.name} cannot be read ({error.strerror})", hint="Check the file's permissions."
        ) from error


def _refuse_packed(path: Path) -> None:
    with path.open("rb") as file:
        head = file.read(4)
    for start, (kind, remedy) in PACKED.items():
        if head.startswith(start):
            raise DataError(f"{path.name} is no text but a {kind}", hint=remedy)
    if b"\x00" in head[:2] and not head.startswith((b"\xfe\xff", b"\xff\xfe")):
        raise DataError(
            f"{path.name} is not UTF-8 near byte {head.index(0)} (looks like UTF-16)",
            hint="Save it again as UTF-8.",
        )


def _not_utf8(path: Path) -> DataError:
    """Find the byte at which a file stops being UTF-8."""
    decoder = codecs.getincrementaldecoder("utf-8")()
    read = 0
    with path.open("rb") as file:
        start = file.read(2)
        file.seek(0)
        while part := file.read(PART):
            waiting = len(decoder.getstate()[0])
            try:
                decoder.decode(part)
            except UnicodeDecodeError as error:
                read += error.start - waiting
                break
            read += len(part)
        else:  # it ends within a character
            read -= len(decoder.getstate()[0])
    looks = "UTF-16" if start in (b"\xff\xfe", b"\xfe\xff") else "Latin-1 or binary"
    return DataError(
        f"{path.name} is not UTF-8 near byte {read:,} (looks like {looks})",
        hint="Save it again as UTF-8.",
    )
