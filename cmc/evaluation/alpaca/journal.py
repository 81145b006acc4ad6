"""JSON Lines that grow while work goes on; a line cut off by a crash is not counted."""

import json
from pathlib import Path
from typing import Any


def append_line(path: Path, record: dict[str, Any]) -> None:
    """Add one record and hand it to the system at once."""
    with path.open("a+b") as file:
        # What a crash cut off gets a line of its own, or it would spoil this one.
        if file.tell() and not _ends_whole(file):
            file.write(b"\n")
        file.write(json.dumps(record, ensure_ascii=False).encode() + b"\n")


def _ends_whole(file: Any) -> bool:
    file.seek(-1, 2)
    return file.read(1) == b"\n"


def read_lines(path: Path) -> list[dict[str, Any]]:
    """Return the records that are whole, in their order; none where there is no file."""
    if not path.is_file():
        return []
    records = []
    for line in path.read_bytes().split(b"\n"):
        try:
            record = json.loads(line)
        except ValueError:
            continue
        if isinstance(record, dict):
            records.append(record)
    return records
