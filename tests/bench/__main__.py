"""`python -m tests.bench NAME [--json]`: measure, and say on what machine."""

import argparse
import json
import os
import platform
import sys
from importlib import import_module
from importlib.metadata import version
from typing import Any

from tests.bench.row import Measurement

NAMES = ("map", "health", "check", "decode", "scoring", "quality", "training", "kills", "start")


def main() -> int:
    """Run one benchmark, print a Markdown table or one JSON object."""
    parser = argparse.ArgumentParser(prog="python -m tests.bench", description=__doc__)
    parser.add_argument("name", choices=[name for name in NAMES if _is_there(name)])
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parsed = parser.parse_args()
    rows = list(import_module(f"tests.bench.{parsed.name}").measure())
    if parsed.json:
        plain = [row.plain() for row in rows]
        print(json.dumps({"benchmark": parsed.name, "machine": machine(), "rows": plain}))
    else:
        print(table(rows))
        told = ", ".join(f"{name} {value}" for name, value in machine().items())
        print(f"\n{told}")
    return 0


def machine() -> dict[str, Any]:
    """Return what the figures depend on: processor, cores, load, versions."""
    return {
        "machine": platform.machine(),
        "cores": os.cpu_count(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        **{name: version(name) for name in ("torch", "transformers", "tokenizers")},
    }


def table(rows: list[Measurement]) -> str:
    """Return the rows as the Markdown table that stands in README."""
    lines = ["| what | measured | limit | target | met |", "|---|---|---|---|---|"]
    for row in rows:
        sign = "≤" if row.is_lower_better else "≥"
        target = "" if row.target is None else f"{sign} {row.target:g}"
        limit = "" if row.limit is None else f"{row.limit:.3g}"
        met = {True: "yes", False: "no", None: ""}[row.ok]
        value = row.note if row.value is None else f"{row.value:.3g} {row.unit}".strip()
        if row.value is not None and row.note:
            value += f" ({row.note})"
        lines.append(f"| {row.name} | {value} | {limit} | {target} | {met} |")
    return "\n".join(lines)


def _is_there(name: str) -> bool:
    from importlib.util import find_spec

    return find_spec(f"tests.bench.{name}") is not None


if __name__ == "__main__":
    sys.exit(main())
