"""What a vocab map can carry, by number of tokens and by share of running text."""

from collections import Counter
from typing import Any

import numpy as np

from cmc.vocab.pm_mined import build_map
from cmc.vocab.transfer import resolve_transfer
from cmc.vocab.vocab_map import Kind, VocabMap
from cmc.vocab.vocabulary import Vocabulary

SAMPLE_TEXT = (
    "Where does the river go? One cold morning a young woman walked to the market with her dog, "
    "bought bread, three apples and a red hat, and asked the baker for the way to the sea. "
    '"Follow the road to the old bridge," he said, "and you will be there before 12:30."\n'
)
# Share of running text the controller's tokens meet exactly, from which each grade is given.
GRADES = ((0.95, "A"), (0.8, "B"), (0.5, "C"), (0.0, "D"))


def composition(controller: Vocabulary, target: Vocabulary) -> VocabMap:
    """Return how the controller's own tokens spell every target token, for `cover`.

    An entry is the first of the controller's tokens; its kind says whether it is all of it
    (exact), one of several (composed), or whether the controller cannot spell the token (none).
    """
    ids = np.full(target.size, -1, dtype=np.int32)
    kinds = np.full(target.size, Kind.NONE, dtype=np.int8)
    for token_id, spelled in enumerate(target.token_bytes):
        if not spelled:
            continue
        same = controller.id_of_bytes.get(spelled)
        own = [same] if same is not None else controller.encode_continuation(spelled)
        if controller.spell(own) == spelled:
            ids[token_id] = own[0]
            kinds[token_id] = Kind.EXACT if same is not None else Kind.COMPOSED
    if controller.eos_ids:
        ends = list(target.eos_ids)
        ids[ends], kinds[ends] = controller.eos_id, Kind.ROLE
    return VocabMap(
        ids=ids, kinds=kinds, transfer="cover", parity=False,
        controller_fingerprint=controller.fingerprint, target_fingerprint=target.fingerprint,
        controller_size=controller.size,
    )  # fmt: skip


def inspected_map(
    controller: Vocabulary, target: Vocabulary, transfer: str, *, parity: bool = False
) -> VocabMap:
    """Return the entries a transfer works with; `auto` resolves as generation does.

    Raises:
        VocabMismatch: `same` between different vocabularies.
    """
    transfer = resolve_transfer(controller, target, transfer)
    if transfer == "cover":
        return composition(controller, target)
    return build_map(controller, target, parity=parity).named(transfer)


def map_summary(
    vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary, text: str = SAMPLE_TEXT
) -> dict[str, Any]:
    """Count the kinds of entries of a map.

    Args:
        vocab_map: built for this pair.
        controller: the vocabulary the shift is written in.
        target: the vocabulary it is carried into.
        text: on which the shares of running text are measured.

    Returns:
        `ids`: number of entries by kind; `mass`: share of the text's tokens by kind, no unit;
        `grade`: A to D; `advice`: what to expect, in a sentence; `path_length`: controller
        tokens per target token of the text.
    """
    counts = Counter(vocab_map.kinds.tolist())
    used = target.encode_continuation(text.encode())
    running = Counter(vocab_map.kinds[used].tolist())
    ids = {kind.name.lower(): counts.get(kind, 0) for kind in Kind}
    mass = {
        kind.name.lower(): round(running.get(kind, 0) / len(used), 4) if used else 0.0
        for kind in Kind
    }
    carried = mass["exact"] + mass["role"]
    if vocab_map.transfer == "cover":
        carried += mass["composed"]
    grade = next(letter for least, letter in GRADES if carried >= least)
    own = controller.encode_continuation(text.encode())
    return {
        "transfer": vocab_map.transfer, "ids": ids, "mass": mass, "grade": grade,
        "advice": _advice(vocab_map.transfer, grade),
        "path_length": round(len(own) / max(1, len(used)), 3),
    }  # fmt: skip


def _advice(transfer: str, grade: str) -> str:
    if transfer == "same":
        return "Equal vocabularies: the shift arrives token by token, nothing is lost."
    if transfer == "cover":
        if grade in "AB":
            return "The controller can spell nearly all of this text; cover carries its shift."
        return "Much of this text cannot be spelled by the controller; expect little control there."
    return {
        "A": "Nearly all text meets tokens of its own: this map carries over well.",
        "B": "Most text meets tokens of its own: expect a weaker effect, cover keeps more of it.",
        "C": "Much text meets only similar tokens: most of the effect is lost, use cover.",
        "D": "Hardly any text meets tokens of its own: use cover.",
    }[grade]
