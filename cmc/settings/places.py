"""Where runs and the starter lab are kept."""

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
