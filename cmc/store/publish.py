"""Publish a version on the Hub with a person's own token, which is stored and shown nowhere."""

import shutil
import tempfile
import time
from pathlib import Path

from huggingface_hub import HfApi
from safetensors import safe_open

from cmc.card import model_card
from cmc.controller import MANIFEST, read_settings
from cmc.settings import PublishRequest
from cmc.store.hub import hub_of, refusals_told
from cmc.store.store import Store
from cmc.store.version import Version

# What a controller is made of, and nothing that happens to lie beside it.
PUBLISHED = ("*.json", "*.safetensors", "*.model", "*.txt", "README.md")


def publish_version(
    store: Store, reference: str, request: PublishRequest, *, token: str = "", endpoint: str = ""
) -> str:
    """Upload the files of an intact version with a model card; return the repository's address.

    Args:
        store: where the version is kept.
        reference: `NAME`, `NAME@NUMBER` or `NAME@LABEL` of a controller.
        request: where to, and how.
        token: of the Hub; empty takes that of whoever signed in on this machine.
        endpoint: another Hub than the public one.

    Raises:
        StoreError: the version cannot be opened, or the Hub refused or was not reached. Neither
            the message nor what it came from holds the token.
    """
    version = store.open("controller", reference)
    api = hub_of(request.repo, token, endpoint)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place) / "controller"
        shutil.copytree(version.content, folder)
        card = card_of(version, request)
        (folder / "README.md").write_text(card, "utf-8")
        return _uploaded(api, folder, version, request)


def card_of(version: Version, request: PublishRequest) -> str:
    """Return the model card a version is published with."""
    settings = read_settings(version.content)
    day = time.strftime("%Y-%m-%d", time.gmtime(version.made))
    origin = f"version {version.number} of {version.name}, {day}, SHA-256 {version.digest}"
    return model_card(
        request.repo, settings, _parameters(version.content), origin=origin,
        licence=request.licence,
    )  # fmt: skip


def _parameters(folder: Path) -> int:
    """Count the weights of a controller's delta without loading them."""
    place = folder / "delta" if (folder / MANIFEST).is_file() else folder
    count = 0
    for path in sorted(place.glob("*.safetensors")):
        with safe_open(path, "numpy") as file:
            for name in file.keys():  # noqa: SIM118  (it is no dictionary)
                size = 1
                for length in file.get_slice(name).get_shape():
                    size *= length
                count += size
    return count


def _uploaded(api: HfApi, folder: Path, version: Version, request: PublishRequest) -> str:
    with refusals_told(request.repo):
        api.create_repo(request.repo, private=request.private, exist_ok=True)
        api.upload_folder(
            repo_id=request.repo, folder_path=folder, allow_patterns=list(PUBLISHED),
            commit_message=f"Publish version {version.number} of {version.name}",
        )  # fmt: skip
    return f"{api.endpoint}/{request.repo}"
