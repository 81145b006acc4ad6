"""Versions of a map, told: a table of them, choices of a list, a sentence."""

import html
from collections.abc import Sequence
from datetime import datetime

from cmc.settings import MapRequest
from cmc.store import Version

NONE_YET = "No version of this pair is kept yet."


def saved_request(request: MapRequest, version: Version) -> MapRequest:
    """Return the request of a version of the same pair."""
    return MapRequest(controller=request.controller, target=request.target, saved=version.reference)


def version_choices(versions: list[Version]) -> list[tuple[str, str]]:
    """Return label and reference of every version, the newest first."""
    return [(version_label(each), each.reference) for each in reversed(versions)]


def version_label(version: Version) -> str:
    """Return `byte to twin@3 · good · built by pm-mined`."""
    told = [version.reference, *version.labels, str(version.provenance.get("what", ""))]
    return " · ".join(filter(None, told))


def told_version(version: Version) -> str:
    """Return `byte to twin@3 (good)`."""
    labels = f" ({', '.join(version.labels)})" if version.labels else ""
    return version.reference + labels


def versions_html(versions: Sequence[Version], shown: str) -> str:
    """Return the versions of a pair as a table, the newest first; all text is escaped."""
    if not versions:
        return f'<p class="empty">{NONE_YET}</p>'
    heads = "".join(
        f"<th>{each}</th>" for each in ("version", "labels", "made", "from", "what", "reason")
    )
    rows = "".join(_row(each, each.reference == shown) for each in reversed(versions))
    table = f"<table><thead><tr>{heads}</tr></thead><tbody>{rows}</tbody></table>"
    return f'<div class="rows">{table}</div>'


def _row(version: Version, is_shown: bool) -> str:
    made = datetime.fromtimestamp(version.made).strftime("%Y-%m-%d %H:%M") if version.made else ""
    cells = (
        version.reference,
        ", ".join(version.labels),
        made,
        f"@{version.parent}" if version.parent else "",
        str(version.provenance.get("what", "")),
        str(version.provenance.get("reason", "")),
    )
    mark = ' class="chosen"' if is_shown else ""
    return f"<tr{mark}>{''.join(f'<td>{html.escape(each)}</td>' for each in cells)}</tr>"
