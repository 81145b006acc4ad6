"""Load templates, targets and tokenizers; choose device and dtype."""

import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
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
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    PreTrainedModel,
    PreTrainedTokenizerFast,
)

from cmc.errors import ModelError, TokenizerError
from cmc.settings import lab_folder
from cmc.vocab import Vocabulary
from cmc.vocab.trial import try_tokenizer

MODEL_FILES = ["*.safetensors", "*.json", "*.model", "*.txt"]
TOKENIZER_FILES = ["tokenizer*", "*.model", "vocab*", "merges.txt", "*config.json"]
PROBE = "The naïve cat sat,\n  1 + 2 = 3: καλημέρα 日本 👍"
LAB_NAME = re.compile(r"lab:([a-z0-9_]+)")


@dataclass(frozen=True)
class LanguageModel:
    """A frozen causal language model with its vocabulary.

    Attributes:
        name: what a person called it, such as `lab:byte` or `owner/name@revision`.
        model: in evaluation mode, without gradients.
        vocabulary: its tokenizer as bytes and roles.
        revision: the commit it was downloaded at, None for a folder.
    """

    name: str
    model: PreTrainedModel
    vocabulary: Vocabulary
    revision: str | None = None

    @property
    def device(self) -> torch.device:
        """Where its inputs go."""
        return self.model.device

    @property
    def rows(self) -> int:
        """Number of tokens it scores, padded rows included."""
        return self.model.get_output_embeddings().weight.shape[0]

    @property
    def context(self) -> int | None:
        """Tokens it can read at once, None where its settings do not say."""
        return getattr(self.model.config, "max_position_embeddings", None)


def best_device() -> torch.device:
    """Return the GPU if there is one, else the processor."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def load_language_model(name: str, *, device: torch.device | None = None) -> LanguageModel:
    """Load a model by lab name, folder, or Hub id with optional `@revision`.

    Raises:
        ModelError: it cannot be found, read, or run safely; the hint says what to do.
    """
    folder, revision = find_folder(name, lab_kind="models", allow_patterns=MODEL_FILES)
    device = device or best_device()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    model = on_device(load_causal_lm(folder, name, dtype), name, device)
    eos = model.generation_config.eos_token_id
    eos_ids = [] if eos is None else eos if isinstance(eos, list) else [eos]
    vocabulary = _vocabulary(folder, name, eos_ids)
    loaded = LanguageModel(name, model, vocabulary, revision)
    if vocabulary.size > loaded.rows:
        raise ModelError(
            f"the tokenizer of {name} has {vocabulary.size:,} tokens, its model only "
            f"{loaded.rows:,} rows",
            hint="Choose the tokenizer that belongs to the model.",
        )
    return loaded


def load_vocabulary(name: str) -> Vocabulary:
    """Load only the vocabulary of a model or controller; a folder with a tokenizer is enough.

    Raises:
        ModelError: it cannot be found.
        TokenizerError: the tokenizer cannot be read.
    """
    folder, _ = find_folder(name, lab_kind="controllers", allow_patterns=TOKENIZER_FILES)
    return _vocabulary(folder, name, stored_eos_ids(folder, name))


def _vocabulary(folder: Path, name: str, eos_ids: list[int]) -> Vocabulary:
    tokenizer = load_tokenizer(folder, name)
    turn_ends = tokenizer.convert_tokens_to_ids(try_tokenizer(folder, name))
    return Vocabulary(tokenizer, eos_ids=[*eos_ids, *turn_ends])


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


def load_tokenizer(folder: Path, name: str) -> PreTrainedTokenizerFast:
    """Load a tokenizer exactly as its `tokenizer.json` defines it.

    Loading by model type may rebuild a tokenizer and drop its pre-tokenizer, so the file goes
    first; only folders without one are converted. What does not come with the lab is first read
    by a process that may break.

    Raises:
        TokenizerError: the tokenizer is damaged, hostile, or has no fast form.
    """
    try_tokenizer(folder, name)
    try:
        if (folder / "tokenizer.json").is_file():
            tokenizer = PreTrainedTokenizerFast.from_pretrained(folder, local_files_only=True)
        else:
            tokenizer = AutoTokenizer.from_pretrained(
                folder, local_files_only=True, trust_remote_code=False
            )
        tokenizer(PROBE)
    # A damaged tokenizer can raise a panic of its Rust code, which is no Exception.
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            raise
        raise TokenizerError(
            f"the tokenizer of {name} cannot be read ({type(error).__name__})",
            hint="Choose a folder with a valid tokenizer.json.",
        ) from error
    if not isinstance(tokenizer, PreTrainedTokenizerFast):
        raise TokenizerError(
            f"{name} has only a slow tokenizer", hint="Choose a model with a tokenizer.json."
        )
    return tokenizer


def stored_eos_ids(folder: Path, name: str) -> list[int]:
    """Read the end-of-text ids that generation settings or configuration name.

    Raises:
        ModelError: one of the two files is damaged.
    """
    for file in ("generation_config.json", "config.json"):
        if (folder / file).is_file():
            eos = _read_settings(folder / file, name).get("eos_token_id")
            if eos is not None:
                return eos if isinstance(eos, list) else [eos]
    return []


def _read_settings(path: Path, name: str) -> dict[str, Any]:
    try:
        stored = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError):
        stored = None
    if not isinstance(stored, dict):
        raise ModelError(
            f"{path.name} of {name} is damaged", hint="Copy or download the whole model again."
        )
    return stored
