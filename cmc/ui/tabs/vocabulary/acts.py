"""What can be done with a map and its versions: keep, label, go back, show, bring in."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cmc.errors import DataError, StoreError
from cmc.settings import MapRequest
from cmc.ui.tabs.vocabulary.versions import saved_request, told_version
from cmc.workspace import Workspace
from cmc.workspace.map_versions import import_map, keep_inspected, label_map, rollback_map


@dataclass(frozen=True, kw_only=True)
class FileChoices:
    """The map that is shown, and what is to be done with it or with a kept one."""

    shown: MapRequest = field(default_factory=MapRequest)
    version: str = ""
    label: str = ""
    upload: str | None = None


Done = tuple[str, MapRequest]  # what was done, and the map to show
Act = Callable[[Workspace, FileChoices], Done]


def _save(workspace: Workspace, choices: FileChoices) -> Done:
    version = keep_inspected(workspace, choices.shown, choices.label or "")
    return f"Kept as {told_version(version)}.", saved_request(choices.shown, version)


def _label(workspace: Workspace, choices: FileChoices) -> Done:
    version = label_map(workspace, _chosen(choices), choices.label or "")
    return f"The version is {told_version(version)}.", choices.shown


def _roll_back(workspace: Workspace, choices: FileChoices) -> Done:
    name = _chosen(choices).partition("@")[0]
    version = rollback_map(workspace, name, choices.label or "")
    return f"The label is back at {told_version(version)}.", choices.shown


def _open(workspace: Workspace, choices: FileChoices) -> Done:
    version = workspace.store.find("map", _chosen(choices))
    return f"Shown: {told_version(version)}.", saved_request(choices.shown, version)


def _import(workspace: Workspace, choices: FileChoices) -> Done:
    if not choices.upload:
        raise DataError("no file is given", hint="Choose an exported or a published map.")
    version = import_map(workspace, choices.shown, Path(choices.upload))
    said = f"Kept as {told_version(version)}; it is shown now."
    return said, saved_request(choices.shown, version)


ACTS: dict[str, Act] = {
    "save": _save, "label": _label, "rollback": _roll_back, "open": _open, "import": _import,
}  # fmt: skip


def _chosen(choices: FileChoices) -> str:
    if not choices.version:
        raise StoreError("no version is chosen", hint="Save this map first, or choose one.")
    return choices.version
