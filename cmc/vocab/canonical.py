"""The byte string each token stands for, whatever alphabet its tokenizer writes it in."""

import json
import re
import unicodedata
from collections.abc import Iterator, Mapping
from typing import Any

from tokenizers import Tokenizer

BYTE_TOKEN = re.compile(r"<0x([0-9A-Fa-f]{2})>")


def _gpt2_alphabet() -> dict[str, int]:
    """Return the character with which GPT-2's tokenizer writes each byte, and its byte.

    Printable bytes are written as themselves; the others as the characters from U+0100 on, in
    order.
    """
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    alphabet = {chr(byte): byte for byte in printable}
    others = [byte for byte in range(256) if byte not in set(printable)]
    alphabet |= {chr(256 + number): byte for number, byte in enumerate(others)}
    return alphabet


GPT2_ALPHABET: Mapping[str, int] = _gpt2_alphabet()


def component_types(component: Any) -> set[str]:
    """Return the type names in a tokenizer's normalizer, pre-tokenizer or decoder, nested too."""
    return set() if component is None else set(_types(json.loads(component.__getstate__())))


def _types(state: Any) -> Iterator[str]:
    if isinstance(state, dict):
        if isinstance(state.get("type"), str):
            yield state["type"]
        for value in state.values():
            yield from _types(value)
    elif isinstance(state, list):
        for value in state:
            yield from _types(value)


def tokenizer_family(backend: Tokenizer) -> str:
    """Name the alphabet: `byte-level`, `sentencepiece`, `unigram`, `wordpiece` or `raw`."""
    model = type(backend.model).__name__
    if model == "Unigram":
        return "unigram"
    if model == "WordPiece":
        return "wordpiece"
    types = component_types(backend.pre_tokenizer) | component_types(backend.decoder)
    if "ByteLevel" in types:
        return "byte-level"
    states = [backend.normalizer, backend.pre_tokenizer, backend.decoder]
    written = " ".join(part.__getstate__().decode() for part in states if part is not None)
    return "sentencepiece" if "▁" in written or "Metaspace" in types else "raw"


def token_to_bytes(token: str, family: str, *, continuing: str = "##") -> bytes:
    r"""Return what a token spells.

    Args:
        token: the string of the vocabulary, not decoded text.
        family: as `tokenizer_family` names it.
        continuing: what WordPiece puts in front of a token that goes on with a word.

    >>> token_to_bytes("Ġhello", "byte-level"), token_to_bytes("▁hello", "sentencepiece")
    (b' hello', b' hello')
    >>> token_to_bytes("<0x0A>", "sentencepiece"), token_to_bytes("Ċ", "byte-level")
    (b'\n', b'\n')
    >>> token_to_bytes("##ing", "wordpiece"), token_to_bytes("go", "wordpiece")
    (b'ing', b' go')
    >>> token_to_bytes(",", "wordpiece"), token_to_bytes("国", "wordpiece").decode()
    (b',', '国')
    """
    if family == "byte-level":
        if all(character in GPT2_ALPHABET for character in token):
            return bytes(GPT2_ALPHABET[character] for character in token)
        return token.encode("utf-8", "surrogatepass")
    if family in ("sentencepiece", "unigram"):
        if is_byte_token(token):
            return bytes([int(token[3:5], 16)])
        return token.replace("▁", " ").encode("utf-8", "surrogatepass")
    if family == "wordpiece":
        if continuing and token.startswith(continuing):
            return token.removeprefix(continuing).encode()
        return token.encode() if is_cut_off(token[0]) else f" {token}".encode()
    return token.encode("utf-8", "surrogatepass")


def is_cut_off(sign: str) -> bool:
    """Say whether WordPiece cuts a sign off its neighbours whether or not a space is between.

    Text mostly has none there: before punctuation and between Han characters.
    """
    is_sign = unicodedata.category(sign)[0] == "P" or (sign.isascii() and not sign.isalnum())
    return is_sign or "CJK" in unicodedata.name(sign, "")


def is_byte_token(token: str) -> bool:
    """Say whether a SentencePiece token is the fallback for one byte, such as `<0x0A>`."""
    return BYTE_TOKEN.fullmatch(token) is not None


def split_incomplete(data: bytes) -> tuple[str, bytes]:
    r"""Split bytes into the text that is complete and the last character's bytes if it is not.

    Bytes that no continuation can make valid are kept in the text as U+FFFD.

    >>> split_incomplete("né".encode()[:-1])
    ('n', b'\xc3')
    """
    if data.isascii():
        return data.decode("ascii"), b""
    for length in range(1, min(4, len(data)) + 1):
        lead = data[-length]
        if lead & 0xC0 != 0x80:
            needed = 2 if lead >> 5 == 6 else 3 if lead >> 4 == 14 else 4 if lead >> 3 == 30 else 1
            if length < needed:
                return data[:-length].decode("utf-8", "replace"), data[-length:]
            break
    return data.decode("utf-8", "replace"), b""
