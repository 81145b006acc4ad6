"""What a report was made from, as a table: models, controllers, data, seed, libraries."""

import html
from collections.abc import Iterator, Mapping
from typing import Any

from cmc.ui.tabs.evaluate.report import table

NONE = '<p class="about">It comes with the report.</p>'
LONGEST_HASH = 16  # characters that are shown of a hash; the whole stands in its title


def provenance_html(report: Mapping[str, Any]) -> str:
    """Return everything a report says about its origin; every text is escaped."""
    made = report.get("provenance")
    if not made:
        return NONE
    order = ("request", "models", "controllers", "maps", "data", "seed", "libraries")
    names = [*(name for name in order if name in made), *(n for n in made if n not in order)]
    rows = []
    for name in names:
        told = list(_told(made[name], ""))
        for number, (what, value) in enumerate(told):
            head = f'<th rowspan="{len(told)}">{html.escape(name)}</th>' if not number else ""
            rows.append(f"<tr>{head}<td>{html.escape(what)}</td><td>{_value(value)}</td></tr>")
    return table(["", "what", "value"], rows)


def _told(value: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Yield the place and the value of everything that is no object itself."""
    if isinstance(value, Mapping):
        for name, each in value.items():
            yield from _told(each, f"{place} · {name}" if place else str(name))
    else:
        yield place, value


def _value(value: Any) -> str:
    text = ", ".join(map(str, value)) if isinstance(value, list | tuple) else str(value)
    if value is None or text == "":
        return "—"
    is_hash = len(text) >= 40 and all(each in "0123456789abcdef" for each in text)
    if is_hash:
        return f'<code title="{text}">{text[:LONGEST_HASH]}…</code>'
    return html.escape(text)
