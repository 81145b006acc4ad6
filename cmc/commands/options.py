"""What every command has: its parser, `--json`, a line of progress."""

import argparse
import sys
from collections.abc import Callable
from typing import Any


def add_command(
    group: Any, name: str, about: str, run: Callable[..., Any], show: Callable[[Any], None]
) -> argparse.ArgumentParser:
    """Add one command with `--json`, its work and how its result is shown."""
    parser = group.add_parser(name, help=about, description=about)
    parser.add_argument("--json", action="store_true", help="print one JSON object, nothing else")
    parser.set_defaults(run=run, show=show)
    return parser


def tell(message: str) -> None:
    """Print a line of progress where it disturbs no JSON."""
    print(message, file=sys.stderr, flush=True)
