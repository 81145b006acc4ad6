"""One tokenizer seen as bytes and roles, with an encoder for text that goes on."""

import hashlib
import re
from collections.abc import Iterable
from functools import cached_property

from tokenizers import normalizers
from transformers import PreTrainedTokenizerFast

from cmc.errors import TokenizerError
from cmc.vocab.canonical import (
    component_types,
    is_byte_token,
    is_cut_off,
    split_incomplete,
    token_to_bytes,
    tokenizer_family,
)
from cmc.vocab.roles import find_roles

UNUSED = re.compile(r"[\[<]unused_?\d+[\]>]")
SPACE_BOUNDARY = re.compile(r"(?<=[^▁])(?=▁)")
SPLITTING = {"Split", "Punctuation", "Digits", "Sequence", "String", "Regex"}
IN_BYTES = normalizers.ByteLevel()
MEMORY_LIMIT = 200_000  # segments whose encoding is remembered


class Vocabulary:
    """Canonical bytes and roles of one tokenizer.

    Attributes:
        tokenizer: the transformers tokenizer it was read from.
        size: number of ids, 0 to size - 1; a model may have more output rows.
        token_bytes: per id what it spells, or None where it has a role or is unused.
        roles: `bos`, `eos`, `pad`, `unk`, `turn` (markers of the chat template), `other` to the
            ids that play it.
        family: the alphabet of the token strings, see `canonical.tokenizer_family`.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerFast, *, eos_ids: Iterable[int] = ()) -> None:
        """Read a tokenizer.

        `eos_ids` are those that generation settings name and that end a turn of a chat.
        """
        self.tokenizer = tokenizer
        self._backend = tokenizer.backend_tokenizer
        self.family = tokenizer_family(self._backend)
        self._continuing = getattr(self._backend.model, "continuing_subword_prefix", None) or ""
        strings = tokenizer.get_vocab()
        if not strings:
            raise TokenizerError(
                "the tokenizer has no tokens", hint="Choose a folder with a full tokenizer.json."
            )
        self.size = max(strings.values()) + 1
        self.tokens: list[str | None] = [None] * self.size
        for token, token_id in strings.items():
            self.tokens[token_id] = token
        added = tokenizer.added_tokens_decoder
        specials = {token_id for token_id, token in added.items() if token.special}
        specials |= set(tokenizer.all_special_ids)
        # Settings of a model may name ids that mean "none", such as -1.
        ends = {each for each in eos_ids if 0 <= each < self.size}
        self.roles = find_roles(tokenizer, self.tokens, specials, ends)
        specials |= set().union(*self.roles.values())
        self.token_bytes = [
            self._spelling(token_id, token, token_id in added, specials)
            for token_id, token in enumerate(self.tokens)
        ]
        self._memory: dict[str, tuple[int, ...]] = {}
        self._splits_at_spaces = not any(
            token is not None and SPACE_BOUNDARY.search(token) for token in self.tokens
        )
        cutting = component_types(self._backend.pre_tokenizer)
        self._cuts_into_bytes = "ByteLevel" in cutting
        self._splits = bool(cutting) and cutting <= SPLITTING

    def _spelling(
        self, token_id: int, token: str | None, is_added: bool, specials: set[int]
    ) -> bytes | None:
        if not token or token_id in specials or UNUSED.fullmatch(token):
            return None
        if is_added:
            return token.encode()
        # A token that spells nothing, as a bare continuing prefix, would begin every other one.
        return token_to_bytes(token, self.family, continuing=self._continuing) or None

    @property
    def bos_id(self) -> int | None:
        """The id put before every prompt, if the tokenizer has one of its own."""
        own = [each for each in self.roles["bos"] if each not in self.roles["eos"]]
        known = self.tokenizer.bos_token_id
        return known if known in own else own[0] if own else None

    @property
    def eos_ids(self) -> tuple[int, ...]:
        """All ids that end a text or a turn."""
        return self.roles["eos"]

    @property
    def eos_id(self) -> int:
        """The id that ends an answer in training: the tokenizer's own, else the first."""
        if self.tokenizer.eos_token_id is not None:
            return self.tokenizer.eos_token_id
        if not self.eos_ids:
            raise TokenizerError(
                "the tokenizer has no token that ends a text",
                hint="Add an eos_token to its tokenizer_config.json.",
            )
        return self.eos_ids[0]

    @property
    def pad_id(self) -> int:
        """An id for places that no model looks at."""
        for role in ("pad", "eos", "unk"):
            if self.roles[role]:
                return self.roles[role][0]
        return 0

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 over every id's bytes and role: equal if and only if ids mean the same."""
        digest = hashlib.sha256()
        # A chat template beside the tokenizer makes no other vocabulary of it.
        name_of = {"turn": "other"}
        role_of = {
            each: name_of.get(role, role) for role, ids in self.roles.items() for each in ids
        }
        for token_id, spelled in enumerate(self.token_bytes):
            meaning = spelled if spelled is not None else role_of.get(token_id, "unused").encode()
            kind = b"b" if spelled is not None else b"r"
            digest.update(kind + len(meaning).to_bytes(4, "big") + meaning)
        return digest.hexdigest()

    @cached_property
    def id_of_bytes(self) -> dict[bytes, int]:
        """The id that spells these bytes; an ordinary piece wins over a byte token."""
        ids: dict[bytes, int] = {}
        for token_id, spelled in enumerate(self.token_bytes):
            if spelled is None:
                continue
            if spelled not in ids or is_byte_token(self.tokens[ids[spelled]] or ""):
                ids[spelled] = token_id
        return ids

    def encode_prompt(self, text: str) -> list[int]:
        """Return the ids of a text that starts a context, with the leading token it needs."""
        ids = self.tokenizer(text, add_special_tokens=False).input_ids
        return ids if self.bos_id is None else [self.bos_id, *ids]

    def encode_continuation(self, data: bytes) -> list[int]:
        """Return the ids of bytes that go on with a text.

        No dummy space is put in front and no special token is recognised. Where the tokenizer
        loses nothing, the bytes of the ids concatenate to `data`. An incomplete last character
        becomes byte tokens, or the unknown token where there are none.
        """
        text, rest = split_incomplete(data)
        # In these alphabets the sign U+2581 is a space; the sign itself only bytes can say.
        parts = text.split("▁") if self.family in ("sentencepiece", "unigram") else [text]
        ids: list[int] = []
        for number, part in enumerate(parts):
            ids.extend(self._ids_of_bytes("▁".encode()) if number else ())
            for segment in self.segments(part):
                ids.extend(self.encode_segment(segment))
        return [*ids, *self._ids_of_bytes(rest)]

    def _ids_of_bytes(self, data: bytes) -> list[int]:
        """Return a token for every byte, the unknown one where there is none for it."""
        unknown = self.roles["unk"][:1]
        found = [self.id_of_bytes.get(bytes([byte])) for byte in data]
        return [each for one in found for each in (unknown if one is None else (one,))]

    def segments(self, text: str) -> list[str]:
        """Cut a text where no token crosses, in the alphabet of the token strings."""
        if not text:
            return []
        if self.family == "byte-level":
            # Some write a text in the alphabet of bytes before they cut it.
            pieces = self._cut(text if self._cuts_into_bytes else IN_BYTES.normalize_str(text))
            # Some tokenizers put a space before any text; a continuation has none.
            if pieces and pieces[0].startswith("Ġ") and not text[0].isspace():
                pieces[0] = pieces[0][1:]
            return pieces
        if self.family == "wordpiece":
            return self._words(text)
        if self.family == "raw":
            return [text]
        text = text.replace(" ", "▁")
        parts = SPACE_BOUNDARY.split(text) if self._splits_at_spaces else [text]
        return [piece for part in parts for piece in self._cut(part)] if self._splits else parts

    def _cut(self, text: str) -> list[str]:
        """Cut a text as the tokenizer's pre-tokenizer does, if it has one."""
        if self._backend.pre_tokenizer is None:
            return [text]
        return [piece for piece, _ in self._backend.pre_tokenizer.pre_tokenize_str(text)]

    def _words(self, text: str) -> list[str]:
        """Cut a text as WordPiece does; a beginning without a space goes on with a word."""
        normalizer = self._backend.normalizer
        pieces = self._cut(text if normalizer is None else normalizer.normalize_str(text))
        if pieces and not text[0].isspace() and not is_cut_off(pieces[0][0]):
            pieces[0] = self._continuing + pieces[0]
        return pieces

    def encode_segment(self, segment: str) -> tuple[int, ...]:
        """Return the ids of one of `segments`."""
        ids = self._memory.get(segment)
        if ids is None:
            if self.family == "raw":
                ids = tuple(self.tokenizer(segment, add_special_tokens=False).input_ids)
            else:
                ids = tuple(token.id for token in self._backend.model.tokenize(segment))
            if len(self._memory) >= MEMORY_LIMIT:
                self._memory.clear()
            self._memory[segment] = ids
        return ids

    def spell(self, ids: Iterable[int]) -> bytes:
        """Return the bytes of ids; roles and unknown tokens spell nothing."""
        spelled = (self.token_bytes[each] for each in ids if each < self.size)
        return b"".join(each for each in spelled if each)

    def decode(self, ids: Iterable[int]) -> str:
        """Return the text of ids, with U+FFFD for bytes that are no character."""
        return self.spell(ids).decode("utf-8", "replace")
