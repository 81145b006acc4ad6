"""Build the map of a pair once: kept on disk by all that it is built from, verified when read."""

import contextlib
import hashlib
import json
import os
from collections.abc import Callable
from importlib.metadata import version
from pathlib import Path

from safetensors import SafetensorError

from cmc import settings
from cmc.errors import DataError, VocabMismatch
from cmc.vocab.health import composition
from cmc.vocab.pm_mined import build_map
from cmc.vocab.transfer import resolve_transfer
from cmc.vocab.vocab_map import VocabMap
from cmc.vocab.vocabulary import Vocabulary

RULES = 1  # raise it when a rule of `pm-mined` or `cover` changes: older files are not found then
SMALLEST = 4_000  # target tokens; a smaller map is built faster than it is read
MOST = 64  # files that are kept, of at most about a megabyte each


def inspected_map(
    controller: Vocabulary, target: Vocabulary, transfer: str, *, parity: bool = False
) -> VocabMap:
    """Return the entries a transfer works with; `auto` resolves as generation does.

    A map that was built before is read; a file that is damaged is built and written anew.

    Raises:
        VocabMismatch: `same` between different vocabularies.
    """
    transfer = resolve_transfer(controller, target, transfer)
    if transfer == "cover":
        return _kept(controller, target, "cover", lambda: composition(controller, target))
    built = _kept(
        controller, target, "parity" if parity else "pm-mined",
        lambda: build_map(controller, target, parity=parity),
    )  # fmt: skip
    return built.named(transfer)


def map_folder() -> Path:
    """Return where built maps are kept; it may be removed at any time."""
    return settings.home() / "maps"


def _kept(
    controller: Vocabulary, target: Vocabulary, how: str, build: Callable[[], VocabMap]
) -> VocabMap:
    if target.size < SMALLEST:
        return build()
    path = map_folder() / f"{_key(controller, target, how)}.safetensors"
    # What is not there, is damaged or was made for others is built; nothing is lost by it.
    with contextlib.suppress(DataError, VocabMismatch):
        found = VocabMap.load(path)
        found.check_pair(controller.fingerprint, target.fingerprint)
        with contextlib.suppress(OSError):
            os.utime(path)  # the files used last are those that stay
        return found
    built = build()
    # Without room or permission every map is built anew, which works as well.
    with contextlib.suppress(OSError, SafetensorError):
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        built.save(path)
        _forget_oldest(path.parent)
    return built


def _key(controller: Vocabulary, target: Vocabulary, how: str) -> str:
    """Return a name for all that decides about the entries of a map."""
    digest = hashlib.sha256(f"{RULES} {how}".encode())
    for vocabulary in (controller, target):
        # A fingerprint says what ids mean; published rules look at the strings besides, and of
        # several ends of a text one is the tokenizer's own.
        strings = json.dumps([vocabulary.tokens, vocabulary.tokenizer.eos_token_id])
        digest.update(f"{vocabulary.fingerprint}{strings}".encode())
    if how == "cover":
        # How tokens are put together is in no fingerprint.
        backend = controller.tokenizer.backend_tokenizer
        digest.update(f"{version('tokenizers')}{backend.to_str()}".encode())
    return digest.hexdigest()


def _forget_oldest(folder: Path) -> None:
    """Remove all but the files used last, and with time what a killed process left behind."""
    files = sorted(folder.iterdir(), key=lambda file: file.stat().st_mtime, reverse=True)
    for file in files[MOST:]:
        file.unlink(missing_ok=True)
