"""`generate`: controlled text beside the base's."""

import argparse
import time
from typing import Any

from cmc.arguments import add_fields, filled_request, named_strengths
from cmc.commands.options import add_command, tell
from cmc.settings import (
    STARTER_CONTROLLER,
    STARTER_TARGET,
    TRANSFERS,
    CoverSettings,
    GenerationRequest,
    Loading,
    Rails,
    Sampling,
)


def add_generate(commands: Any) -> None:
    """Add `generate`."""
    generate = add_command(commands, "generate", "controlled text", _generate, _show_generated)
    generate.add_argument("prompts", nargs="+", metavar="PROMPT")
    generate.add_argument("--target", default=STARTER_TARGET)
    generate.add_argument(
        "--controller", action="append", metavar="NAME[:STRENGTH]",
        help=f"give it several times to sum several; {STARTER_CONTROLLER} by default",
    )  # fmt: skip
    generate.add_argument("--strength", action="append", help="of each controller, in their order")
    generate.add_argument("--transfer", default="auto", choices=TRANSFERS)
    generate.add_argument(
        "--map", action="append", default=[], dest="maps", metavar="FILE or NAME@VERSION",
        help="vocab map to follow instead of building one; one for each vocabulary of controllers",
    )  # fmt: skip
    add_fields(generate, Sampling, CoverSettings, Rails, Loading)


def _generate(parsed: argparse.Namespace) -> dict[str, Any]:
    request = filled_request(
        GenerationRequest, parsed, prompts=tuple(parsed.prompts),
        controllers=named_strengths(parsed.controller, parsed.strength),
        sampling=filled_request(Sampling, parsed), cover=filled_request(CoverSettings, parsed),
        rails=filled_request(Rails, parsed), loading=filled_request(Loading, parsed),
    )  # fmt: skip
    from cmc.controller import load_controller
    from cmc.generation import ControlledModel
    from cmc.models import load_language_model
    from cmc.store import Store, place_of
    from cmc.store.maps import followed_maps

    controllers = [load_controller(place_of(name)) for name in request.controllers]
    target = load_language_model(request.target, loading=request.loading)
    mine = [each.vocabulary for each in controllers]
    followed = followed_maps(request.maps, mine, target.vocabulary, Store())
    how = {name: getattr(request, name) for name in ("transfer", "cover", "rails")}
    model = ControlledModel(target, controllers, **how, maps=[each for _, each in followed])
    strengths = tuple(request.controllers.values())
    outputs = []
    for prompt in request.prompts:
        started = time.perf_counter()
        rows = [model.row(prompt, each) for each in ((0.0,) * len(strengths), strengths)]
        base, controlled = model.generate(rows, request.sampling)
        if controlled.is_windowed:
            least = min(each.context for each in controllers)
            tell(
                f"note: the text is longer than the {least} tokens a controller can read; it saw "
                "only the end. Shorten the prompt to have all of it heeded."
            )
        outputs.append({
            "prompt": prompt, "base": base.text, "controlled": controlled.text,
            "strengths": dict(request.controllers), "tokens": len(controlled.token_ids),
            "seconds": round(time.perf_counter() - started, 3),
        })  # fmt: skip
    names = [name for name, _ in followed]
    common = {"target": request.target, "transfers": model.transfers, "maps": names}
    return common | {"outputs": outputs}


def _show_generated(result: dict[str, Any]) -> None:
    for output in result["outputs"]:
        print(f"prompt      {output['prompt']}")
        print(f"base        {output['base']}")
        print(f"controlled  {output['controlled']}\n")
