"""What the special tokens of a tokenizer do, whatever their strings and ids."""

from collections.abc import Iterable, Sequence

from transformers import PreTrainedTokenizerFast

# Strings that published tokenizers use, for folders that do not say what they are.
BOS_MARKERS = (
    "<s>", "<|begin_of_text|>", "<bos>", "[CLS]", "<|startoftext|>", "<|bos|>", "[BOS]",
    "<BOS_TOKEN>", "<｜begin▁of▁sentence｜>",
)  # fmt: skip
EOS_MARKERS = (
    "</s>", "<|end_of_text|>", "<|eot_id|>", "<|endoftext|>", "<|im_end|>", "<end_of_turn>",
    "<eos>", "<|end|>", "<|eom_id|>", "[SEP]", "<|eos|>", "[EOS]", "<EOS_TOKEN>", "<|eot|>",
    "<|eom|>", "<|END_OF_TURN_TOKEN|>", "<｜end▁of▁sentence｜>", "<|return|>", "<|endofturn|>",
)  # fmt: skip
UNK_MARKERS = ("<unk>", "[UNK]", "⁇", "<|unk|>")
PAD_MARKERS = (
    "<pad>", "[PAD]", "<|finetune_right_pad_id|>", "<|pad|>", "<|padding|>", "<PAD>",
)  # fmt: skip


def find_roles(
    tokenizer: PreTrainedTokenizerFast,
    tokens: Sequence[str | None],
    specials: Iterable[int],
    eos_ids: Iterable[int],
) -> dict[str, tuple[int, ...]]:
    """Return the ids that play each role, in ascending order.

    Args:
        tokenizer: what it names as beginning, end, padding and unknown counts, and its chat
            template.
        tokens: the string of every id, None where an id has none.
        specials: ids that stand for no text.
        eos_ids: what else ends a text or a turn.
    """
    specials = set(specials)
    found = {
        "bos": _marked(tokenizer.bos_token_id, BOS_MARKERS, specials, tokens),
        "eos": _marked(tokenizer.eos_token_id, EOS_MARKERS, specials, tokens) | set(eos_ids),
        "pad": _marked(tokenizer.pad_token_id, PAD_MARKERS, specials, tokens),
        "unk": _marked(tokenizer.unk_token_id, UNK_MARKERS, specials, tokens),
    }
    rest = specials.difference(*found.values())
    chat = str(tokenizer.chat_template or "")
    found["turn"] = {each for each in rest if tokens[each] and tokens[each] in chat}
    found["other"] = rest - found["turn"]
    return {role: tuple(sorted(ids)) for role, ids in found.items()}


def _marked(
    known: int | None, markers: Sequence[str], specials: set[int], tokens: Sequence[str | None]
) -> set[int]:
    ids = {each for each in specials if tokens[each] in markers}
    return ids if known is None else ids | {known}
