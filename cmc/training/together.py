"""Several processes that train together: who is who, and what all must agree on."""

from pathlib import Path

import torch
from accelerate import Accelerator
from accelerate.utils import broadcast_object_list


def accelerator() -> Accelerator:
    """Return the one `accelerate` offers, which moves nothing to another device.

    `accelerate launch` starts processes without telling them that there is no GPU; each would
    take itself for the only one.
    """
    return Accelerator(cpu=not torch.cuda.is_available(), device_placement=False)


def same_everywhere(path: Path | None) -> Path:
    """Return the main process's path to all of them; the others may give None."""
    shared = [path]
    if accelerator().num_processes > 1:
        broadcast_object_list(shared)
    return shared[0]
