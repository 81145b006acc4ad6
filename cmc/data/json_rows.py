"""Rows of JSON lists and JSON Lines, one after the other, however long the file is."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from cmc.data.text_files import MAX_ROW, PART
from cmc.errors import DataError

MAX_DIGITS = 300  # of a whole number; longer ones are read as floats
SPACES = re.compile(r"[ \t\r\n]*")
_REPAIR = "Repair that line; a missing comma or quote is the usual cause."


class _Repeated(ValueError):
    """An object has a key twice, so that one of its values would be lost."""


def json_rows(file: TextIO, name: str, _suffix: str = "") -> Iterator[Any]:
    """Yield the items of a JSON list or of JSON Lines, whichever the file holds.

    Raises:
        DataError: it is broken; the message names the line.
    """
    first, line = "", 0
    while part := file.readline(PART):
        if part.strip():
            first = part
            break
        line += part.endswith("\n")
    if first.lstrip().startswith("["):
        yield from _list_items(_Text(file, name, first, line))
    elif first:
        yield from _lines(file, name, first, line)


def _lines(file: TextIO, name: str, first: str, line: int) -> Iterator[Any]:
    """Yield a value per line; line ends within strings are escaped, so a line is whole.

    Only the newline counts: JSON allows U+2028 and the like inside strings.
    """
    text, is_only_line = _whole_line(file, name, first, line), True
    while text:
        if text.strip():
            if is_only_line and text.strip() == "{":
                raise DataError(
                    f"{name} is one JSON object, not a list of records",
                    hint="Put the records into [ ], or write one record per line.",
                )
            yield _decoded(text, name, line)
            is_only_line = False
        line += 1
        text = _whole_line(file, name, file.readline(PART), line)


def _whole_line(file: TextIO, name: str, begun: str, line: int) -> str:
    parts, length = [begun], len(begun)
    while parts[-1] and not parts[-1].endswith("\n"):
        parts.append(file.readline(PART))
        length += len(parts[-1])
        if length > MAX_ROW:
            raise _too_long(name, line)
    return "".join(parts)


class _Text:
    """The part of a file that is not parsed yet, and in which line it begins."""

    def __init__(self, file: TextIO, name: str, begun: str, line: int) -> None:
        self.name = name
        self.line = line  # lines before the text
        self.text = begun
        self._file = file

    def skip(self, count: int) -> None:
        """Leave `count` characters behind."""
        self.line += self.text.count("\n", 0, count)
        self.text = self.text[count:]

    def grow(self) -> bool:
        """Read as much again as is there; say whether there was more."""
        part = self._file.read(max(PART, len(self.text)))
        self.text += part
        return bool(part)

    def next_character(self) -> str:
        """Skip white space; return what stands behind it, an empty string at the end."""
        while True:
            self.skip(SPACES.match(self.text).end())
            if self.text or not self.grow():
                return self.text[:1]


def _list_items(text: _Text) -> Iterator[Any]:
    text.skip(text.text.index("[") + 1)
    if text.next_character() == "]":
        _refuse_rest(text)
        return
    while True:
        value, length = _next_value(text)
        text.skip(length)
        mark = text.next_character()
        if mark not in ("", ",", "]"):
            raise _broken(text.name, text.line + 1, "a comma is missing")
        if not mark:
            raise _broken(text.name, text.line + 1, "the list has no end")
        yield value
        text.skip(1)
        if mark == "]":
            _refuse_rest(text)
            return


def _refuse_rest(text: _Text) -> None:
    text.skip(1 if text.text.startswith("]") else 0)
    if text.next_character():
        raise _broken(text.name, text.line + 1, "something stands behind the end of the list")


def _next_value(text: _Text) -> tuple[Any, int]:
    """Return the next value and its length; more is read as long as it is not whole."""
    text.next_character()
    while True:
        try:
            value, end = DECODER.raw_decode(text.text)
            # A number at the very end may go on; whatever else is there is whole.
            if end < len(text.text) or not text.grow():
                return value, end
        except json.JSONDecodeError as error:
            if len(text.text) > MAX_ROW:
                raise _too_long(text.name, text.line) from None
            if not text.grow():
                raise _broken(text.name, text.line + error.lineno, error.msg) from None
        except (RecursionError, _Repeated) as error:
            raise _refused(error, text.name, text.line) from None


def _decoded(text: str, name: str, line: int) -> Any:
    """Return the value of `text`, which starts `line` lines into the file."""
    try:
        value, end = DECODER.raw_decode(text, SPACES.match(text).end())
    except json.JSONDecodeError as error:
        raise _broken(name, line + error.lineno, error.msg) from None
    except (RecursionError, _Repeated) as error:
        raise _refused(error, name, line) from None
    if text[end:].strip():
        raise _broken(name, line + 1, f"something stands behind character {end:,}")
    return value


def _refused(error: Exception, name: str, line: int) -> DataError:
    if isinstance(error, _Repeated):
        what, hint = f"has {error}", "Repair that record: leave one of the two."
    else:
        what, hint = "is nested too deeply", "Repair that record, or flatten it."
    return DataError(f"{name} {what}, in or after line {line + 1:,}", hint=hint)


def _broken(name: str, line: int, why: str) -> DataError:
    return DataError(f"{name} is broken JSON at line {line:,} ({why})", hint=_REPAIR)


def _too_long(name: str, line: int) -> DataError:
    return DataError(
        f"{name} has a record of more than {MAX_ROW // 10**6} million characters after line "
        f"{line + 1:,}",
        hint="Shorten or remove it.",
    )


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise _Repeated(f'the key "{twice[:40]}" twice in one record')
    return found


def _whole_number(digits: str) -> float:
    # Python refuses to read thousands of digits; nothing here needs them exactly.
    return int(digits) if len(digits) <= MAX_DIGITS else float(digits)


DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole_number)
