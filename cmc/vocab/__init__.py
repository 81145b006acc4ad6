"""Canonical bytes, roles, maps, transfer between vocabularies."""

from cmc.vocab.cache import inspected_map
from cmc.vocab.explain import Explanation, explain_token
from cmc.vocab.health import composition, map_summary
from cmc.vocab.pm_mined import build_map
from cmc.vocab.prefix_index import PrefixIndex
from cmc.vocab.transfer import resolve_transfer
from cmc.vocab.vocab_map import Kind, VocabMap
from cmc.vocab.vocabulary import Vocabulary

__all__ = [
    "Explanation",
    "Kind",
    "PrefixIndex",
    "VocabMap",
    "Vocabulary",
    "build_map",
    "composition",
    "explain_token",
    "inspected_map",
    "map_summary",
    "resolve_transfer",
]
