"""`data`: what a training would learn from, before it starts."""

import argparse
from dataclasses import fields
from typing import Any

from cmc.arguments import add_fields, filled_request
from cmc.commands.options import add_command
from cmc.settings import TrainSettings

TAKEN = (
    "template", "objective", "retain", "refusals", "columns", "prompt_format", "max_length",
    "limit", "held_out_fraction", "seed",
)  # fmt: skip


def add_data(commands: Any) -> None:
    """Add `data`."""
    data = add_command(commands, "data", "show what a training would learn from", _data, show_data)
    data.add_argument("data", metavar="DATA", help="file, folder, Hub id or lab name")
    others = [each.name for each in fields(TrainSettings) if each.name not in TAKEN]
    add_fields(data, TrainSettings, but=others)
    data.add_argument("--rows", type=int, default=3, help="records to show of each part")


def _data(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.training.preview import preview_data

    return preview_data(filled_request(TrainSettings, parsed), parsed.rows).as_plain()


def show_data(preview: dict[str, Any]) -> None:
    """Print columns, rows, lengths, repeats and warnings."""
    for source in preview["sources"]:
        columns = ", ".join(f"{field}={column}" for field, column in source["columns"].items())
        unused = f"; not used: {', '.join(source['unused'])}" if source["unused"] else ""
        print(f"{source['name']}: {source['records']:,} records; {columns}{unused}")
    parts = ", ".join(f"{number:,} {part}" for part, number in preview["parts"].items())
    print(f"split: {parts}\nprompt: {preview['prompt']!r}")
    for row in preview["rows"]:
        print(f"--- {row['part']}, {row['tokens']} tokens\n{row['prompt']}[{row['response']}]")
    lengths = preview["lengths"]
    middle = _quantile(lengths, 0.5), _quantile(lengths, 0.95), max(lengths)
    print("---\ntokens: median {:,}, 95 % {:,}, longest {:,}".format(*middle), end="; ")
    print(f"limit {preview['limit']:,}: {preview['cut']:,} cut, {preview['skipped']:,} skipped")
    print(f"repeats: {preview['repeated']:,} to the letter, {preview['near']:,} nearly", end="")
    print(f" (of {preview['measured']:,} records)")
    for warning in preview["warnings"]:
        print(f"warning: {warning}")


def _quantile(counts: dict[int, int], share: float) -> int:
    """Return the smallest length that `share` of all records do not exceed."""
    wanted, seen = share * sum(counts.values()), 0
    for length, count in sorted(counts.items()):
        seen += count
        if seen >= wanted:
            return length
    return 0
