"""What a tokenizer loses of a text, with examples."""

from dataclasses import dataclass
from typing import Any

from cmc.vocab.vocabulary import Vocabulary

# Each stands for a kind of loss: letter case, white space, compatibility forms, scripts, signs.
PROBES = (
    "A", "\n", "\t", "  ", " ,", "{", "ﬁ", "Ａ", "①", "e\u0301", "\u200b", "ñ", "я", "ω", "ש",
    "م", "ह", "ব", "த", "ไ", "한", "あ", "日", "😀",
)  # fmt: skip


@dataclass(frozen=True)
class Losses:
    """What does not come back from a tokenizer.

    Attributes:
        unspelled: probes whose bytes the tokens do not spell: they are lost to every transfer.
        rewritten: probes that the tokenizer itself rewrites before it cuts them, and what then
            comes back in their place.
    """

    unspelled: tuple[str, ...]
    rewritten: tuple[tuple[str, str], ...]

    @property
    def is_lossy(self) -> bool:
        """Whether some text cannot be put together again from its tokens."""
        return bool(self.unspelled)

    def plain(self) -> dict[str, Any]:
        """Return what a JSON report holds."""
        return {
            "lossy": self.is_lossy,
            "unspelled": list(self.unspelled),
            "rewritten": dict(self.rewritten),
        }


def find_losses(vocabulary: Vocabulary) -> Losses:
    """Put every probe between two letters through a vocabulary and its tokenizer."""
    unspelled, rewritten = [], []
    for probe in PROBES:
        text = f"a{probe}a"
        if vocabulary.spell(vocabulary.encode_continuation(text.encode())) != text.encode():
            unspelled.append(probe)
        ids = vocabulary.tokenizer(text, add_special_tokens=False).input_ids
        back = vocabulary.tokenizer.decode(
            ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        instead = back.strip().removeprefix("a").removesuffix("a")
        if instead not in ("", probe):
            rewritten.append((probe, instead))
    return Losses(tuple(unspelled), tuple(rewritten))
