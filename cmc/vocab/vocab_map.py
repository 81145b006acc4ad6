"""For every target token, what it means in the controller's vocabulary."""

import hashlib
import json
import os
import threading
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from cmc.errors import DataError, VocabMismatch
from cmc.settings import TRANSFERS

FORMAT = "cmc-vocab-map-1"


class Kind(IntEnum):
    """Why an entry of a map is what it is."""

    NONE = 0  # the controller knows nothing about this token
    EXACT = 1  # the same bytes
    PREFIX = 2  # the controller's token is how it begins
    EXTENSION = 3  # the controller's token goes on
    ROLE = 4  # a special token with the same role
    COMPOSED = 5  # several controller tokens spell it
    CHOSEN = 6  # a person chose it

    @property
    def word(self) -> str:
        """How it is called in files, tables and chips."""
        return self.name.lower()


@dataclass(frozen=True)
class VocabMap:
    """A vocabulary carried over, entry by entry.

    Attributes:
        ids: `(target vocab,)` int32, controller ids; -1 where the controller knows nothing.
        kinds: `(target vocab,)` int8, values of `Kind`.
        transfer: `same`, `pm-mined` or `cover`.
        parity: whether it follows the published rules on raw strings.
        controller_fingerprint, target_fingerprint: of the vocabularies it was built for.
        controller_size: number of controller ids.
    """

    ids: np.ndarray
    kinds: np.ndarray
    transfer: str
    parity: bool
    controller_fingerprint: str
    target_fingerprint: str
    controller_size: int

    def kind_of(self, token_id: int) -> Kind:
        """Return why the entry of a target token is what it is."""
        return Kind(int(self.kinds[token_id]))

    def gather_index(self, rows: int, device: torch.device) -> Tensor:
        """Return `(rows,)` int64 indices into controller scores, `controller_size` for none.

        `rows` is the number of the target's output rows, which may exceed its vocabulary.

        Raises:
            VocabMismatch: the target has fewer rows than the map has entries.
        """
        if rows < len(self.ids):
            raise VocabMismatch(
                f"the target scores {rows} tokens, this map has {len(self.ids)} entries",
                hint="Build the map again with the tokenizer that belongs to the target.",
            )
        index = np.full(rows, self.controller_size, dtype=np.int64)
        index[: len(self.ids)] = np.where(self.ids < 0, self.controller_size, self.ids)
        return torch.from_numpy(index).to(device)

    def named(self, transfer: str) -> "VocabMap":
        """Return the same entries under another transfer's name."""
        return replace(self, transfer=transfer)

    def overridden(self, token_id: int, controller_id: int) -> "VocabMap":
        """Return the map with one entry as a person chose it; -1 for no controller token.

        Raises:
            DataError: an id is out of range, or the map is one of `cover`, which follows the
                text and not a map.
        """
        if self.transfer == "cover":
            raise DataError(
                "cover spells every token anew and follows no map",
                hint="Choose the transfer pm-mined to set entries by hand.",
            )
        if not 0 <= token_id < len(self.ids) or not -1 <= controller_id < self.controller_size:
            raise DataError(
                f"token {token_id} cannot be mapped to {controller_id}",
                hint=f"Give a token from 0 to {len(self.ids) - 1:,} and a controller token from 0 "
                f"to {self.controller_size - 1:,}, or -1 for none.",
            )
        ids, kinds = self.ids.copy(), self.kinds.copy()
        ids[token_id] = controller_id
        kinds[token_id] = Kind.NONE if controller_id < 0 else Kind.CHOSEN
        # An identity with an exception is no identity.
        return replace(self, ids=ids, kinds=kinds, transfer="pm-mined")

    def check_pair(self, controller_fingerprint: str, target_fingerprint: str) -> None:
        """Refuse vocabularies that the map was not built for.

        Raises:
            VocabMismatch: it was built for others.
        """
        for side, mine, theirs in (
            ("controller", self.controller_fingerprint, controller_fingerprint),
            ("target", self.target_fingerprint, target_fingerprint),
        ):
            if mine != theirs:
                raise VocabMismatch(
                    f"the map was built for another {side} vocabulary ({mine[:8]}…, this is "
                    f"{theirs[:8]}…)",
                    hint="Build the map again, or choose the pair it was built for.",
                )

    def save(self, path: str | Path) -> None:
        """Write the map as safetensors, with the fingerprints it was built for; whole or not."""
        about = {
            "format": FORMAT, "transfer": self.transfer, "parity": self.parity,
            "controller_fingerprint": self.controller_fingerprint,
            "target_fingerprint": self.target_fingerprint,
            "controller_size": self.controller_size,
        }  # fmt: skip
        path = Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        about["digest"] = self._digest(about)
        aside = path.with_name(f".{path.name}.{os.getpid()}.{threading.get_ident()}")
        try:
            save_file({"ids": self.ids, "kinds": self.kinds}, aside, {"cmc": json.dumps(about)})
            aside.replace(path)
        finally:
            aside.unlink(missing_ok=True)

    @classmethod
    def load(cls, path: str | Path) -> "VocabMap":
        """Read a map written by `save`.

        Raises:
            DataError: no such file, damaged, or not a vocab map.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                about = dict(json.loads(file.metadata()["cmc"]))
                ids, kinds = file.get_tensor("ids"), file.get_tensor("kinds")
            digest = about.pop("digest", None)  # files written before there was one have none
            told = dict(about)
            if about.pop("format") != FORMAT:
                raise ValueError("another format")
            found = cls(ids=ids, kinds=kinds, **about)
            found.check()
            if digest not in (None, found._digest(told)):
                raise ValueError("its content was changed")
            return found
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} is no vocab map ({error})", hint="Build it again with `python -m cmc map`."
            ) from error

    def _digest(self, about: dict[str, Any]) -> str:
        """Return the SHA-256 of what a file says of the map and of its entries."""
        digest = hashlib.sha256(json.dumps(about, sort_keys=True).encode())
        digest.update(self.ids.tobytes())
        digest.update(self.kinds.tobytes())
        return digest.hexdigest()

    def check(self) -> None:
        """Refuse entries and words that no map has; a file may say anything.

        Raises:
            ValueError: something is not what it should be.
        """
        prints = self.controller_fingerprint, self.target_fingerprint
        if not all(isinstance(each, str) for each in prints) or self.transfer not in TRANSFERS:
            raise ValueError("its fingerprints or its transfer are none")
        is_shaped = self.ids.ndim == 1 and self.ids.shape == self.kinds.shape
        is_typed = self.ids.dtype == np.int32 and self.kinds.dtype == np.int8
        if not (is_shaped and is_typed and len(self.ids)):
            raise ValueError("its entries are not of the right kind")
        if self.ids.min() < -1 or self.ids.max() >= self.controller_size:
            raise ValueError("an entry is out of range")
        if self.kinds.min() < min(Kind) or self.kinds.max() > max(Kind):
            raise ValueError("an entry is of no known kind")
