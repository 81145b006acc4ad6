"""What is in the starter lab, and whether it is as it was made."""

import hashlib
import json
from pathlib import Path
from typing import Any

from cmc.errors import DataError
from cmc.settings import lab_folder


def lab_info() -> dict[str, Any]:
    """Return what `lab info --json` prints.

    Returns:
        `template`, `targets`: name, architecture, tokenizer, parameters, recall, base_score and
        finetuned_score each; `controllers`: their names; `bytes`: size on disk; `verified`:
        whether every file is as the manifest says; `damaged`: those that are not.

    Raises:
        DataError: there is no lab, it is half built, or one of its descriptions is damaged.
    """
    folder = lab_folder()
    described = lab_description()
    damaged = damaged_files(folder)
    controllers = sorted(path.parent.name for path in folder.glob("controllers/*/controller.json"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    about = {"controllers": [f"lab:{name}" for name in controllers], "bytes": size}
    return {**described, **about, "verified": not damaged, "damaged": damaged}


def lab_description() -> dict[str, Any]:
    """Return what `lab.json` says of the template and the targets.

    Raises:
        DataError: there is no lab, it is half built, or the file is damaged.
    """
    path = lab_folder() / "lab.json"
    described = read_description(path)
    models = [described.get("template"), *_list(described.get("targets"))]
    if len(models) < 2 or not all(isinstance(each, dict) and "name" in each for each in models):
        raise _damaged(path)
    return described


def read_description(path: Path) -> dict[str, Any]:
    """Return a JSON object of the lab: `lab.json`, `manifest.json` or `report.json`.

    Raises:
        DataError: it is missing or damaged; the hint says how to make it again.
    """
    try:
        read = json.loads(path.read_text("utf-8"))
    except FileNotFoundError:
        raise _missing(path) from None
    except (OSError, ValueError) as error:
        raise _damaged(path) from error
    if not isinstance(read, dict):
        raise _damaged(path)
    return read


def damaged_files(folder: Path) -> list[str]:
    """Return the files that are missing or differ from the manifest.

    Raises:
        DataError: the manifest itself is missing or damaged.
    """
    manifest = read_description(folder / "manifest.json")
    return [name for name, digest in manifest.items() if _digest(folder / name) != digest]


def _missing(path: Path) -> DataError:
    folder = path.parent
    if folder.is_dir() and any(folder.iterdir()):
        hint = "Go on with `python -m cmc lab build`; what is finished is kept."
        return DataError(
            f"the starter lab in {folder} is half built: {path.name} is missing", hint=hint
        )
    return DataError(
        f"there is no starter lab in {folder}",
        hint="Make it with `python -m cmc lab build` (about an hour on two cores).",
    )


def _damaged(path: Path) -> DataError:
    return DataError(
        f"the file {path.name} of the starter lab in {path.parent} is damaged",
        hint="Make it again with `python -m cmc lab build`; what is finished is kept.",
    )


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
