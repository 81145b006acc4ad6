"""Check what a person gave: numbers, ranges, choices."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from cmc.errors import SettingError


def checked_number(name: str, value: Any, low: float, high: float) -> float:
    """Return `value` as a float between `low` and `high`.

    Raises:
        SettingError: not a number, not finite, or out of range; the message has the value.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingError(
            f"{name} is empty"
            if value in (None, "")
            else f'{name} is "{value}", which is no number',
            hint=_range(low, high),
        ) from None
    if not math.isfinite(number) or not low <= number <= high:
        raise SettingError(f"{name} is {value}, out of range", hint=_range(low, high))
    return number


def checked_whole(name: str, value: Any, low: int, high: int) -> int:
    """Return `value` as a whole number between `low` and `high`, exact however large it is.

    Raises:
        SettingError: not a whole number, or out of range; the message has the value.
    """
    try:
        # A whole number of more than 53 bits does not survive a float.
        number = int(value) if isinstance(value, int | str) else None
    except ValueError:
        number = None
    if number is None:
        real = checked_number(name, value, low, high)
        if not real.is_integer():
            raise SettingError(f"{name} is {real:g}", hint="Give a whole number.")
        number = int(real)
    if not low <= number <= high:
        raise SettingError(f"{name} is {value}, out of range", hint=_range(low, high))
    return number


def checked_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`.

    Raises:
        SettingError: it is not; the hint lists the choices.
    """
    if value not in choices:
        raise SettingError(f'{name} is "{value}"', hint=f"Choose one of: {', '.join(choices)}.")
    return value


def check_numbers(request: Any, ranges: Mapping[str, tuple[Any, Any]]) -> None:
    """Coerce the numeric fields of a frozen dataclass and check their ranges."""
    for name, (low, high) in ranges.items():
        is_whole = isinstance(type(request).__dataclass_fields__[name].default, int)
        check = checked_whole if is_whole else checked_number
        number = check(name.replace("_", " "), getattr(request, name), low, high)
        object.__setattr__(request, name, number)


def as_plain(request: Any) -> dict[str, Any]:
    """Return the fields of a request as a dictionary that JSON can hold."""
    return asdict(request)


def _range(low: float, high: float) -> str:
    """Return what to give; a whole number is written out, however large it is."""
    ends = (f"{each:g}" if isinstance(each, float) else str(each) for each in (low, high))
    return "Give a number from {} to {}.".format(*ends)
