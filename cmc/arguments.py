"""Options of the command line from the fields of requests, and what they name."""

import argparse
from collections.abc import Sequence
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from safetensors import SafetensorError

from cmc.errors import CmcError, SettingError
from cmc.settings import (
    DEVICE_MAPS,
    JUDGES,
    KEY_VARIABLES,
    METRICS,
    OBJECTIVES,
    PRECISIONS,
    STARTER_CONTROLLER,
    TRANSFERS,
)

CHOICES = {"objective": OBJECTIVES, "transfer": TRANSFERS, "metric": METRICS}
CHOICES |= {
    "judge": JUDGES,
    "key_variable": KEY_VARIABLES,
    "precision": PRECISIONS,
    "device_map": DEVICE_MAPS,
}


def add_fields(parser: argparse.ArgumentParser, *requests: type, but: Sequence[str] = ()) -> None:
    """Add an option for every field with a plain default; ranges are checked by the request."""
    for request in requests:
        for field in fields(request):
            if field.default is MISSING or field.name in but:
                continue
            option = "--" + field.name.replace("_", "-")
            if isinstance(field.default, bool):
                parser.add_argument(
                    option, action=argparse.BooleanOptionalAction, default=field.default
                )
            elif isinstance(field.default, tuple):
                parser.add_argument(option, nargs="*", default=list(field.default))
            else:
                about = f"default: {field.default}" if field.default != "" else None
                choices = CHOICES.get(field.name)
                parser.add_argument(option, default=field.default, choices=choices, help=about)


def filled_request(kind: type, parsed: argparse.Namespace, **more: Any) -> Any:
    """Fill a request from the options of its fields."""
    names = [each.name for each in fields(kind) if each.name not in more]
    values = {name: getattr(parsed, name) for name in names if hasattr(parsed, name)}
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
    return kind(**values, **more)


def as_options(request: Any) -> list[str]:
    """Return the options that fill a request as it is; what has its default is left out."""
    options = []
    for each in fields(request):
        value, option = getattr(request, each.name), "--" + each.name.replace("_", "-")
        if value == each.default:
            continue
        if isinstance(value, bool):
            options.append(option if value else option.replace("--", "--no-", 1))
        elif isinstance(value, tuple):
            options += [option, *map(str, value)]
        else:
            options.append(f"{option}={value}")
    return options


def named_strengths(controllers: Sequence[str] | None, strengths: Sequence[str] | None) -> dict:
    """Read `NAME` and `NAME:STRENGTH`, and the strengths given apart in the same order.

    Raises:
        SettingError: a controller is given twice, or there are more strengths than controllers.
    """
    given = list(strengths or [])
    found: dict[str, Any] = {}
    for each in controllers or [STARTER_CONTROLLER]:
        name, colon, last = each.rpartition(":")
        # The colon of a lab name, as in lab:instruct, starts no number.
        has_strength = colon and not (name == "lab" or "/" in last or "\\" in last)
        name = name if has_strength else each
        if name in found:
            raise SettingError(f"{name} is given twice", hint="Give its strengths added up.")
        found[name] = last if has_strength else given.pop(0) if given else 1.0
    if given:
        raise SettingError(
            "there are more strengths than controllers", hint="Give one strength per controller."
        )
    return found


def make_room(out: str) -> None:
    """Make the folder of an output file before anything is measured.

    Raises:
        SettingError: the name is that of a folder.
    """
    if out and Path(out).is_dir():
        raise SettingError(f"{out} is a folder", hint="Name the file to write.")
    if out:
        Path(out).parent.mkdir(parents=True, exist_ok=True)


def file_error(error: OSError | SafetensorError) -> CmcError:
    """Return what is said of a file or folder that the system refuses."""
    place = getattr(error, "filename", None) or "a file"
    reason = getattr(error, "strerror", None) or error
    return CmcError(
        f"{place} cannot be read or written ({reason})",
        hint="Check that it is there, that you may use it, and that the disk has room.",
    )
