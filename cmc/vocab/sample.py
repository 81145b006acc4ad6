"""The same story in many languages, and a text by its scripts: what maps are measured on."""

import json
import unicodedata
from collections import defaultdict
from dataclasses import dataclass
from functools import cache
from pathlib import Path

SAMPLE = Path(__file__).resolve().parents[2] / "assets" / "languages.json"


@dataclass(frozen=True)
class SampleText:
    """A text of the project's own in one language."""

    language: str
    script: str
    text: str


@cache
def sample_texts() -> tuple[SampleText, ...]:
    """Return one story in every language of the sample, English first."""
    return tuple(SampleText(**each) for each in json.loads(SAMPLE.read_text("utf-8")))


def by_script(text: str) -> dict[str, str]:
    """Return what of a text is written in each script, the longest first.

    Signs, digits and spaces go with the letter before them.

    >>> by_script("Да, yes!")
    {'Cyrillic': 'Да, ', 'Latin': 'yes!'}
    """
    parts: dict[str, list[str]] = defaultdict(list)
    script = next((found for sign in text if (found := _script(sign))), "no letters")
    for sign in text:
        script = _script(sign) or script
        parts[script].append(sign)
    joined = {name: "".join(signs) for name, signs in parts.items()}
    return dict(sorted(joined.items(), key=lambda part: -len(part[1])))


@cache
def _script(sign: str) -> str:
    """Return the script of a letter, by the first word of its Unicode name; "" for other signs."""
    if not sign.isalpha():
        return ""
    first = unicodedata.name(sign, "other").split()[0].split("-")[0]
    return {"CJK": "Han", "HIRAGANA": "Kana", "KATAKANA": "Kana"}.get(first, first.capitalize())
