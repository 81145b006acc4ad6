"""`map`: build and measure a vocab map."""

import argparse
import time
from typing import Any

from cmc.arguments import add_fields, filled_request, make_room
from cmc.commands.options import add_command
from cmc.settings import MapRequest


def add_map(commands: Any) -> None:
    """Add `map`."""
    inspect = add_command(commands, "map", "build and measure a vocab map", _map, _show_map)
    add_fields(inspect, MapRequest)


def _map(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.models import load_vocabulary
    from cmc.store import place_of
    from cmc.vocab import inspected_map, map_summary

    request = filled_request(MapRequest, parsed)
    make_room(request.out)
    controller = load_vocabulary(place_of(request.controller))
    target = load_vocabulary(request.target)
    started = time.perf_counter()
    vocab_map = inspected_map(controller, target, request.transfer, parity=request.parity)
    seconds = time.perf_counter() - started
    if request.out:
        vocab_map.save(request.out)
    summary = map_summary(vocab_map, controller, target)
    names = {"controller": request.controller, "target": request.target}
    return {**names, **summary, "seconds": round(seconds, 4), "out": request.out or None}


def _show_map(result: dict[str, Any]) -> None:
    print(f"{result['controller']} to {result['target']} by {result['transfer']}")
    for kind, count in result["ids"].items():
        print(f"  {kind:10} {count:>9,} tokens  {100 * result['mass'][kind]:5.1f} % of the text")
    print(f"grade {result['grade']}: {result['advice']}")
    print(f"built in {result['seconds']:.3f} s" + (f", {result['out']}" if result["out"] else ""))
