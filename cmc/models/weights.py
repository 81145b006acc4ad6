"""Load weights, frozen, on a device they fit."""

import inspect
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, BitsAndBytesConfig, PreTrainedModel

from cmc.errors import ModelError
from cmc.settings import Loading


def best_device() -> torch.device:
    """Return the GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_causal_lm(
    folder: Path, name: str, dtype: torch.dtype, loading: Loading | None = None
) -> PreTrainedModel:
    """Load the weights of a folder as `dtype`, frozen, in evaluation mode.

    They are on the processor, or where `loading` spreads them; in fewer bits on the GPU.

    Raises:
        ModelError: they cannot be found, read, or held in memory.
    """
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
    placement = _placement(loading or Loading(), dtype)
    try:
        model, info = AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, trust_remote_code=False,
            dtype=dtype, output_loading_info=True, **placement,
        )  # fmt: skip
    except Exception as error:
        if is_out_of_memory(error):
            raise ModelError(
                f"there is too little memory to load {name}",
                hint="Choose a smaller model, or load it in fewer bits (--bits 4).",
            ) from error
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


def _placement(loading: Loading, dtype: torch.dtype) -> dict[str, Any]:
    """Return what tells transformers where weights go and in how many bits.

    Raises:
        ModelError: fewer bits need a package that is not installed.
    """
    found: dict[str, Any] = {"device_map": loading.device_map} if loading.device_map else {}
    if not loading.bits:
        return found
    if find_spec("bitsandbytes") is None:
        raise ModelError(
            f"{loading.bits} bits per weight need bitsandbytes, which is not installed",
            hint="Run `pip install bitsandbytes`, or load the target in its usual precision.",
        )
    how = {"load_in_4bit": loading.bits == 4, "load_in_8bit": loading.bits == 8}
    config = BitsAndBytesConfig(**how, bnb_4bit_compute_dtype=dtype)
    return {"device_map": "auto"} | found | {"quantization_config": config}


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
