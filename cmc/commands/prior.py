"""`prior`: pre-train a small language model on plain text, to start controllers from."""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request
from cmc.commands.options import add_command, tell
from cmc.errors import RunError
from cmc.settings import PriorSettings, absolute, home


def add_prior(commands: Any) -> None:
    """Add `prior`."""
    about = "pre-train a small language model in a template's vocabulary"
    prior = add_command(commands, "prior", about, _prior, _show)
    add_fields(prior, PriorSettings)
    prior.add_argument("--resume", metavar="NAME", default="", help="go on with one, by name")
    prior.add_argument("--out", default="", help="also copy the model to this new folder")


def _prior(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.runs.folders import SAFE_NAME
    from cmc.training.folder import SETTINGS, read_json
    from cmc.training.prior import MODEL, pretrain_prior

    name = parsed.resume or parsed.name
    if not SAFE_NAME.fullmatch(name) or name.startswith("."):
        raise RunError(
            f'"{name[:80]}" is no name for a prior',
            hint="Use 1 to 64 letters, digits, spaces, dots, dashes or underscores.",
        )
    folder = home() / "priors" / name
    if parsed.out and Path(parsed.out).exists():
        raise RunError(f"{parsed.out} is there already", hint="Name a folder that is not there.")
    if parsed.resume:
        stored = read_json(folder / SETTINGS)
        if not stored:
            raise RunError(f'there is no prior "{name}"', hint="Start it without --resume.")
        settings = PriorSettings(**stored | {"data": tuple(stored["data"])})
    else:
        settings = filled_request(PriorSettings, parsed)
    record = None
    for record in pretrain_prior(_with_absolute_paths(settings), folder):
        if record.held_out is not None:
            tell(f"step {record.step} of {record.steps}: loss {record.loss:.3f}, "
                 f"held-out {record.held_out:.3f}")  # fmt: skip
    if parsed.out:
        shutil.copytree(folder / MODEL, parsed.out)
    return {
        "prior": parsed.out or str(folder / MODEL),
        "step": record.step if record else settings.max_steps,
        "steps": settings.max_steps,
        "loss_last": record.loss if record else None,
        "held_out": record.held_out if record else None,
    }


def _with_absolute_paths(settings: PriorSettings) -> PriorSettings:
    data = tuple(absolute(each) for each in settings.data)
    return replace(settings, template=absolute(settings.template), data=data)


def _show(result: dict[str, Any]) -> None:
    print(f"step {result['step']:,} of {result['steps']:,}: {result['prior']}")
    print(f"start a controller from it: python -m cmc train --init {result['prior']} …")
