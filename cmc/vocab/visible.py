"""Tokens as text a person can read: white space made visible, broken characters told."""

from cmc.vocab.vocabulary import Vocabulary

VISIBLE = str.maketrans({" ": "·", "\n": "⏎", "\t": "⇥", "\r": "␍", "\u00a0": "⍽", "\x00": "␀"})


def visible(data: bytes | None) -> str:
    """Return bytes as text with visible white space; broken UTF-8 as `<E2>`."""
    if data is None:
        return ""
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError:
        text = "".join(chr(byte) if 32 <= byte < 127 else f"<{byte:02X}>" for byte in data)
    shown = text.translate(VISIBLE)
    return "".join(sign if sign.isprintable() else f"<U+{ord(sign):04X}>" for sign in shown)


def token_name(vocabulary: Vocabulary, token: int) -> str:
    """Return what is shown for an id: its bytes, or the name of its role such as `[eos]`."""
    # A model may have more rows than its tokenizer has tokens.
    data = vocabulary.token_bytes[token] if token < vocabulary.size else None
    if data is not None:
        return visible(data)
    roles = (role for role, tokens in vocabulary.roles.items() if token in tokens)
    return f"[{next(roles, 'unused')}]"
