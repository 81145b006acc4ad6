"""For every target token, what it means in the controller's vocabulary."""

import json
from dataclasses import dataclass, replace
from enum import IntEnum
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file
from torch import Tensor

from cmc.errors import DataError, VocabMismatch


class Kind(IntEnum):
    """Why an entry of a map is what it is."""

    NONE = 0  # the controller knows nothing about this token
    EXACT = 1  # the same bytes
    PREFIX = 2  # the controller's token is how it begins
    EXTENSION = 3  # the controller's token goes on
    ROLE = 4  # a special token with the same role
    COMPOSED = 5  # several controller tokens spell it


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

    def save(self, path: str | Path) -> None:
        """Write the map as safetensors, with the fingerprints it was built for."""
        about = {
            "format": "cmc-vocab-map-1", "transfer": self.transfer, "parity": self.parity,
            "controller_fingerprint": self.controller_fingerprint,
            "target_fingerprint": self.target_fingerprint,
            "controller_size": self.controller_size,
        }  # fmt: skip
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        save_file({"ids": self.ids, "kinds": self.kinds}, path, {"cmc": json.dumps(about)})

    @classmethod
    def load(cls, path: str | Path) -> "VocabMap":
        """Read a map written by `save`.

        Raises:
            DataError: no such file, damaged, or not a vocab map.
        """
        try:
            with safe_open(path, framework="numpy") as file:
                about = json.loads(file.metadata()["cmc"])
                ids, kinds = file.get_tensor("ids"), file.get_tensor("kinds")
        except (OSError, SafetensorError, KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path} is no vocab map ({type(error).__name__})",
                hint="Build it again with `python -m cmc map`.",
            ) from error
        about.pop("format")
        return cls(ids=ids, kinds=kinds, **about)
