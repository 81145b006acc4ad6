"""`map`: build and measure a vocab map."""

import argparse
import time
from pathlib import Path
from typing import Any

from cmc.arguments import add_fields, filled_request, make_room
from cmc.commands.options import add_command
from cmc.errors import DataError
from cmc.settings import MapRequest

LARGEST_TEXT = 4 << 20  # bytes
SHOWN = ("exact", "prefix", "composed", "none", "agreement")


def add_map(commands: Any) -> None:
    """Add `map`."""
    inspect = add_command(commands, "map", "build and measure a vocab map", _map, _show_map)
    add_fields(inspect, MapRequest, but=("out",))
    inspect.add_argument(
        "--out", default="", help="file to write: .csv, .json, or else safetensors"
    )
    inspect.add_argument("--text", default="", help="file with the text to measure the map on")


def _map(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.models import load_vocabulary
    from cmc.store import Store, place_of
    from cmc.store.maps import load_map
    from cmc.vocab import inspected_map, map_summary
    from cmc.vocab.map_files import write_map

    request = filled_request(MapRequest, parsed)
    make_room(request.out)
    text = _text(parsed.text)
    controller = load_vocabulary(place_of(request.controller))
    target = load_vocabulary(request.target)
    started = time.perf_counter()
    if request.saved:
        vocab_map = load_map(request.saved, controller, target, Store())
    else:
        vocab_map = inspected_map(controller, target, request.transfer, parity=request.parity)
    seconds = time.perf_counter() - started
    if request.out:
        write_map(Path(request.out), vocab_map, controller, target)
    summary = map_summary(vocab_map, controller, target, text)
    names = {"controller": request.controller, "target": request.target}
    return {
        **names,
        "text": parsed.text or None,
        **summary,
        "seconds": round(seconds, 4),
        "out": request.out or None,
    }


def _text(name: str) -> str:
    """Return the text of a file; "" where none is named.

    Raises:
        DataError: it cannot be read, is empty, or is larger than what is measured at once.
    """
    if not name:
        return ""
    try:
        with Path(name).open("rb") as file:
            data = file.read(LARGEST_TEXT + 1)
        text = data.decode("utf-8") if len(data) <= LARGEST_TEXT else ""
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "it is not UTF-8"
        raise DataError(
            f"{name} cannot be read ({reason})", hint="Give a text file in UTF-8."
        ) from error
    if not text.strip():
        what = f"is larger than {LARGEST_TEXT >> 20} MB" if len(data) > LARGEST_TEXT else "is empty"
        raise DataError(f"{name} {what}", hint="Give a text of a few pages.")
    return text


def _show_map(result: dict[str, Any]) -> None:
    print(f"{result['controller']} to {result['target']} by {result['transfer']}")
    place = result["text"] or "the English sample"
    for kind, count in result["ids"].items():
        print(f"  {kind:10} {count:>9,} tokens  {100 * result['mass'][kind]:5.1f} % of {place}")
    print(f"grade {result['grade']} ({result['score']:.2f}): {result['advice']}")
    rows = {f"{row['script']} of the text": row for row in result["scripts"]}
    rows |= {row["language"]: row for row in result["languages"]}
    width = max(map(len, rows))
    for name, row in rows.items():
        parts = "  ".join(f"{kind} {100 * row[kind]:5.1f} %" for kind in SHOWN)
        path = f"{row['path_length']:.2f} controller tokens per token"
        print(f"  {name:{width}}  {row['grade']}  {parts}  {path}")
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
    print(
        f"built or read in {result['seconds']:.3f} s"
        + (f", {result['out']}" if result["out"] else "")
    )


def _roles(result: dict[str, Any]) -> list[tuple[str, dict[str, int]]]:
    return [(role, counts) for role, counts in result["roles"].items() if any(counts.values())]


def _pair(counts: dict[str, int]) -> str:
    return f"{counts['controller']}/{counts['target']}"
