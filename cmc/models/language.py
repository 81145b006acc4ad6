"""A frozen causal language model with its vocabulary."""

from dataclasses import dataclass

import torch
from transformers import PreTrainedModel

from cmc.errors import ModelError
from cmc.models.places import MODEL_FILES, TOKENIZER_FILES, find_folder
from cmc.models.tokenizer import read_vocabulary
from cmc.models.weights import best_device, load_causal_lm, on_device
from cmc.settings import Loading
from cmc.vocab import Vocabulary


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


def load_language_model(
    name: str, *, device: torch.device | None = None, loading: Loading | None = None
) -> LanguageModel:
    """Load a model by lab name, folder, or Hub id with optional `@revision`.

    Args:
        name: what to load.
        device: where to; by default the GPU if there is one.
        loading: fewer bits per weight, or spread over all GPUs; then `device` says nothing.

    Raises:
        ModelError: it cannot be found, read, or run safely; the hint says what to do.
    """
    folder, revision = find_folder(name, lab_kind="models", allow_patterns=MODEL_FILES)
    device = device or best_device()
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    loading = loading or Loading()
    model = load_causal_lm(folder, name, dtype, loading)
    if loading == Loading():
        model = on_device(model, name, device)
    vocabulary = read_vocabulary(folder, name)
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
    return read_vocabulary(folder, name)
