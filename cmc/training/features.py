"""A template's features of examples on disk: found by content, checked, kept under a limit."""

import contextlib
import fcntl
import hashlib
import os
import shutil
import weakref
import zlib
from array import array
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psutil
import torch
import transformers
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from cmc.data import Example
from cmc.training.folder import take_lock

if TYPE_CHECKING:
    from cmc.models import LanguageModel

FORMAT = 1  # of the shards, and of what a row of features is
SHARD_BYTES = 64 * 2**20
SHARE_OF_DISK = 0.5  # of what is free; the rest is for checkpoints and everybody else
_KEY_BYTES = 16
_LOCK = "in-use"


def template_fingerprint(template: "LanguageModel") -> str:
    """Return a name for all that features depend on besides an example's ids.

    Weights, architecture, vocabulary, precision, kind of device and the libraries that compute.
    What a person calls the template does not count.
    """
    seen = hashlib.sha256()
    about = [FORMAT, template.model.config.to_json_string(), template.vocabulary.fingerprint]
    about += [template.device.type, torch.__version__, transformers.__version__]
    seen.update(repr(about).encode())
    for name, each in template.model.state_dict().items():
        seen.update(f"{name} {each.dtype} {tuple(each.shape)}".encode())
        seen.update(each.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return seen.hexdigest()[:32]


@dataclass(frozen=True)
class _Place:
    """Where an example's features lie: rows of a shard, and their checksum."""

    shard: Any  # an open file of safetensors
    first: int
    last: int
    checksum: int


@dataclass
class FeatureStore:
    """Features of one template at the answers' places, in shards that are written once.

    Examples are found by their ids. So the data, the prompt format and the longest length need
    no fingerprint of their own, and two data sets that share records share their features.
    A shard that is damaged counts as absent.

    Attributes:
        folder: of one template, named after its fingerprint.
        limit: bytes that all templates' folders beside it may take together.
    """

    folder: Path
    limit: int
    _index: dict[bytes, _Place] = field(default_factory=dict)
    _waiting: dict[bytes, Tensor] = field(default_factory=dict)
    _room: int = 0
    _bytes_waiting: int = 0
    _trouble: str = ""  # what the disk refused, to be told at the next flush

    @classmethod
    def open(cls, root: Path, template: "LanguageModel", limit: int) -> "FeatureStore":
        """Open the features of a template below `root`; make their folder if need be.

        Raises:
            OSError: the folder cannot be made.
        """
        folder = root / template_fingerprint(template)
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        os.utime(folder)  # the last to be used is the last to make room
        _sweep(folder)
        store = cls(folder, limit)
        # Locked as long as the store is there; the system unlocks it where a process dies.
        handle = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_SH)
        weakref.finalize(store, os.close, handle)
        for path in sorted(folder.glob("*.safetensors")):
            # Damaged, or removed by a run that needed room: computed once more.
            with contextlib.suppress(OSError, SafetensorError, KeyError):
                store._index |= _read_index(path)
        return store

    def __contains__(self, example: Example) -> bool:
        """Tell whether an example's features are on disk."""
        return _key(example) in self._index

    def make_room(self, needed: int) -> int:
        """Remove other templates' features until `needed` bytes fit; return what may be written.

        Those go first that were not used for longest; what a run uses just now stays.
        """
        folders = [each for each in self.folder.parent.iterdir() if each.is_dir()]
        used = {each: _size(each) for each in folders}
        others = sorted(
            (each for each in folders if each != self.folder and not _is_in_use(each)),
            key=lambda each: each.stat().st_mtime,
        )
        while others and self.limit - sum(used.values()) < needed:
            shutil.rmtree(oldest := others.pop(0), ignore_errors=True)
            del used[oldest]
        free = int(SHARE_OF_DISK * shutil.disk_usage(self.folder).free)
        self._room = max(0, min(self.limit - sum(used.values()), free))
        return self._room

    def get(self, example: Example) -> Tensor | None:
        """Return `(labels, width)` features of an example, or None where there are none."""
        key = _key(example)
        if key in self._waiting:
            return self._waiting[key]
        place = self._index.get(key)
        if place is None:
            return None
        rows = place.shard.get_slice("rows")[place.first : place.last]
        if _checksum(rows) != place.checksum:
            del self._index[key]
            return None
        return rows

    def put(self, example: Example, rows: Tensor) -> None:
        """Keep an example's features, on the disk as soon as there are enough for a shard."""
        key, size = _key(example), rows.numel() * rows.element_size()
        if self._trouble or size > self._room or key in self._index or key in self._waiting:
            return
        self._room -= size
        self._bytes_waiting += size
        self._waiting[key] = rows.cpu().clone()
        if self._bytes_waiting > SHARD_BYTES:
            self.flush()

    def flush(self) -> str:
        """Write what is waiting; return a sentence where the disk refused so far, else nothing."""
        if not self._waiting:
            return self._trouble
        name = hashlib.sha256(b"".join(sorted(self._waiting))).hexdigest()[:24]
        path, aside = self.folder / f"{name}.safetensors", self.folder / f".tmp-{os.getpid()}"
        try:
            _write(aside, self._waiting)
            aside.replace(path)
            self._index |= _read_index(path)
        except (OSError, SafetensorError) as error:
            aside.unlink(missing_ok=True)
            reason = getattr(error, "strerror", None) or str(error)
            self._trouble = f"The template's features could not be kept on disk ({reason})."
        finally:
            self._waiting, self._bytes_waiting = {}, 0
        return self._trouble


def _is_in_use(folder: Path) -> bool:
    with (folder / _LOCK).open("a") as file:
        return not take_lock(file.fileno())


def _sweep(folder: Path) -> None:
    """Remove what killed processes have left half written."""
    for path in folder.glob(".tmp-*"):
        if not psutil.pid_exists(int(path.name.removeprefix(".tmp-"))):
            path.unlink(missing_ok=True)


def _write(path: Path, waiting: dict[bytes, Tensor]) -> None:
    lengths = torch.tensor([len(each) for each in waiting.values()])
    tensors = {
        "rows": torch.cat(list(waiting.values())),
        "ends": lengths.cumsum(0),
        "keys": torch.frombuffer(bytearray(b"".join(waiting)), dtype=torch.uint8),
        "sums": torch.tensor([_checksum(each) for each in waiting.values()]),
    }
    save_file(tensors, path)


def _read_index(path: Path) -> dict[bytes, _Place]:
    shard = safe_open(path, framework="pt")
    keys = shard.get_tensor("keys").numpy().tobytes()
    ends = shard.get_tensor("ends").tolist()
    found = {}
    for at, (last, checksum) in enumerate(
        zip(ends, shard.get_tensor("sums").tolist(), strict=True)
    ):
        key = keys[at * _KEY_BYTES : (at + 1) * _KEY_BYTES]
        found[key] = _Place(shard, ends[at - 1] if at else 0, last, checksum)
    return found


def _key(example: Example) -> bytes:
    ids = array("q", (len(example.prompt_ids), *example.prompt_ids, *example.response_ids))
    return hashlib.blake2b(ids.tobytes(), digest_size=_KEY_BYTES).digest()


def _checksum(rows: Tensor) -> int:
    return zlib.crc32(rows.contiguous().flatten().view(torch.uint8).numpy().data)


def _size(folder: Path) -> int:
    total = 0
    for path in folder.glob("*.safetensors"):
        with contextlib.suppress(OSError):
            total += path.stat().st_size
    return total
