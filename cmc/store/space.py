"""Create or update the Space that runs the app, as `spaces_config/space.yml` says."""

import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from huggingface_hub import HfApi, Volume

from cmc.errors import StoreError
from cmc.settings import SpaceRequest
from cmc.store.hub import hub_of, refusals_told

ROOT = Path(__file__).resolve().parents[2]  # of the repository, where app.py is
CONFIG = "spaces_config/space.yml"
CACHES = ("__pycache__", "*.pyc", ".*")


@dataclass(frozen=True)
class Plan:
    """What a deploy does.

    Attributes:
        files: where each uploaded file comes from, by its path in the Space.
        hardware: what the Space runs on.
        sleep_time: seconds without a visitor after which it sleeps, None where the Hub decides.
        variables: public.
        secrets: values by name; the names alone may be told.
        volumes: storage that outlives a restart.
    """

    files: dict[str, Path]
    hardware: str
    sleep_time: int | None
    variables: dict[str, str]
    secrets: dict[str, str]
    volumes: list[Volume]

    def told(self) -> dict[str, Any]:
        """Return it as a JSON object, without the value of any secret."""
        return {
            "files": len(self.files),
            "bytes": sum(path.stat().st_size for path in self.files.values()),
            "hardware": self.hardware,
            "sleep_time": self.sleep_time,
            "variables": self.variables,
            "secrets": sorted(self.secrets),
            "volumes": [f"{each.source} at {each.mount_path}" for each in self.volumes],
        }


def planned(request: SpaceRequest, root: Path = ROOT) -> Plan:
    """Return what deploying a repository would do; the network is not needed.

    Raises:
        StoreError: there is no whole repository at `root`.
    """
    config = root / CONFIG
    if not config.is_file() or not (root / "app.py").is_file():
        raise StoreError(
            f"there is no app with {CONFIG} in {root}",
            hint="Run the command from a clone of the repository.",
        )
    settings = yaml.safe_load(config.read_text("utf-8"))
    create, lent = settings["create"], settings["zerogpu"]
    hardware = request.hardware or create["space_hardware"]
    files = _files(root, settings["upload"])
    if hardware == lent["space_hardware"]:
        files["requirements.txt"] = root / lent["requirements"]
    unpaid = ("cpu-basic", lent["space_hardware"])
    owner = request.repo.partition("/")[0]
    volumes = settings["volumes"] if request.storage else []
    return Plan(
        files=files,
        hardware=hardware,
        sleep_time=create["space_sleep_time"] if hardware not in unpaid else None,
        # Without a volume there is no such place; the app then finds one itself.
        variables={name: value for name, value in create["space_variables"].items()
                   if request.storage or name != "CMC_HOME"},
        secrets=_secrets(request.secrets, settings["secrets"]["optional"]),
        volumes=[Volume(**each | {"source": each["source"].format(owner=owner)})
                 for each in volumes],
    )  # fmt: skip


def deploy_space(
    request: SpaceRequest, *, token: str = "", endpoint: str = "", root: Path = ROOT
) -> dict[str, Any]:
    """Create the Space, or give one that is there the present files; return what was done.

    A Space that is there keeps its settings, except for hardware that is asked for by name.

    Args:
        request: where to, and how.
        token: of the Hub; empty takes that of whoever signed in on this machine.
        endpoint: another Hub than the public one.
        root: of the repository.

    Raises:
        StoreError: the repository is not whole, or the Hub refused or was not reached. Neither
            the message nor what it came from holds the token or a secret.
    """
    plan = planned(request, root)
    told = {"repo": request.repo, "dry_run": request.dry_run, **plan.told()}
    if request.dry_run:
        return told
    api = hub_of(request.repo, token, endpoint)
    with refusals_told(request.repo):
        is_new = not api.repo_exists(request.repo, repo_type="space")
        if is_new:
            _create(api, request, plan)
        _upload(api, request.repo, plan)
        if request.hardware and not is_new:
            api.request_space_hardware(
                request.repo, plan.hardware, sleep_time=plan.sleep_time  # type: ignore[arg-type]
            )  # fmt: skip
    return told | {"created": is_new, "address": f"{api.endpoint}/spaces/{request.repo}"}


def _secrets(names: Sequence[str], known: Sequence[str]) -> dict[str, str]:
    for name in names:
        if name not in known:
            raise StoreError(
                f"{name[:40]} is no secret the app knows", hint=f"It knows {', '.join(known)}."
            )
        if not os.environ.get(name):
            raise StoreError(
                f"the secret {name} is not set", hint="Set it in the environment and try again."
            )
    return {name: os.environ[name] for name in names}


def _files(root: Path, names: list[str]) -> dict[str, Path]:
    found = {}
    for name in names:
        place = root / name
        if not place.exists():
            raise StoreError(f"{name} is missing in {root}", hint="Clone the repository again.")
        for path in sorted(place.rglob("*")) if place.is_dir() else [place]:
            inner = path.relative_to(root)
            if path.is_file() and not any(
                Path(part).match(cache) for part in inner.parts for cache in CACHES
            ):
                found[inner.as_posix()] = path
    return found


def _create(api: HfApi, request: SpaceRequest, plan: Plan) -> None:
    for volume in plan.volumes:
        api.create_bucket(volume.source, private=True, exist_ok=True)
    api.create_repo(
        request.repo, repo_type="space", private=request.private, space_sdk="gradio",
        space_hardware=plan.hardware, space_sleep_time=plan.sleep_time,  # type: ignore[arg-type]
        space_variables=_pairs(plan.variables), space_secrets=_pairs(plan.secrets),
        space_volumes=plan.volumes or None,
    )  # fmt: skip


def _pairs(values: dict[str, str]) -> list[dict[str, str]]:
    return [{"key": key, "value": value} for key, value in values.items()]


def _upload(api: HfApi, repo: str, plan: Plan) -> None:
    """Give a Space these files, and take away those that are none of them any more."""
    with tempfile.TemporaryDirectory() as place:
        for name, source in plan.files.items():
            path = Path(place) / name
            path.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(source, path)
        api.upload_folder(
            repo_id=repo, repo_type="space", folder_path=place, delete_patterns=["*"],
            commit_message="Deploy Cross-model Control",
        )  # fmt: skip
