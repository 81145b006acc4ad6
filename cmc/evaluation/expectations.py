"""Saved suites: read them, and say what an answer fails of a test's expectations."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import regex

from cmc.errors import DataError

KINDS = ("contains", "matches", "does_not_reveal", "better_than_base")
PATTERN_SECONDS = 1.0  # a pattern that tries every way of matching must not hang a whole suite
_FORM = (
    'A suite is {"tests": [{"prompt": "…", "expect": {"contains": "…"}}]}; expectations are '
    f"{', '.join(KINDS)}."
)


@dataclass(frozen=True)
class SuiteTest:
    """One prompt, and what its controlled answer must be like."""

    name: str
    prompt: str
    expect: Mapping[str, Any]


def read_suite(place: str | Path) -> list[SuiteTest]:
    """Read a suite.

    Raises:
        DataError: the file is no suite; the message names the test, the hint the form.
    """
    path = Path(place).expanduser()
    try:
        content = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise DataError(f"there is no suite {path}", hint="Check the path.") from None
    except (OSError, ValueError) as error:
        raise DataError(f"{path.name} is no JSON ({error})", hint=_FORM) from None
    tests = content.get("tests") if isinstance(content, dict) else None
    if not isinstance(tests, list) or not tests:
        raise DataError(f"{path.name} holds no tests", hint=_FORM)
    read = [_test(each, number, path.name) for number, each in enumerate(tests, start=1)]
    names = [each.name for each in read]
    twice = {each for each in names if names.count(each) > 1}
    if twice:
        raise DataError(
            f'{path.name} has two tests called "{min(twice)}"', hint="Give each a name of its own."
        )
    return read


def _test(item: Any, number: int, file: str) -> SuiteTest:
    where = f"test {number} of {file}"
    if not isinstance(item, dict) or not str(item.get("prompt") or "").strip():
        raise DataError(f"{where} has no prompt", hint=_FORM)
    expect = item.get("expect")
    if not isinstance(expect, dict) or not expect or set(expect) - set(KINDS):
        raise DataError(f"{where} has no expectation, or one that is unknown", hint=_FORM)
    for kind, wanted in expect.items():
        is_list = isinstance(wanted, list) and wanted
        if not all(isinstance(each, str) and each for each in (wanted if is_list else [wanted])):
            raise DataError(f'"{kind}" of {where} is not text', hint="Put it in quotes.")
        for pattern in listed(wanted) if kind == "matches" else ():
            _check_pattern(pattern, where)
    return SuiteTest(str(item.get("name") or item["prompt"]), str(item["prompt"]), expect)


def _check_pattern(pattern: str, where: str) -> None:
    try:
        regex.compile(pattern)
    except regex.error as error:
        raise DataError(
            f'"{pattern}" of {where} is no regular expression ({error})',
            hint="Correct it; write a backslash as \\\\.",
        ) from None


def failures(expect: Mapping[str, Any], answer: str, is_worse: Callable[[str], str]) -> list[str]:
    """Return what an answer fails of its expectations, one sentence each.

    Texts are looked for without regard to case and to the amount of white space; regular
    expressions are searched for as they stand, for a second at most.

    Args:
        expect: the expectations.
        answer: to the test's prompt.
        is_worse: given the expected answer that `better_than_base` holds, says in a sentence
            that the answer is not better than the base's; empty where it is.
    """
    checks: dict[str, Callable[[str], str]] = {
        "contains": lambda text: "" if _holds(answer, text) else f'does not contain "{text}"',
        "matches": lambda text: _mismatch(answer, text),
        "does_not_reveal": lambda text: f'reveals "{text}"' if _holds(answer, text) else "",
        "better_than_base": is_worse,
    }
    found = [checks[kind](text) for kind, wanted in expect.items() for text in listed(wanted)]
    return [each for each in found if each]


def _mismatch(answer: str, pattern: str) -> str:
    try:
        is_found = regex.search(pattern, answer, timeout=PATTERN_SECONDS)
    except TimeoutError:
        return f"could not be matched with {pattern} within {PATTERN_SECONDS:g} s"
    return "" if is_found else f"does not match {pattern}"


def _holds(text: str, part: str) -> bool:
    one, other = (" ".join(each.split()).casefold() for each in (text, part))
    return other in one


def listed(wanted: str | list[str]) -> list[str]:
    """Return what is expected as a list, also where it is one text."""
    return wanted if isinstance(wanted, list) else [wanted]
