"""The same actions from the command line."""

import argparse
import json
import os
import sys
from collections.abc import Sequence

from safetensors import SafetensorError

from cmc.arguments import file_error
from cmc.commands.data import add_data
from cmc.commands.evaluate import add_evaluate
from cmc.commands.generate import add_generate
from cmc.commands.lab import add_lab
from cmc.commands.map import add_map
from cmc.commands.maps import add_maps
from cmc.commands.prior import add_prior
from cmc.commands.space import add_space
from cmc.commands.train import add_train
from cmc.commands.versions import add_versions
from cmc.errors import CmcError


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command; return 0, or 1 after a clear error (2 for wrong usage)."""
    parsed = _parser().parse_args(arguments)
    # Loading bars of a few milliseconds would hide what a person wants to read.
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    try:
        result = parsed.run(parsed)
    except CmcError as error:
        print(f"error: {error.sentence()}", file=sys.stderr)
        return 1
    except (OSError, SafetensorError) as error:
        print(f"error: {file_error(error).sentence()}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        return 1
    if parsed.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        parsed.show(result)
    is_failure = getattr(parsed, "is_failure", None)
    return int(bool(is_failure and is_failure(result)))


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m cmc", description="Train one tiny controller, steer many language models."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for add in (
        add_lab,
        add_data,
        add_prior,
        add_train,
        add_map,
        add_maps,
        add_generate,
        add_evaluate,
        add_versions,
        add_space,
    ):
        add(commands)
    return parser


if __name__ == "__main__":
    sys.exit(main())
