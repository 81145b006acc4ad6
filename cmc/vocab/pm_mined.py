"""PM-MinED: the nearest token that is prefix-related, in linear time.

Edit distance between prefix-related strings is the difference of their lengths, so one pass over
the prefixes of the controller's tokens replaces the comparison of every pair.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import AnyStr, Generic

import numpy as np

from cmc.vocab.vocab_map import Kind, VocabMap
from cmc.vocab.vocabulary import Vocabulary

ALL_SPACES_PARITY = re.compile("^▁*$")  # `$` also matches before a trailing line end, as published
BARE_SPACE = b" "
ROLES_CARRIED = ("bos", "pad", "unk")


@dataclass(frozen=True)
class _Nearest(Generic[AnyStr]):
    """Where to find the controller's tokens by their spelling."""

    id_of: Mapping[AnyStr, int]
    extension: Mapping[AnyStr, tuple[int, int]]  # a string to (length, id) of what extends it

    def find(self, spelled: AnyStr, barred: AnyStr | None) -> tuple[int, Kind]:
        """Return the controller id nearest to `spelled`; ties go to the lowest id.

        `barred` is a prefix that may not be chosen: a bare space says nothing about a word.
        """
        if spelled in self.id_of:
            return self.id_of[spelled], Kind.EXACT
        best: tuple[int, int, Kind] | None = None
        for length in range(len(spelled) - 1, -1, -1):
            prefix = spelled[:length]
            if prefix in self.id_of and prefix != barred:
                best = (len(spelled) - length, self.id_of[prefix], Kind.PREFIX)
                break
        if spelled in self.extension:
            length, extending = self.extension[spelled]
            candidate = (length - len(spelled), extending, Kind.EXTENSION)
            best = candidate if best is None else min(best, candidate)
        return (-1, Kind.NONE) if best is None else best[1:]


def _index(
    spellings: Sequence[AnyStr | None],
    id_of: Mapping[AnyStr, int],
    wanted: Sequence[AnyStr | None],
) -> _Nearest[AnyStr]:
    """Note, for every wanted string that is no token, the shortest token that extends it."""
    missing = {spelled for spelled in wanted if spelled is not None and spelled not in id_of}
    extension: dict[AnyStr, tuple[int, int]] = {}
    for token_id, spelled in enumerate(spellings):
        if spelled is None or id_of.get(spelled) != token_id:
            continue
        found = (len(spelled), token_id)
        for length in range(len(spelled)):
            prefix = spelled[:length]
            if prefix in missing and found < extension.get(prefix, (1 << 60, 0)):
                extension[prefix] = found
    return _Nearest(id_of, extension)


def build_map(controller: Vocabulary, target: Vocabulary, *, parity: bool = False) -> VocabMap:
    """Map every target id to the controller id that means most nearly the same.

    Args:
        controller: the vocabulary the shift is written in.
        target: the vocabulary the shift is carried into.
        parity: work on raw token strings with the published rules, errors included. The
            published Mistral to Llama-2 map comes out in all 32,000 entries.

    Returns:
        The map; by default on canonical bytes, with special tokens by role. Two equal
        vocabularies give the identity.

    Source:
        Wu et al., Cross-model Control, NeurIPS 2024, section 3.2.
    """
    if parity:
        ids, kinds = _parity_ids(controller, target)
    elif controller.fingerprint == target.fingerprint:
        ids = np.arange(target.size)
        kinds = [Kind.ROLE if each is None else Kind.EXACT for each in target.token_bytes]
    else:
        ids, kinds = _canonical_ids(controller, target)
    return VocabMap(
        ids=np.asarray(ids, dtype=np.int32),
        kinds=np.asarray(kinds, dtype=np.int8),
        transfer="pm-mined",
        parity=parity,
        controller_fingerprint=controller.fingerprint,
        target_fingerprint=target.fingerprint,
        controller_size=controller.size,
    )


def _canonical_ids(controller: Vocabulary, target: Vocabulary) -> tuple[list[int], list[Kind]]:
    nearest = _index(controller.token_bytes, controller.id_of_bytes, target.token_bytes)
    roles = role_ids(controller, target)
    ids, kinds = [], []
    for token_id, spelled in enumerate(target.token_bytes):
        if spelled is None:
            found = roles.get(token_id, -1)
            kind = Kind.NONE if found < 0 else Kind.ROLE
        else:
            barred = None if may_stand_for(BARE_SPACE, spelled) else BARE_SPACE
            found, kind = nearest.find(spelled, barred)
        ids.append(found)
        kinds.append(kind)
    return ids, kinds


def may_stand_for(prefix: bytes, spelled: bytes) -> bool:
    """Say whether a prefix may be chosen: a bare space begins nearly every word and means none."""
    return prefix != BARE_SPACE or not spelled.strip(BARE_SPACE)


def role_ids(controller: Vocabulary, target: Vocabulary) -> dict[int, int]:
    """Carry roles: every id of the target's end set means the controller's end."""
    carried: dict[int, int] = {}
    for role in ROLES_CARRIED:
        # An id that also ends texts, as padding often does, says nothing but the end.
        own = [each for each in controller.roles[role] if each not in controller.eos_ids]
        if own:
            carried |= dict.fromkeys(target.roles[role], own[0])
    if controller.eos_ids:
        carried |= dict.fromkeys(target.eos_ids, controller.eos_id)
    return carried


def _parity_ids(controller: Vocabulary, target: Vocabulary) -> tuple[list[int], list[Kind]]:
    strings = target.tokens
    specials = {each for ids in target.roles.values() for each in ids}
    by_string = {token: each for each, token in enumerate(controller.tokens) if token is not None}
    nearest = _index(controller.tokens, by_string, strings)
    ids, kinds = [], []
    for token_id, token in enumerate(strings):
        if token is None:
            found, kind = -1, Kind.NONE
        elif token_id in specials:
            found, kind = token_id, Kind.EXACT
        elif len(token) > 2 and token[0] == "<" and token[-1] == ">":
            # The published rule for byte tokens; it also catches the ordinary token `<?>`.
            found, kind = token_id, Kind.EXACT
        else:
            found, kind = nearest.find(token, None if ALL_SPACES_PARITY.match(token) else "▁")
        ids.append(found)
        kinds.append(kind)
    return ids, kinds
