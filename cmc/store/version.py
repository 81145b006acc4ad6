"""One version: its files, where it comes from, and whether it is as it was written."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cmc.store.folders import digest_of, flush, hashes_of, write_flushed

FORMAT_VERSION = 1
ABOUT, CONTENT = "version.json", "content"
_FOLDER = re.compile(r"v(\d{4,})")


@dataclass(frozen=True)
class Version:
    """One entry of the store; it never changes.

    Attributes:
        kind: controller, map or report.
        name: what it is a version of.
        number: 1 is the first.
        content: the folder that holds its files.
        files: SHA-256 of every file, by its path there; empty where that cannot be read.
        parent: number of the version it was made from, None for the first of its line.
        made: when, seconds since 1970.
        provenance: what it was made from and how.
        labels: that name it now.
    """

    kind: str
    name: str
    number: int
    content: Path
    files: Mapping[str, str]
    parent: int | None
    made: float
    provenance: Mapping[str, Any]
    labels: tuple[str, ...] = ()

    @property
    def reference(self) -> str:
        """The name it is found by, whatever labels do."""
        return f"{self.name}@{self.number}"

    @property
    def digest(self) -> str:
        """SHA-256 of its content: equal for equal files."""
        return digest_of(dict(self.files))

    def damage(self) -> str:
        """Return what is wrong with it; an empty string where every file is as it was written."""
        if not self.files:
            return f"{ABOUT} is not as it was written"
        found = hashes_of(self.content)
        wrong = sorted(name for name, _ in found.items() ^ self.files.items())
        return f"{wrong[0]} is not as it was written" if wrong else ""

    def told(self) -> dict[str, Any]:
        """Return what there is to tell of it, as JSON can hold it."""
        return {
            "kind": self.kind, "name": self.name, "number": self.number, "labels": [*self.labels],
            "parent": self.parent, "made": self.made, "provenance": dict(self.provenance),
            "files": dict(self.files), "digest": self.digest, "folder": str(self.content),
        }  # fmt: skip


def numbers_in(folder: Path) -> list[int]:
    """Return the numbers of the versions below a folder, the lowest first."""
    found = (_FOLDER.fullmatch(path.name) for path in folder.glob("v*"))
    return sorted(int(match[1]) for match in found if match)


def read_version(folder: Path, number: int, labels: tuple[str, ...]) -> Version:
    """Return a version below `<kind>/<name>`; its files are not verified."""
    kind, name = folder.parent.name, folder.name
    place = folder / f"v{number:04d}"
    return Version(kind, name, number, place / CONTENT, labels=labels, **_about(place / ABOUT))


def seal_version(aside: Path, number: int, about: Mapping[str, Any]) -> None:
    """Give a folder with `content` its hashes, last of all, and then its place among versions."""
    about = {"format_version": FORMAT_VERSION, **about}
    write_flushed(aside / ABOUT, {**about, "seal": digest_of(about)})
    aside.rename(aside.with_name(f"v{number:04d}"))
    flush(aside.parent)


def _about(path: Path) -> dict[str, Any]:
    """Read what a version says of itself; the seal tells whether it still says what it did."""
    try:
        about = json.loads(path.read_text("utf-8"))
        seal = about.pop("seal")
        if seal == digest_of(about) and about.pop("format_version") == FORMAT_VERSION:
            return about
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        pass
    return {"files": {}, "parent": None, "made": 0.0, "provenance": {}}
