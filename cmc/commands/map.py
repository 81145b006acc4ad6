"""`map`: build and measure a vocab map."""

import argparse
import time
from typing import Any

from cmc.arguments import add_fields, filled_request, make_room
from cmc.commands.options import add_command
from cmc.settings import MapRequest

SHOWN = ("exact", "prefix", "composed", "none", "agreement")


def add_map(commands: Any) -> None:
    """Add `map`."""
    inspect = add_command(commands, "map", "build and measure a vocab map", _map, _show_map)
    add_fields(inspect, MapRequest)


def _map(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.models import load_vocabulary
    from cmc.store import Store, place_of
    from cmc.store.maps import load_map
    from cmc.vocab import inspected_map, map_summary

    request = filled_request(MapRequest, parsed)
    make_room(request.out)
    controller = load_vocabulary(place_of(request.controller))
    target = load_vocabulary(request.target)
    started = time.perf_counter()
    if request.saved:
        vocab_map = load_map(request.saved, controller, target, Store())
    else:
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
    print(f"grade {result['grade']} ({result['score']:.2f}): {result['advice']}")
    for row in result["languages"]:
        parts = "  ".join(f"{name} {100 * row[name]:5.1f} %" for name in SHOWN)
        path = f"{row['path_length']:.2f} controller tokens per token"
        print(f"  {row['language']:11} {row['grade']}  {parts}  {path}")
    busiest = result["fan_in"]["largest"][:1]
    if busiest:
        shared = 100 * result["fan_in"]["shared"]
        print(f"fan-in: {shared:.1f} % share a token, one serves {busiest[0]['count']:,}")
    told = ", ".join(f"{role} {n['controller']}/{n['target']}" for role, n in _roles(result))
    print(f"roles (controller/target): {told}; unused ids {_pair(result['unused'])}")
    for side, losses in result["losses"].items():
        if losses["lossy"]:
            print(f"the {side} loses {' '.join(map(repr, losses['unspelled']))}")
        if losses["rewritten"]:
            pairs = [f"{one!r} → {other!r}" for one, other in losses["rewritten"].items()]
            print(f"the {side}'s tokenizer rewrites {', '.join(pairs)}")
    print(f"built in {result['seconds']:.3f} s" + (f", {result['out']}" if result["out"] else ""))


def _roles(result: dict[str, Any]) -> list[tuple[str, dict[str, int]]]:
    return [(role, counts) for role, counts in result["roles"].items() if any(counts.values())]


def _pair(counts: dict[str, int]) -> str:
    return f"{counts['controller']}/{counts['target']}"
