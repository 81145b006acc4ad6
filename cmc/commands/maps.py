"""`maps …`: keep, change, compare, import and look through vocab maps."""

import argparse
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request
from cmc.commands.options import add_command
from cmc.errors import SettingError
from cmc.settings import MapRequest
from cmc.settings.vocabulary import EntryQuery

PARITY = "parity"  # what a side of a comparison may be besides a transfer and a kept map
SHOWN = 20


def add_maps(commands: Any) -> None:
    """Add the commands that work on vocab maps."""
    group = commands.add_parser("maps", help="keep, change, compare and import vocab maps")
    group = group.add_subparsers(required=True)
    keep = add_command(group, "keep", "keep a map as a version", _keep, _show_kept)
    keep.add_argument("--label", default="", help="a name for the version that may move")
    change = add_command(
        group, "override", "let a token mean another one, as a new version", _override, _show_kept
    )
    change.add_argument("token", type=int, help="id of the target's token")
    change.add_argument("means", type=int, help="id of the controller's token, -1 for none")
    change.add_argument("--reason", default="", help="why; told with the version")
    bring = add_command(group, "import", "keep a map from a file as a version", _import, _show_kept)
    bring.add_argument("file", help="safetensors or JSON of an export, or the published JSON")
    entries = add_command(group, "entries", "the entries of a map", _entries, _show_entries)
    add_fields(entries, EntryQuery)
    _add_limit(entries)
    for command in (keep, change, bring, entries):
        add_fields(command, MapRequest, but=("out",))
    compare = add_command(group, "diff", "what two maps of a pair differ in", _diff, _show_diff)
    about = f"a transfer, {PARITY}, a file, or NAME@VERSION of the store"
    compare.add_argument("before", help=about)
    compare.add_argument("after", help=about)
    add_fields(compare, MapRequest, but=("out", "transfer", "parity", "saved"))
    _add_limit(compare)


def _add_limit(command: argparse.ArgumentParser) -> None:
    command.add_argument("--limit", type=int, default=SHOWN, help=f"entries told, default: {SHOWN}")


def _keep(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.workspace import Workspace
    from cmc.workspace.map_versions import keep_inspected

    request = filled_request(MapRequest, parsed)
    return keep_inspected(Workspace(), request, parsed.label).told()


def _override(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.workspace import Workspace
    from cmc.workspace.map_versions import override_entry

    request = filled_request(MapRequest, parsed)
    entry = parsed.token, parsed.means
    return override_entry(Workspace(), request, *entry, parsed.reason).told()


def _import(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.workspace import Workspace
    from cmc.workspace.map_versions import import_map

    request = filled_request(MapRequest, parsed)
    return import_map(Workspace(), request, Path(parsed.file)).told()


def _entries(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.workspace import Workspace
    from cmc.workspace.maps import find_entries, inspect_map

    limit = _checked_limit(parsed.limit)
    found = inspect_map(Workspace(), filled_request(MapRequest, parsed))
    ids = find_entries(found, filled_request(EntryQuery, parsed))
    told = [_entry(found, token) for token in ids[:limit].tolist()]
    return {**_pair(parsed), "transfer": found.map.transfer, "found": len(ids), "entries": told}


def _diff(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.workspace import Workspace
    from cmc.workspace.maps import compare_maps

    limit = _checked_limit(parsed.limit)
    sides = [_side(parsed, name) for name in (parsed.before, parsed.after)]
    compared = compare_maps(Workspace(), *sides)
    result = {**_pair(parsed), "before": parsed.before, "after": parsed.after}
    for what in ("gained", "lost", "changed"):
        ids = getattr(compared.diff, what).tolist()
        result[what] = len(ids)
        result[f"{what}_entries"] = [
            {"before": _entry(compared.before, each), "after": _entry(compared.after, each)}
            for each in ids[:limit]
        ]
    return result


def _side(parsed: argparse.Namespace, name: str) -> MapRequest:
    from cmc.settings.limits import TRANSFERS

    pair = {"controller": parsed.controller, "target": parsed.target}
    if name == PARITY:
        return MapRequest(**pair, parity=True)
    return MapRequest(**pair, **{"transfer" if name in TRANSFERS else "saved": name})


def _entry(found: Any, token_id: int) -> dict[str, Any]:

    return {
        "id": token_id,
        "token": found.pair.target_names[token_id],
        "kind": found.map.kind_of(token_id).word,
        "controller_id": int(found.map.ids[token_id]),
        "controller_token": found.mapped_name(token_id),
    }


def _pair(parsed: argparse.Namespace) -> dict[str, str]:
    return {"controller": parsed.controller, "target": parsed.target}


def _checked_limit(limit: int) -> int:
    if limit < 0:
        raise SettingError(f"limit is {limit}, must be at least 0", hint="Ask for some entries.")
    return limit


def _show_kept(version: dict[str, Any]) -> None:
    labels = f"  [{', '.join(version['labels'])}]" if version["labels"] else ""
    told = version["provenance"].get("what", "")
    print(f"{version['name']}@{version['number']}{labels}  {told}")


def _show_entries(result: dict[str, Any]) -> None:
    for entry in result["entries"]:
        print(_line(entry))
    print(f"{len(result['entries'])} of {result['found']:,} entries")


def _show_diff(result: dict[str, Any]) -> None:
    print(f"{result['before']} to {result['after']}")
    for what in ("gained", "lost", "changed"):
        print(f"{result[what]:,} entries {what}")
        for entry in result[f"{what}_entries"]:
            print(f"{_line(entry['before'])}  ->  {_meaning(entry['after'])}")


def _line(entry: dict[str, Any]) -> str:
    return f"  {entry['id']:>7}  {entry['token']:20}  {_meaning(entry)}"


def _meaning(entry: dict[str, Any]) -> str:
    if entry["controller_id"] < 0:
        return "nothing"
    return f"{entry['controller_token']} ({entry['controller_id']}, {entry['kind']})"
