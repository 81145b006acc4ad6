"""Which transfer carries a shift between two vocabularies."""

from cmc.errors import VocabMismatch
from cmc.vocab.vocabulary import Vocabulary


def resolve_transfer(controller: Vocabulary, target: Vocabulary, transfer: str) -> str:
    """Return `same`, `pm-mined` or `cover`; `auto` is `same` for equal vocabularies, else `cover`.

    Raises:
        VocabMismatch: `same` was asked for between different vocabularies.
    """
    is_same = controller.fingerprint == target.fingerprint
    if transfer == "auto":
        return "same" if is_same else "cover"
    if transfer == "same" and not is_same:
        raise VocabMismatch(
            "controller and target have different vocabularies",
            hint="Choose the transfer cover or pm-mined.",
        )
    return transfer
