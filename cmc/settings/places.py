"""Where runs and the starter lab are kept, and what a name says of a place."""

import os
from pathlib import Path


def home() -> Path:
    """Return the folder for runs: `CMC_HOME`, else `/data/cmc` on a Space, else the cache."""
    if os.environ.get("CMC_HOME"):
        return Path(os.environ["CMC_HOME"])
    if os.environ.get("SPACE_ID") and os.access("/data", os.W_OK):
        return Path("/data/cmc")
    return Path.home() / ".cache" / "cmc"


def lab_folder() -> Path:
    """Return the folder of the starter lab: `CMC_LAB`, else the one that comes with the code."""
    if os.environ.get("CMC_LAB"):
        return Path(os.environ["CMC_LAB"])
    return Path(__file__).resolve().parents[2] / "assets" / "lab"


def lab_targets() -> tuple[str, ...]:
    """Return the names of the starter lab's targets."""
    folders = (lab_folder() / "models").glob("*/config.json")
    names = sorted(path.parent.name for path in folders)
    return tuple(f"lab:{name}" for name in names if name not in ("template", "prior"))


def absolute(name: str) -> str:
    """Return the absolute path of what is there as a file or folder; other names as they are."""
    if not name or name.startswith("lab:"):
        return name
    try:
        path = Path(name).expanduser()
        return str(path.resolve()) if path.exists() else name
    except (OSError, RuntimeError):  # longer than a file system takes; nobody's home folder
        return name


def public_name(name: str) -> str:
    """Return a name as it may be published: of a path only its last part."""
    return Path(name).name if Path(name).is_absolute() else name
