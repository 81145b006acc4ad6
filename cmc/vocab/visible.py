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
    if shown.isprintable():
        return shown
    return "".join(sign if sign.isprintable() else f"<U+{ord(sign):04X}>" for sign in shown)


def token_names(vocabulary: Vocabulary) -> list[str]:
    """Return what is shown for every id: its bytes, or the name of its role such as `[eos]`."""
    named = {token: f"[{role}]" for role, tokens in vocabulary.roles.items() for token in tokens}
    return [
        named.get(token, "[unused]") if data is None else visible(data)
        for token, data in enumerate(vocabulary.token_bytes)
    ]
