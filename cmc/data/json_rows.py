"""Rows of JSON lists and JSON Lines, one after the other, however long the file is."""

import json
import re
from collections.abc import Iterator
from typing import Any, TextIO

from cmc.data.text_files import MAX_ROW, PART
from cmc.errors import DataError

LONGEST_LITERAL = 9  # characters, of -Infinity
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
    """The part of a file that is in memory, how much of it is parsed, and where it begins."""

    def __init__(self, file: TextIO, name: str, begun: str, line: int) -> None:
        self.name = name
        self.text, self.at = begun, 0
        self._file, self._before = file, line  # lines before the text

    @property
    def line(self) -> int:
        """Lines before what is not parsed yet."""
        return self._before + self.text.count("\n", 0, self.at)

    def grow(self) -> bool:
        """Let go of what is parsed and read as much again as is left; say whether there was more.

        The more is left, the more is read: a long value is not tried again at every bit of it.
        """
        self._before, self.text, self.at = self.line, self.text[self.at :], 0
        part = self._file.read(max(PART, len(self.text)))
        self.text += part
        return bool(part)

    def next_character(self) -> str:
        """Skip white space; return what stands behind it, an empty string at the end."""
        while True:
            self.at = SPACES.match(self.text, self.at).end()
            if self.at < len(self.text) or not self.grow():
                return self.text[self.at : self.at + 1]


def _list_items(text: _Text) -> Iterator[Any]:
    text.at = text.text.index("[") + 1
    mark = text.next_character()
    while mark != "]":
        value = _next_value(text)
        mark = text.next_character()
        if mark not in (",", "]"):
            why = "a comma is missing" if mark else "the list has no end"
            raise _broken(text.name, text.line + 1, why)
        yield value
        if mark == ",":
            text.at += 1
    text.at += 1
    if text.next_character():
        raise _broken(text.name, text.line + 1, "something stands behind the end of the list")


def _next_value(text: _Text) -> Any:
    """Return the next value; more is read as long as it is not whole."""
    text.next_character()
    while True:
        try:
            value, end = DECODER.raw_decode(text.text, text.at)
            # A number at the very end may go on; whatever else is there is whole.
            if end < len(text.text) or not text.grow():
                text.at = min(end, len(text.text))
                return value
        except json.JSONDecodeError as error:
            line = text.line + error.lineno - text.text.count("\n", 0, text.at)
            if not _may_be_cut(error) or not text.grow():
                raise _broken(text.name, line, error.msg) from None
            if len(text.text) > 2 * MAX_ROW:
                raise _too_long(text.name, text.line) from None
        except (RecursionError, _Repeated) as error:
            raise _refused(error, text.name, text.line) from None


def _may_be_cut(error: json.JSONDecodeError) -> bool:
    """Tell whether a value may be broken only because not all of it was read yet."""
    return error.msg.startswith("Unterminated") or error.pos >= len(error.doc) - LONGEST_LITERAL


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
