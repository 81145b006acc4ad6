"""Versions of vocab maps: kept, changed by hand, imported, labelled, written to files."""

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmc.errors import CmcError, DataError, StoreError
from cmc.settings import MapRequest, checked_choice
from cmc.store import Version
from cmc.store.maps import keep_map, maps_of_pair
from cmc.vocab import map_files
from cmc.vocab.map_files import read_map
from cmc.workspace.maps import InspectedMap, inspect_map

if TYPE_CHECKING:
    from cmc.workspace import Workspace

FORMATS = ("safetensors", "csv", "json")
LONGEST_REASON = 300  # characters


def may_keep(workspace: "Workspace") -> bool:
    """Say whether versions may be written here: on a public Space where its owner allows it."""
    return workspace.mode != "demo"


def versions_of(workspace: "Workspace", found: InspectedMap) -> list[Version]:
    """Return the kept maps that were built for the pair of a map, by name and number."""
    return maps_of_pair(workspace.store, found.controller, found.target)


def maps_to_follow(
    workspace: "Workspace", target: str, controllers: Sequence[str]
) -> list[Version]:
    """Return the kept maps that some of these controllers can follow to a target.

    One that cannot be read has none: using it tells what is wrong.
    """
    found: dict[str, Version] = {}
    for controller in controllers if workspace.store.names("map") else ():
        try:
            pair = workspace.maps.pair(workspace, controller, target)
        except CmcError:
            continue
        found |= {
            each.reference: each
            for each in maps_of_pair(workspace.store, pair.controller, pair.target)
            if each.provenance.get("transfer") == "pm-mined"
        }
    return list(found.values())


def keep_inspected(workspace: "Workspace", request: MapRequest, label: str = "") -> Version:
    """Keep the map of a request as a version; the same map is kept once. Label it if asked to.

    Raises:
        StoreError: maps are not kept here, or the label is no small word.
    """
    _check_may_keep(workspace)
    found = inspect_map(workspace, request)
    version = _version(workspace, found)
    if label.strip():
        version = workspace.store.label("map", version.reference, label.strip())
    return version


def override_entry(
    workspace: "Workspace", request: MapRequest, token_id: int, controller_id: int, reason: str = ""
) -> Version:
    """Keep a map with one entry as a person chose it as a new version.

    The map it was made from is its parent; where that was built and is not kept yet, it is kept.

    Args:
        workspace: whose store keeps it.
        request: of the map to change.
        token_id: of the target.
        controller_id: what it shall mean; -1 for no controller token.
        reason: why, as the person puts it; told with the version.

    Raises:
        StoreError: maps are not kept here.
        DataError: an id is out of range, the entry is so already, or the transfer is `cover`.
    """
    _check_may_keep(workspace)
    found = inspect_map(workspace, request)
    changed = found.map.overridden(token_id, controller_id)
    mine = found.pair.controller_names[controller_id] if controller_id >= 0 else "nothing"
    what = f"{found.pair.target_names[token_id]} means {mine}"
    if found.map.ids[token_id] == controller_id:
        raise DataError(f"{what} already", hint="Choose another controller token.")
    parent = _version(workspace, found)
    told = {
        "what": what, "token": token_id, "mapped_to": controller_id,
        "mapped_before": int(found.map.ids[token_id]), "reason": reason.strip()[:LONGEST_REASON],
    }  # fmt: skip
    return keep_map(
        workspace.store, parent.name, changed, parent=parent.number,
        provenance=_origin(found) | told,
    )  # fmt: skip


def import_map(workspace: "Workspace", request: MapRequest, path: Path) -> Version:
    """Keep a map that was exported, or the published one, as a version.

    Raises:
        StoreError: maps are not kept here.
        DataError, VocabMismatch: the file is no map of this pair.
    """
    _check_may_keep(workspace)
    found = inspect_map(workspace, request)
    vocab_map = read_map(path, found.controller, found.target)
    how = {"transfer": vocab_map.transfer, "parity": vocab_map.parity}
    provenance = _origin(found) | how | {"what": f"imported from {path.name}"}
    return keep_map(workspace.store, _name(workspace, found), vocab_map, provenance=provenance)


def label_map(workspace: "Workspace", reference: str, label: str) -> Version:
    """Let a label name a version; raises StoreError where that is not possible or not allowed."""
    _check_may_keep(workspace)
    return workspace.store.label("map", reference, label.strip())


def rollback_map(workspace: "Workspace", name: str, label: str) -> Version:
    """Move a label back to what it named before; raises StoreError where it named nothing."""
    _check_may_keep(workspace)
    return workspace.store.rollback("map", name, label.strip())


def write_map(found: InspectedMap, file_format: str, folder: Path) -> Path:
    """Write a map into a folder in one of `FORMATS`; return the file."""
    checked_choice("format", file_format, FORMATS)
    path = folder / f"{pair_name(found.request)}.{file_format}"
    map_files.write_map(path, found.map, found.controller, found.target)
    return path


def pair_name(request: MapRequest) -> str:
    """Return what the versions of a pair are called, such as `instruct to byte`."""
    plain = (
        re.sub(r"[^A-Za-z0-9_.-]+", "-", _last_part(side)).strip(".-")
        for side in (request.controller, request.target)
    )
    return " to ".join(side[:26].strip(".-") or "model" for side in plain)


def _version(workspace: "Workspace", found: InspectedMap) -> Version:
    """Return the version that a map is; keep it first if it is none yet."""
    saved = found.request.saved
    if saved and not Path(saved).is_file():
        return workspace.store.find("map", saved)
    how = "as published" if found.map.parity else f"by {found.map.transfer}"
    what = f"read from {Path(saved).name}" if saved else f"built {how}"
    provenance = _origin(found) | {"what": what}
    return keep_map(workspace.store, _name(workspace, found), found.map, provenance=provenance)


def _name(workspace: "Workspace", found: InspectedMap) -> str:
    """Return a name whose versions are all of one pair; folders may be called alike."""
    name = pair_name(found.request)
    of_pair = {version.name for version in versions_of(workspace, found)}
    if name in of_pair or name not in workspace.store.names("map"):
        return name
    both = found.controller.fingerprint + found.target.fingerprint
    return f"{name} {hashlib.sha256(both.encode()).hexdigest()[:6]}"


def _origin(found: InspectedMap) -> dict[str, Any]:
    pair = {"controller": found.request.controller, "target": found.request.target}
    return pair | {"transfer": found.map.transfer, "parity": found.map.parity}


def _last_part(name: str) -> str:
    """Return the part of a name that tells most: `byte` of `lab:byte`, the end of a path."""
    return re.split(r"[/:\\]", name.rstrip("/\\"))[-1]


def _check_may_keep(workspace: "Workspace") -> None:
    if not may_keep(workspace):
        raise StoreError(
            "versions of maps are not kept on this public Space",
            hint="Run the app on your own machine, or duplicate the Space "
            "and set ALLOW_PUBLIC_TRAINING=1.",
        )
