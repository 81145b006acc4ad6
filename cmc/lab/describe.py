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
        DataError: there is no lab.
    """
    folder = lab_folder()
    try:
        described = json.loads((folder / "lab.json").read_text("utf-8"))
    except OSError:
        raise DataError(
            f"there is no starter lab in {folder}",
            hint="Make it with `python -m cmc lab build` (about an hour on two cores).",
        ) from None
    damaged = damaged_files(folder)
    controllers = sorted(path.parent.name for path in folder.glob("controllers/*/controller.json"))
    size = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    about = {"controllers": [f"lab:{name}" for name in controllers], "bytes": size}
    return {**described, **about, "verified": not damaged, "damaged": damaged}


def damaged_files(folder: Path) -> list[str]:
    """Return the files that are missing or differ from the manifest."""
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    return [name for name, digest in manifest.items() if _digest(folder / name) != digest]


def _digest(path: Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.is_file() else None
