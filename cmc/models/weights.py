"""Load weights, frozen, on a device they fit."""

import inspect
from functools import cache
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from cmc.errors import ModelError


def best_device() -> torch.device:
    """Return the GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_causal_lm(folder: Path, name: str, dtype: torch.dtype) -> PreTrainedModel:
    """Load the weights of a folder as `dtype`, frozen, in evaluation mode, on the processor."""
    if not (folder / "config.json").is_file():
        raise ModelError(
            f"{name} holds no model: config.json is missing",
            hint="Choose the folder that has config.json and *.safetensors.",
        )
    if not any(folder.glob("*.safetensors")):
        raise ModelError(
            f"{name} has no safetensors weights",
            hint="Other formats can run code and are not read; choose a safetensors revision.",
        )
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False,
            dtype=dtype, output_loading_info=True,
        )  # fmt: skip
    except Exception as error:
        if is_out_of_memory(error):
            raise
        reason = str(error).strip().splitlines()[0][:160] if str(error).strip() else type(error)
        raise ModelError(
            f"{name} cannot be read as a causal language model ({reason})",
            hint="Choose a causal language model that transformers knows.",
        ) from error
    if info["missing_keys"]:
        raise ModelError(
            f"{name} lacks weights, the first is {sorted(info['missing_keys'])[0]}",
            hint="Copy or download the whole model again.",
        )
    return model.eval().requires_grad_(False)


def cache_keyword(model: PreTrainedModel) -> str:
    """Return the name under which a model's forward takes its cache; it was renamed in 5.24."""
    return _cache_keyword(type(model))


@cache
def _cache_keyword(kind: type) -> str:
    known = inspect.signature(kind.forward).parameters
    return "cache" if "cache" in known else "past_key_values"


def is_out_of_memory(error: BaseException) -> bool:
    """Tell whether an error says that the memory of the GPU or of the machine ran out."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # The processor's allocator raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)


def on_device(model: PreTrainedModel, name: str, device: torch.device) -> PreTrainedModel:
    """Return the model on a device.

    Raises:
        ModelError: the GPU has too little memory for it.
    """
    try:
        return model.to(device)
    except torch.OutOfMemoryError as error:
        raise ModelError(
            f"{name} does not fit on the GPU",
            hint="Choose a smaller model, or set CUDA_VISIBLE_DEVICES= to use the processor.",
        ) from error
