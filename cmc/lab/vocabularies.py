"""Three tokenizers that cut the same text differently."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence

from tokenizers import (
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)
from transformers import PreTrainedTokenizerFast

MAX_TOKENS = 512
LONGEST = 5  # characters of a Unigram piece
END_OF_TEXT = "<|endoftext|>"
# Pieces hold a space or a line end only at their start, as in well trained vocabularies.
PIECES = Regex(r"▁*[^▁\n.,:?!\"]+|▁*[\n.,:?!\"]|▁+")


def sentencepiece_bpe(texts: Sequence[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a Llama-style tokenizer: `▁` for a space, a dummy space in front, byte fallback."""
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", byte_fallback=True, fuse_unk=True))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Split(PIECES, behavior="isolated")
    first = ["<unk>", "<s>", "</s>", *(f"<0x{byte:02X}>" for byte in range(256))]
    trainer = trainers.BpeTrainer(vocab_size=vocab_size, special_tokens=first, show_progress=False)
    tokenizer.train_from_iterator(texts, trainer)
    # The trainer makes the byte tokens special; in Llama's vocabulary they are ordinary.
    description = json.loads(tokenizer.to_str())
    description["added_tokens"] = description["added_tokens"][:3]
    tokenizer = Tokenizer.from_str(json.dumps(description))
    tokenizer.decoder = decoders.Sequence(
        [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(),
         decoders.Strip(" ", 1, 0)]
    )  # fmt: skip
    tokenizer.post_processor = processors.TemplateProcessing(
        single="<s> $A", pair="<s> $A <s> $B", special_tokens=[("<s>", 1)]
    )
    return _finished(tokenizer, bos_token="<s>", eos_token="</s>", unk_token="<unk>")


def byte_level_bpe(texts: Sequence[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a GPT-style tokenizer: the 256 bytes and what is merged from them."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=vocab_size, special_tokens=[END_OF_TEXT], show_progress=False,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )  # fmt: skip
    tokenizer.train_from_iterator(texts, trainer)
    return _finished(tokenizer, bos_token=END_OF_TEXT, eos_token=END_OF_TEXT)


def unigram(texts: Sequence[str], vocab_size: int) -> PreTrainedTokenizerFast:
    """Train a T5-style tokenizer: likeliest pieces, and unknown characters stay unknown."""
    tokenizer = Tokenizer(models.Unigram())
    letters = sorted({*map(chr, range(33, 127)), "▁", "\n"})
    trainer = trainers.UnigramTrainer(
        vocab_size=2 * vocab_size, special_tokens=[END_OF_TEXT, "<unk>"], unk_token="<unk>",
        initial_alphabet=letters, show_progress=False, max_piece_length=LONGEST,
    )  # fmt: skip
    tokenizer.train_from_iterator(_marked_words(texts), trainer)
    tokenizer = Tokenizer(models.Unigram(_unmarked(tokenizer, vocab_size), 1, False))
    tokenizer.add_special_tokens([END_OF_TEXT, "<unk>"])
    tokenizer.normalizer = normalizers.Replace(" ", "▁")
    tokenizer.pre_tokenizer = pre_tokenizers.Split(PIECES, behavior="isolated")
    tokenizer.decoder = decoders.Replace("▁", " ")
    return _finished(tokenizer, eos_token=END_OF_TEXT, unk_token="<unk>")


def _marked_words(texts: Sequence[str]) -> Iterator[str]:
    """Yield every word with a changing digit behind it.

    The trainer seeds its pieces with substrings that repeat within a list of unique words, in
    which a word that is part of no other never repeats; the digit makes it repeat.
    """
    split = pre_tokenizers.Split(PIECES, behavior="isolated")
    for text in texts:
        for number, (word, _) in enumerate(split.pre_tokenize_str(text.replace(" ", "▁"))):
            yield f"{word}{number % 10}"


def _unmarked(tokenizer: Tokenizer, vocab_size: int) -> list[tuple[str, float]]:
    """Return all single characters and the likeliest longer pieces without the digits."""
    head, body = (pieces := json.loads(tokenizer.to_str())["model"]["vocab"])[:2], pieces[2:]
    single = [each for each in body if len(each[0]) == 1]
    longer = [each for each in body if len(each[0]) > 1 and not set(each[0]) & set("0123456789")]
    longer.sort(key=lambda each: -each[1])
    return [tuple(each) for each in (*head, *single, *longer)][:vocab_size]


FAMILIES: Mapping[str, Callable[[Sequence[str], int], PreTrainedTokenizerFast]] = {
    "sentencepiece": sentencepiece_bpe,
    "byte-level": byte_level_bpe,
    "unigram": unigram,
}


def _finished(tokenizer: Tokenizer, **specials: str) -> PreTrainedTokenizerFast:
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token=specials["eos_token"],
        model_max_length=MAX_TOKENS, clean_up_tokenization_spaces=False, **specials,
    )  # fmt: skip
