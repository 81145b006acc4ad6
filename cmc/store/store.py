"""Keep immutable, numbered versions of named things, and labels that move between them."""

import json
import os
import re
import shutil
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cmc import settings
from cmc.errors import StoreError
from cmc.store.folders import copy_flushed, hashes_of, locked, write_flushed
from cmc.store.version import CONTENT, Version, numbers_in, read_version, seal_version

KINDS = ("controller", "map", "report")
LATEST = "latest"
_LABELS = "labels.json"
_NAME = re.compile(r"(?![ .])[A-Za-z0-9 _.-]{1,64}(?<! )")
_LABEL = re.compile(r"[a-z][a-z0-9_.-]{0,31}")


@dataclass(frozen=True)
class Store:
    """Versions below `<home>/store/<kind>/<name>/v0001/`, and `labels.json` beside them."""

    home: Path = field(default_factory=settings.home)

    def save(
        self,
        kind: str,
        name: str,
        source: Path,
        *,
        parent: int | None = None,
        provenance: Mapping[str, Any] | None = None,
    ) -> Version:
        """Keep a copy of a folder as the next version; equal content gives the version it has.

        Args:
            kind: one of `KINDS`.
            name: what this is a version of; letters, digits, spaces, dots, dashes, underscores.
            source: folder whose files are copied.
            parent: number of the version it was made from.
            provenance: what it was made from and how; JSON must be able to hold it.

        Raises:
            StoreError: the name is not safe as a folder's name, the folder is empty, or the
                disk refused; versions that were there are intact.
        """
        folder = self._folder(kind, name)
        if not source.is_dir():
            raise StoreError(f"{source} is no folder", hint="Name the folder to keep.")
        with locked(folder):
            number = max(numbers_in(folder), default=0) + 1
            aside = folder / f".tmp-{number}"
            aside.mkdir()
            copy_flushed(source, aside / CONTENT)
            files = hashes_of(aside / CONTENT)
            known = [each for each in self._versions(kind, name) if each.files == files]
            if known or not files:
                shutil.rmtree(aside)
            else:
                about = {"files": files, "parent": parent, "provenance": dict(provenance or {})}
                seal_version(aside, number, about | {"made": time.time()})
        if not files:
            raise StoreError(f"{source} holds no files", hint="Name the folder to keep.")
        return known[-1] if known else self.find(kind, f"{name}@{number}")

    def names(self, kind: str) -> list[str]:
        """Return the names that have a version, in alphabetical order."""
        kind = settings.checked_choice("kind", kind, KINDS)
        folders = (self.home / "store" / kind).glob("*")
        return sorted(folder.name for folder in folders if numbers_in(folder))

    def labelled(self, kind: str) -> list[str]:
        """Return `NAME@LABEL` for every label, by name and label."""
        return [
            f"{name}@{label}"
            for name in self.names(kind)
            for label in sorted(_labels(self._folder(kind, name)))
        ]

    def versions(self, kind: str, name: str) -> list[Version]:
        """Return the versions of a name, oldest first; files are not verified.

        Raises:
            StoreError: there are none.
        """
        found = self._versions(kind, name)
        if not found:
            known = ", ".join(self.names(kind)[:8])
            raise StoreError(
                f'the store has no {kind} "{name}"',
                hint=f"There are: {known}." if known else "Nothing of this kind is kept yet.",
            )
        return found

    def find(self, kind: str, reference: str) -> Version:
        """Return the version that `NAME@NUMBER`, `NAME@LABEL` or `NAME` (the newest) names.

        Raises:
            StoreError: there is no such version.
        """
        name, _, wanted = reference.partition("@")
        versions = self.versions(kind, name)
        if wanted in ("", LATEST):
            return versions[-1]
        for version in versions:
            if wanted in (str(version.number), *version.labels):
                return version
        known = [str(each.number) for each in versions[-8:]]
        known += sorted(label for each in versions for label in each.labels)
        raise StoreError(
            f'{kind} "{name}" has no version or label "{wanted}"',
            hint=f"There are: {', '.join(known)}.",
        )

    def open(self, kind: str, reference: str) -> Version:
        """Return a version of which every file is as it was written.

        Raises:
            StoreError: there is no such version, or a file of it was changed, lost or added.
        """
        version = self.find(kind, reference)
        if damage := version.damage():
            others = reversed(self._versions(kind, version.name))
            intact = next((each for each in others if not each.damage()), None)
            raise StoreError(
                f"{kind} {version.reference} is damaged ({damage})",
                hint=f"{intact.reference} is intact." if intact else "No other version is intact.",
            )
        return version

    def label(self, kind: str, reference: str, label: str) -> Version:
        """Let a label name an intact version; what it named before is remembered.

        Raises:
            StoreError: the label is no small word, or the version cannot be opened.
        """
        if not _LABEL.fullmatch(label) or label == LATEST:
            raise StoreError(
                f'"{label[:40]}" is no label',
                hint="Begin with a small letter and go on with small letters, digits, dots, "
                f'dashes or underscores; "{LATEST}" is always the newest version.',
            )
        version = self.open(kind, reference)
        folder = self._folder(kind, version.name)
        with locked(folder):
            history = _labels(folder)
            if history.get(label, [None])[-1] != version.number:
                history.setdefault(label, []).append(version.number)
                write_flushed(folder / _LABELS, history)
        return self.find(kind, version.reference)

    def rollback(self, kind: str, name: str, label: str) -> Version:
        """Move a label back to the version it named before; nothing else changes.

        Raises:
            StoreError: there is no such label, or it named no other version that is intact.
        """
        self.versions(kind, name)
        folder = self._folder(kind, name)
        with locked(folder):
            history = _labels(folder)
            if len(history.get(label, ())) < 2:
                raise StoreError(
                    f'label "{label}" of {kind} "{name}" named no other version before',
                    hint="Move it with `python -m cmc versions label`.",
                )
            earlier = self.open(kind, f"{name}@{history[label][-2]}")
            history[label].pop()
            write_flushed(folder / _LABELS, history)
        return self.find(kind, earlier.reference)

    def export(self, kind: str, reference: str, out: Path) -> Version:
        """Copy the files of an intact version into a new folder.

        Raises:
            StoreError: the version cannot be opened, or something is in the folder's place.
        """
        version = self.open(kind, reference)
        if out.exists():
            raise StoreError(f"{out} is there already", hint="Name a folder that is not there.")
        out.parent.mkdir(parents=True, exist_ok=True)
        aside = out.with_name(f".tmp-{out.name}-{os.getpid()}")
        try:
            copy_flushed(version.content, aside)
            aside.rename(out)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return version

    def _folder(self, kind: str, name: str) -> Path:
        kind = settings.checked_choice("kind", kind, KINDS)
        if not _NAME.fullmatch(name):
            raise StoreError(
                f'"{name[:80]}" is no name for a {kind}',
                hint="Use 1 to 64 letters, digits, spaces, dots, dashes or underscores.",
            )
        return self.home / "store" / kind / name

    def _versions(self, kind: str, name: str) -> list[Version]:
        folder = self._folder(kind, name)
        named: dict[int, list[str]] = {}
        for label, history in sorted(_labels(folder).items()):
            named.setdefault(history[-1], []).append(label)
        return [
            read_version(folder, number, tuple(named.get(number, ())))
            for number in numbers_in(folder)
        ]


def place_of(name: str, home: Path | None = None) -> str:
    """Return the folder of the controller that `NAME@VERSION` names; other names as they are.

    A name the store does not know stays what it is: `owner/name@revision` of the Hub has one too.

    Raises:
        StoreError: the store knows the name but not the version, or the version is damaged.
    """
    version = _version_of(name, home)
    return str(version.content) if version else name


def pinned(name: str, home: Path | None = None) -> str:
    """Return `NAME@NUMBER` for a version of a controller; other names as they are.

    Raises:
        StoreError: as `place_of`.
    """
    version = _version_of(name, home)
    return version.reference if version else name


def _version_of(name: str, home: Path | None) -> Version | None:
    store = Store(home or settings.home())
    if "@" not in name or name.partition("@")[0] not in store.names("controller"):
        return None
    return store.open("controller", name)


def _labels(folder: Path) -> dict[str, list[int]]:
    """Return for every label the versions it has named, the present one last."""
    path = folder / _LABELS
    try:
        return json.loads(path.read_text("utf-8")) if path.is_file() else {}
    except ValueError as error:
        raise StoreError(
            f"{path} is damaged ({error})", hint="Remove it and set the labels again."
        ) from error
