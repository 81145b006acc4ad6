"""`versions …`: list, show, compare, label, roll back, keep, export, publish what is kept."""

import argparse
import os
import time
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request
from cmc.commands.options import add_command
from cmc.settings import PublishRequest

KINDS = ("controller", "map", "report")


def add_versions(commands: Any) -> None:
    """Add the commands of the store."""
    group = commands.add_parser("versions", help="the store").add_subparsers(required=True)
    listing = add_command(group, "list", "what is kept, newest last", _list, _show_list)
    listing.add_argument("name", nargs="?", default="")
    listing.add_argument("--kind", choices=KINDS)
    _add(group, "show", "one version, verified", _show, _show_version, ["reference"])
    _add(group, "diff", "what two versions differ in", _diff, _show_diff, ["before", "after"])
    _add(
        group, "label", "let a label name a version", _label, _show_version, ["reference", "label"]
    )
    _add(
        group, "rollback", "move a label back to what it named before", _rollback, _show_version,
        ["reference"],
    )  # fmt: skip
    keep = _add(group, "save", "keep a folder as a version", _save, _show_version, ["name"])
    keep.add_argument("folder")
    export = _add(group, "export", "copy a version's files", _export, _show_version, ["reference"])
    export.add_argument("--out", required=True, help="a folder that is not there yet")
    about = "upload a controller to the Hub with your own token"
    publish = add_command(group, "publish", about, _publish, _show_published)
    publish.add_argument("reference", help="NAME, NAME@NUMBER or NAME@LABEL")
    add_fields(publish, PublishRequest)
    publish.add_argument(
        "--token-variable", default="HF_TOKEN", metavar="NAME",
        help="environment variable with the token; without it, that of `hf auth login`",
    )  # fmt: skip


def _add(
    group: Any, name: str, about: str, run: Any, show: Any, names: list[str]
) -> argparse.ArgumentParser:
    parser = add_command(group, name, about, run, show)
    for each in names:
        is_reference = each in ("reference", "before", "after")
        parser.add_argument(each, help="NAME, NAME@NUMBER or NAME@LABEL" if is_reference else None)
    parser.add_argument("--kind", choices=KINDS, default=KINDS[0])
    return parser


def _list(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store import Store

    store = Store()
    found = []
    for kind in [parsed.kind] if parsed.kind else KINDS:
        for name in store.names(kind):
            if parsed.name in ("", name):
                found += [version.told() for version in store.versions(kind, name)]
    if parsed.name and not found:
        store.versions(parsed.kind or KINDS[0], parsed.name)
    return {"versions": found}


def _show(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store import Store

    return Store().open(parsed.kind, parsed.reference).told()


def _diff(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store import Store
    from cmc.store.diff import diff_folders

    sides = [Store().open(parsed.kind, each) for each in (parsed.before, parsed.after)]
    names = {"before": sides[0].reference, "after": sides[1].reference}
    return {**names, **diff_folders(*(each.content for each in sides))}


def _label(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store import Store

    return Store().label(parsed.kind, parsed.reference, parsed.label).told()


def _rollback(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store import Store

    name, _, label = parsed.reference.partition("@")
    return Store().rollback(parsed.kind, name, label).told()


def _save(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store import Store

    folder = Path(parsed.folder)
    provenance = {"folder": str(folder.resolve())}
    return Store().save(parsed.kind, parsed.name, folder, provenance=provenance).told()


def _export(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store import Store

    out = Path(parsed.out)
    return {**Store().export(parsed.kind, parsed.reference, out).told(), "folder": str(out)}


def _publish(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store import Store
    from cmc.store.publish import publish_version

    request = filled_request(PublishRequest, parsed)
    token = os.environ.get(parsed.token_variable, "")
    address = publish_version(Store(), parsed.reference, request, token=token)
    return {"address": address, "version": Store().find("controller", parsed.reference).reference}


def _show_published(result: dict[str, Any]) -> None:
    print(f"{result['version']} is at {result['address']}")


def _show_list(result: dict[str, Any]) -> None:
    for version in result["versions"]:
        print(_line(version))
    if not result["versions"]:
        print("nothing is kept yet")


def _show_version(version: dict[str, Any]) -> None:
    print(_line(version))
    for name, value in version["provenance"].items():
        print(f"  {name}: {value}")
    print(f"  {len(version['files'])} files in {version['folder']}, all as written")


def _show_diff(result: dict[str, Any]) -> None:
    print(f"{result['before']} to {result['after']}")
    for what, names in result["files"].items():
        for name in names:
            print(f"  {what:8} {name}")
    for file, differing in result["settings"].items():
        for key, (old, new) in differing.items():
            print(f"  {file} {key}: {old} -> {new}")
    for file, tensors in result["tensors"].items():
        changed = sum(each["changed"] for each in tensors.values())
        print(f"  {file}: {changed:,} numbers in {len(tensors)} tensors differ")


def _line(version: dict[str, Any]) -> str:
    made = time.strftime("%Y-%m-%d %H:%M", time.localtime(version["made"]))
    parent = f" from @{version['parent']}" if version["parent"] else ""
    labels = f"  [{', '.join(version['labels'])}]" if version["labels"] else ""
    state = "" if version["files"] else "  damaged"
    reference = f"{version['name']}@{version['number']}"
    return f"{version['kind']:10} {reference:24} {made}{parent}{labels}{state}"
