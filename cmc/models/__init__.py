"""Load templates, targets and tokenizers; choose device and dtype."""

from cmc.models.language import LanguageModel, load_language_model, load_vocabulary
from cmc.models.places import MODEL_FILES, find_folder
from cmc.models.tokenizer import load_tokenizer, read_vocabulary
from cmc.models.weights import (
    best_device,
    cache_keyword,
    is_out_of_memory,
    load_causal_lm,
    on_device,
)

__all__ = [
    "MODEL_FILES",
    "LanguageModel",
    "best_device",
    "cache_keyword",
    "find_folder",
    "is_out_of_memory",
    "load_causal_lm",
    "load_language_model",
    "load_tokenizer",
    "load_vocabulary",
    "on_device",
    "read_vocabulary",
]
