"""One tokenizer seen as bytes and roles, with an encoder for text that goes on."""

import hashlib
import re
from collections.abc import Iterable, Sequence
from functools import cached_property

from transformers import PreTrainedTokenizerFast

from cmc.errors import TokenizerError
from cmc.vocab.canonical import (
    component_types,
    is_byte_token,
    split_incomplete,
    token_to_bytes,
    tokenizer_family,
)

BOS_MARKERS = ("<s>", "<|begin_of_text|>", "<bos>", "[CLS]", "<|startoftext|>")
EOS_MARKERS = (
    "</s>", "<|end_of_text|>", "<|eot_id|>", "<|endoftext|>", "<|im_end|>", "<end_of_turn>",
    "<eos>", "<|end|>", "<|eom_id|>", "[SEP]",
)  # fmt: skip
UNK_MARKERS = ("<unk>", "[UNK]", "⁇")
PAD_MARKERS = ("<pad>", "[PAD]", "<|finetune_right_pad_id|>")
UNUSED = re.compile(r"[\[<]unused_?\d+[\]>]")
SPACE_BOUNDARY = re.compile(r"(?<=[^▁])(?=▁)")
SPLITTING = {"Split", "Punctuation", "Digits", "Sequence", "String", "Regex"}
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
        self.roles = self._find_roles(specials, ends)
        self.token_bytes = [
            self._spelling(token_id, token, token_id in added, specials)
            for token_id, token in enumerate(self.tokens)
        ]
        self._memory: dict[str, tuple[int, ...]] = {}
        self._splits_at_spaces = not any(
            token is not None and SPACE_BOUNDARY.search(token) for token in self.tokens
        )
        self._pre_tokenizes = self.family == "byte-level" or bool(
            (types := component_types(self._backend.pre_tokenizer)) and types <= SPLITTING
        )

    def _spelling(
        self, token_id: int, token: str | None, is_added: bool, specials: set[int]
    ) -> bytes | None:
        if not token or token_id in specials or UNUSED.fullmatch(token):
            return None
        return token.encode() if is_added else token_to_bytes(token, self.family)

    def _find_roles(self, specials: set[int], eos_ids: set[int]) -> dict[str, tuple[int, ...]]:
        found = {
            "bos": self._marked(self.tokenizer.bos_token_id, BOS_MARKERS, specials),
            "eos": self._marked(self.tokenizer.eos_token_id, EOS_MARKERS, specials) | eos_ids,
            "pad": self._marked(self.tokenizer.pad_token_id, PAD_MARKERS, specials),
            "unk": self._marked(self.tokenizer.unk_token_id, UNK_MARKERS, specials),
        }
        named = set().union(*found.values())
        specials |= named
        chat = str(self.tokenizer.chat_template or "")
        found["turn"] = {each for each in specials - named if self.tokens[each] in chat}
        found["other"] = specials - named - found["turn"]
        return {role: tuple(sorted(ids)) for role, ids in found.items()}

    def _marked(self, known: int | None, markers: Sequence[str], specials: set[int]) -> set[int]:
        ids = {each for each in specials if self.tokens[each] in markers}
        return ids if known is None else ids | {known}

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
        ids = [
            token_id for segment in self.segments(text) for token_id in self.encode_segment(segment)
        ]
        unknown = self.roles["unk"][:1]
        for byte in rest:
            byte_id = self.id_of_bytes.get(bytes([byte]))
            ids.extend(unknown if byte_id is None else (byte_id,))
        return ids

    def segments(self, text: str) -> list[str]:
        """Cut a text where no token crosses, in the alphabet of the token strings."""
        if not text:
            return []
        if self.family == "byte-level":
            pieces = [piece for piece, _ in self._backend.pre_tokenizer.pre_tokenize_str(text)]
            # Some tokenizers put a space before any text; a continuation has none.
            if pieces[0].startswith("Ġ") and not text[0].isspace():
                pieces[0] = pieces[0][1:]
            return pieces
        if self.family not in ("sentencepiece", "unigram"):
            return [text]
        text = text.replace(" ", "▁")
        parts = SPACE_BOUNDARY.split(text) if self._splits_at_spaces else [text]
        if not self._pre_tokenizes:
            return parts
        split = self._backend.pre_tokenizer.pre_tokenize_str
        return [piece for part in parts for piece, _ in split(part)]

    def encode_segment(self, segment: str) -> tuple[int, ...]:
        """Return the ids of one of `segments`."""
        ids = self._memory.get(segment)
        if ids is None:
            if self.family in ("wordpiece", "raw"):
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
