"""`space deploy`: create or update the Space that runs the app."""

import argparse
import os
from typing import Any

from cmc.arguments import add_fields, filled_request
from cmc.commands.options import add_command
from cmc.settings import SpaceRequest


def add_space(commands: Any) -> None:
    """Add the command."""
    group = commands.add_parser("space", help="the Space on the Hub").add_subparsers(required=True)
    about = "create or update the Space from spaces_config with your own token"
    deploy = add_command(group, "deploy", about, _deploy, _show)
    add_fields(deploy, SpaceRequest)
    deploy.add_argument(
        "--token-variable", default="HF_TOKEN", metavar="NAME",
        help="environment variable with the token; without it, that of `hf auth login`",
    )  # fmt: skip


def _deploy(parsed: argparse.Namespace) -> dict[str, Any]:
    from cmc.store.space import deploy_space

    request = filled_request(SpaceRequest, parsed)
    return deploy_space(request, token=os.environ.get(parsed.token_variable, ""))


def _show(result: dict[str, Any]) -> None:
    megabytes = result["bytes"] / 1e6
    if result["dry_run"]:
        print(f"{result['repo']} would get {result['files']} files, {megabytes:.1f} MB")
    else:
        done = "is made" if result["created"] else "has the present files"
        print(f"{result['address']} {done}: {result['files']} files, {megabytes:.1f} MB")
    if result["dry_run"] or result["created"]:
        sleep = result["sleep_time"]
        rest = f", asleep after {sleep} seconds without a visitor" if sleep else ""
        print(f"  hardware: {result['hardware']}{rest}")
        for name, value in result["variables"].items():
            print(f"  variable {name}: {value}")
        for name in result["secrets"]:
            print(f"  secret {name}")
        for volume in result["volumes"]:
            print(f"  volume {volume}")
