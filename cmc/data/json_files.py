"""Read any JSON or JSON Lines file, and say clearly why where that fails."""

import json
from pathlib import Path
from typing import Any

from cmc.errors import DataError


def read_json(place: str | Path) -> Any:
    """Return the value of a JSON file, or the list of values of a JSON Lines file.

    The content decides, not the ending: TOFU's data files are JSON Lines called `.json`. NaN is
    read as well; published logs have it.

    Raises:
        DataError: there is no such file, or it is no JSON; the message names the line.
    """
    path = Path(place).expanduser()
    text = _text(path)
    try:
        return json.loads(text)
    except RecursionError:
        raise DataError(
            f"{path.name} is nested too deeply", hint="Give a file as published."
        ) from None
    except json.JSONDecodeError as error:
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) > 1 and error.msg == "Extra data":
            return [_line(line, number, path.name) for number, line in enumerate(lines, start=1)]
        raise DataError(
            f"{path.name} is broken JSON at line {error.lineno} ({error.msg})",
            hint="Repair that line; a missing comma or quote is the usual cause.",
        ) from None


def _line(line: str, number: int, name: str) -> Any:
    try:
        return json.loads(line)
    except (json.JSONDecodeError, RecursionError):
        raise DataError(
            f"{name} is broken JSON in its record {number}",
            hint="Repair that line; a missing comma or quote is the usual cause.",
        ) from None


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path.name} is not UTF-8", hint="Save it again as UTF-8.") from None
    except FileNotFoundError:
        raise DataError(f"there is no file {path}", hint="Check the path.") from None
    except OSError as error:
        raise DataError(
            f"{path} cannot be read ({error.strerror})",
            hint="Name the file itself, and check its permissions.",
        ) from None
