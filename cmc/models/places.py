"""Find the folder that a model's name stands for, in the lab, on disk or on the Hub."""

import re
from pathlib import Path

from huggingface_hub import snapshot_download
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.utils import validate_repo_id

from cmc.errors import ModelError
from cmc.settings import lab_folder

MODEL_FILES = ["*.safetensors", "*.json", "*.model", "*.txt", "*.jinja"]
TOKENIZER_FILES = [
    "tokenizer*", "*.model", "vocab*", "merges.txt", "*config.json", "controller.json",
    "special_tokens_map.json", "added_tokens.json", "*.jinja",
]  # fmt: skip
LAB_NAME = re.compile(r"lab:([a-z0-9_]+)")


def find_folder(name: str, *, lab_kind: str, allow_patterns: list[str]) -> tuple[Path, str | None]:
    """Return the folder that holds what `name` names, and its revision if it was downloaded."""
    if not name.strip():
        raise ModelError("no model is named", hint="Give a lab name, a folder or a Hub id.")
    if name.startswith("lab:"):
        return _lab_member(name, lab_kind), None
    folder = Path(name).expanduser()
    try:
        is_folder, is_there = folder.is_dir(), folder.exists()
    except OSError as error:  # the name is longer than a file system takes
        raise ModelError(
            f'"{name[:40]}…" cannot be looked up ({error.strerror})',
            hint="Give a lab name, a folder or a Hub id.",
        ) from error
    if is_folder:
        return folder, None
    if is_there or name.startswith((".", "/", "~")):
        raise ModelError(f'"{name}" is no folder', hint="Give the folder that holds the model.")
    return _download(name, allow_patterns)


def _lab_member(name: str, lab_kind: str) -> Path:
    # A language model of the lab may also serve as a controller to start from.
    kinds = (lab_kind, "models") if lab_kind == "controllers" else (lab_kind,)
    members = {
        path.parent.name: path.parent
        for kind in reversed(kinds)
        for path in (lab_folder() / kind).glob("*/tokenizer.json")
    }
    match = LAB_NAME.fullmatch(name)
    if match is None or match[1] not in members:
        known = ", ".join(f"lab:{each}" for each in sorted(members))
        hint = f"There are: {known}." if known else "Make the lab with `python -m cmc lab build`."
        raise ModelError(f'the starter lab has no "{name}"', hint=hint)
    return members[match[1]]


def _download(name: str, allow_patterns: list[str]) -> tuple[Path, str | None]:
    repo_id, _, revision = name.partition("@")
    try:
        validate_repo_id(repo_id)
        path = snapshot_download(
            repo_id, revision=revision or None, allow_patterns=allow_patterns, etag_timeout=10
        )
    except HFValidationError:
        hint = 'Use "owner/name" or "name", or the path of a folder.'
        raise ModelError(f'"{name}" is not a Hub id', hint=hint) from None
    except GatedRepoError:
        hint = f"Accept its licence on https://huggingface.co/{repo_id}, sign in and try again."
        raise ModelError(f"{repo_id} is gated", hint=hint) from None
    except RevisionNotFoundError:
        hint = "Leave out the part after @ to take the newest."
        raise ModelError(f'{repo_id} has no revision "{revision}"', hint=hint) from None
    except RepositoryNotFoundError:
        hint = "Check the spelling; a private model needs you to be signed in."
        raise ModelError(f'there is no "{repo_id}" on the Hub', hint=hint) from None
    except (LocalEntryNotFoundError, HfHubHTTPError, OSError) as error:
        raise ModelError(
            f"{repo_id} is no folder here, and the Hub could not be reached "
            f"({type(error).__name__})",
            hint="Check the path or the connection, or choose a model of the starter lab.",
        ) from error
    return Path(path), Path(path).name
