"""Checkpoints that are whole or absent: written aside, flushed, hashed, renamed."""

import hashlib
import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load as load_tensors
from safetensors.torch import save as save_tensors
from torch import Tensor, nn

from cmc.errors import TrainingError

KEPT = 2
MANIFEST = "manifest.json"
_WEIGHTS, _OPTIMIZER, _STATE = "delta.safetensors", "optimizer.safetensors", "state.json"
_BEST = "best.safetensors"


@dataclass(frozen=True)
class Checkpoint:
    """What training needs to go on as if it had never stopped; tensors lie on the CPU."""

    step: int
    weights: Mapping[str, Tensor]
    optimizer: Mapping[str, Any]
    state: Mapping[str, Any]
    best: Mapping[str, Tensor] = field(default_factory=dict)  # weights of the least held-out loss
    skipped: tuple[str, ...] = ()  # newer checkpoints that were damaged, one sentence each


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return the model's own weights on the CPU; tied ones come once."""
    return {name: each.detach().cpu() for name, each in model.named_parameters()}


@torch.no_grad()
def load_weights(model: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Copy `weights` into the model.

    Raises:
        TrainingError: names or shapes differ; resume with the controller the run began with.
    """
    parameters = dict(model.named_parameters())
    shapes = {name: each.shape for name, each in parameters.items()}
    if shapes != {name: each.shape for name, each in weights.items()}:
        raise TrainingError(
            "the checkpoint was made for another controller",
            hint="Resume with the controller the run began with.",
        )
    for name, each in parameters.items():
        each.copy_(weights[name])


def save_checkpoint(
    folder: Path,
    step: int,
    weights: Mapping[str, Tensor],
    optimizer: Mapping[str, Any],
    state: Mapping[str, Any],
    *,
    best: Mapping[str, Tensor] | None = None,
) -> Path:
    """Write one checkpoint and then remove all but the newest.

    Args:
        folder: where a run keeps its checkpoints.
        step: steps done so far.
        weights: of the delta.
        optimizer: its `state_dict()`.
        state: anything else that JSON can hold.
        best: weights of the least held-out loss so far, where they are kept.

    Returns:
        The checkpoint's folder.

    Raises:
        TrainingError: the disk is full or the folder not writable; older checkpoints are intact.
    """
    numbers, groups = _flattened(optimizer)
    files = {
        _WEIGHTS: _as_bytes(weights),
        _OPTIMIZER: save_tensors(numbers),
        _STATE: json.dumps({"step": step, "groups": groups, **state}).encode(),
    }
    if best:
        files[_BEST] = _as_bytes(best)
    target = folder / f"ckpt-{step:08d}"
    if target.exists() and not damage_of(target):
        return target
    try:
        write_whole_folder(target, files)
    except OSError as error:
        raise TrainingError(
            f"the checkpoint of step {step} could not be written ({error.strerror})",
            hint=_advice(folder, sum(map(len, files.values()))),
        ) from error
    for old in _checkpoints(folder)[:-KEPT]:
        shutil.rmtree(old, ignore_errors=True)
    return target


def load_checkpoint(folder: Path) -> Checkpoint | None:
    """Return the newest checkpoint whose manifest verifies, or None where there is none.

    Raises:
        TrainingError: there are checkpoints, but all of them are damaged.
    """
    skipped: list[str] = []
    for path in reversed(_checkpoints(folder)):
        damage = damage_of(path)
        if not damage:
            return _loaded(path, tuple(skipped))
        skipped.append(f"{path.name} is damaged ({damage})")
    if skipped:
        raise TrainingError("; ".join(skipped), hint="Start the run anew.")
    return None


def newest_step(folder: Path) -> int:
    """Return the step of the newest checkpoint by name, 0 where there is none; reads nothing."""
    return max((int(path.name.removeprefix("ckpt-")) for path in _checkpoints(folder)), default=0)


def sweep(folder: Path) -> None:
    """Remove what a killed process has left half written."""
    for path in folder.glob(".tmp-*"):
        shutil.rmtree(path, ignore_errors=True)


def write_whole_folder(target: Path, files: Mapping[str, bytes]) -> None:
    """Write `files` and, last, their manifest into a new folder that appears all at once.

    Raises:
        OSError: as the file system says; nothing half written stays under the final name.
    """
    aside = target.parent / f".tmp-{os.getpid()}"
    shutil.rmtree(aside, ignore_errors=True)
    aside.mkdir(parents=True)
    try:
        manifest = {name: _entry(data) for name, data in files.items()}
        for name, data in files.items():
            _write_flushed(aside / name, data)
        _write_flushed(aside / MANIFEST, json.dumps(_about(manifest), indent=1).encode())
        _flush_folder(aside)
        if target.exists():
            shutil.rmtree(target)
        aside.rename(target)
        _flush_folder(target.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def damage_of(folder: Path) -> str:
    """Return what is wrong with a folder that has a manifest; an empty string if nothing is."""
    try:
        entries = json.loads((folder / MANIFEST).read_bytes())["files"]
        for name, entry in entries.items():
            if _entry((folder / name).read_bytes()) != entry:
                return f"checksum of {name} differs"
    except OSError as error:
        return f"{Path(error.filename or folder).name} is missing or unreadable"
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{MANIFEST} is broken"
    return ""


def _checkpoints(folder: Path) -> list[Path]:
    """Return the checkpoints by step, oldest first."""
    return sorted(path for path in folder.glob("ckpt-*") if re.fullmatch(r"ckpt-\d{8,}", path.name))


def _as_bytes(weights: Mapping[str, Tensor]) -> bytes:
    return save_tensors({name: each.contiguous() for name, each in weights.items()})


def _flattened(optimizer: Mapping[str, Any]) -> tuple[dict[str, Tensor], list[dict[str, Any]]]:
    """Split an optimizer's state into tensors with names and what JSON can hold."""
    numbers = {
        f"{index}.{key}": torch.as_tensor(value).detach().cpu().contiguous()
        for index, entries in optimizer["state"].items()
        for key, value in entries.items()
    }
    return numbers, optimizer["param_groups"]


def _loaded(path: Path, skipped: tuple[str, ...]) -> Checkpoint:
    state = json.loads((path / _STATE).read_bytes())
    groups = state.pop("groups")
    for group in groups:
        group["betas"] = tuple(group["betas"])
    entries: dict[int, dict[str, Tensor]] = {}
    for name, value in load_tensors((path / _OPTIMIZER).read_bytes()).items():
        index, key = name.split(".", 1)
        entries.setdefault(int(index), {})[key] = value
    return Checkpoint(
        step=state.pop("step"),
        weights=load_tensors((path / _WEIGHTS).read_bytes()),
        optimizer={"state": entries, "param_groups": groups},
        state=state,
        best=load_tensors((path / _BEST).read_bytes()) if (path / _BEST).is_file() else {},
        skipped=skipped,
    )


def _entry(data: bytes) -> dict[str, Any]:
    return {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}


def _about(files: Mapping[str, Any]) -> dict[str, Any]:
    versions = {"torch": torch.__version__, "safetensors": safetensors.__version__}
    return {"format_version": 1, "files": files, "versions": versions}


def _write_flushed(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def _flush_folder(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def _advice(folder: Path, needed: int) -> str:
    free = shutil.disk_usage(folder).free if folder.exists() else 0
    last = newest_step(folder)
    kept = f"Step {last} is safe. " if last else ""
    return f"{kept}{needed / 1e6:,.0f} MB are needed, {free / 1e6:,.0f} MB are free; make room."
