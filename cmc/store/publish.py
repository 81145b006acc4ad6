"""Publish a version on the Hub with a person's own token, which is stored and shown nowhere."""

import shutil
import tempfile
import time
from pathlib import Path

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError
from safetensors import safe_open

from cmc.card import model_card
from cmc.controller import MANIFEST, read_settings
from cmc.errors import StoreError
from cmc.settings import PublishRequest
from cmc.store.store import Store
from cmc.store.version import Version

# What a controller is made of, and nothing that happens to lie beside it.
PUBLISHED = ("*.json", "*.safetensors", "*.model", "*.txt", "README.md")
_SIGN_IN = "Sign in with `hf auth login`, or give a token that may write to it."


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
    token = token or get_token() or ""
    if not token:
        raise StoreError(f"there is no token to publish {request.repo} with", hint=_SIGN_IN)
    api = HfApi(token=token, endpoint=endpoint or None)
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
    try:
        api.create_repo(request.repo, private=request.private, exist_ok=True)
        api.upload_folder(
            repo_id=request.repo, folder_path=folder, allow_patterns=list(PUBLISHED),
            commit_message=f"Publish version {version.number} of {version.name}",
        )  # fmt: skip
    except HfHubHTTPError as error:
        # Not chained: what the Hub was asked holds the token.
        raise _refused(error, request.repo) from None
    except Exception as error:  # of whatever library the Hub's client uses for the network
        raise StoreError(
            f"{request.repo} could not be published ({type(error).__name__})",
            hint="Check the connection and try again; what arrived is no harm.",
        ) from None
    return f"{api.endpoint}/{request.repo}"


def _refused(error: HfHubHTTPError, repo: str) -> StoreError:
    status = error.response.status_code if error.response is not None else 0
    if status in (401, 403) or isinstance(error, RepositoryNotFoundError):
        return StoreError(f"the Hub does not let this token write to {repo} ({status})",
                          hint=_SIGN_IN)  # fmt: skip
    return StoreError(
        f"the Hub refused to take {repo} ({status or type(error).__name__})",
        hint="Wait a little and try again; check that the name is not taken by another kind.",
    )
