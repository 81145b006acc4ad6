"""`lab build`, `lab info`: make the starter lab, tell what is in it."""

import argparse
import time
from typing import Any

from cmc.commands.options import add_command, tell
from cmc.settings import checked_whole

MAX_WORKERS = 256


def add_lab(commands: Any) -> None:
    """Add `lab build` and `lab info`."""
    lab = commands.add_parser("lab", help="the starter lab").add_subparsers(required=True)
    build = add_command(lab, "build", "make the starter lab from seeds", _lab_build, show_lab)
    build.add_argument("--workers", default=2, help="models trained at once")
    add_command(lab, "info", "tell what is in the starter lab", _lab_info, show_lab)


def _lab_build(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.lab.build import build_lab

    started = time.perf_counter()
    for line in build_lab(checked_whole("workers", parsed.workers, 1, MAX_WORKERS)):
        tell(f"{time.perf_counter() - started:6.0f} s  {line}")
    return _lab_info(parsed)


def _lab_info(_: argparse.Namespace) -> dict[str, Any]:
    from cmc.lab.describe import lab_info

    return lab_info()


def show_lab(info: dict[str, Any]) -> None:
    """Print the lab, a line per model."""
    for model in (info["template"], *info["targets"]):
        print(
            f"{model['name']:14} {model['architecture']:9} {model['tokenizer']:14} "
            f"{model['parameters']:>9,} parameters  recall {model['recall']:.3f}  "
            f"in answers {model['recall_in_answers']:.3f}  alone {model['base_score']:.3f}  "
            f"fine-tuned {model['finetuned_score']:.3f}"
        )
    state = "all files as made" if info["verified"] else f"damaged: {', '.join(info['damaged'])}"
    print(f"{', '.join(info['controllers'])}; {info['bytes'] / 1e6:.1f} MB; {state}")
