"""Sizes of small language models, and what a person sets to pre-train one."""

from dataclasses import dataclass

from cmc.errors import SettingError
from cmc.settings.checks import check_numbers, checked_choice


@dataclass(frozen=True)
class Shape:
    """The sizes of a small Llama; `context` is in tokens."""

    hidden_size: int
    layers: int
    heads: int
    key_value_heads: int
    intermediate_size: int
    context: int


# Called by their parameters with the vocabulary they were published with (512 tokens the first,
# 32,000 those from 15M on); another vocabulary gives another number. All but 1M are those of
# https://github.com/karpathy/llama2.c, which the published controllers were made from.
SHAPES = {
    "0.26M": Shape(64, 5, 8, 4, 172, 512),
    "1M": Shape(128, 5, 4, 4, 344, 512),
    "15M": Shape(288, 6, 6, 6, 768, 256),
    "42M": Shape(512, 8, 8, 8, 1376, 1024),
    "110M": Shape(768, 12, 12, 12, 2048, 1024),
}
RANDOM = "random:"  # before a size: a model that has learned nothing


def shape_called(size: str) -> Shape:
    """Return the sizes of a small Llama by its name.

    Raises:
        SettingError: there is none of this name.
    """
    return SHAPES[checked_choice("size", size, tuple(SHAPES))]


@dataclass(frozen=True, kw_only=True)
class PriorSettings:
    """One `cmc prior`: a small language model in a template's vocabulary, from plain text.

    Attributes:
        data: text files, data files with a column of text or of records, folders, Hub ids.
        column: where the text stands; empty takes `text`, `content`, or question and answer.
        window: tokens learned from at once.
        most_tokens: of the data, at most.
    """

    data: tuple[str, ...] = ()
    template: str = "lab:template"
    column: str = ""
    size: str = "1M"
    name: str = "prior"
    max_steps: int = 1000
    batch_size: int = 32
    window: int = 128
    learning_rate: float = 3e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 0.05
    held_out_fraction: float = 0.02
    most_tokens: int = 50_000_000
    evaluate_every: int = 100
    save_every: int = 100
    seed: int = 0

    def __post_init__(self) -> None:
        shape = shape_called(self.size)
        ranges = {"max_steps": (1, 10**7), "batch_size": (1, 4096), "learning_rate": (1e-8, 1)}
        ranges |= {"window": (8, shape.context), "most_tokens": (1, 10**9)}
        ranges |= {"warmup_fraction": (0, 1), "weight_decay": (0, 10)}
        ranges |= {"held_out_fraction": (0, 0.5), "evaluate_every": (1, 10**7)}
        check_numbers(self, ranges | {"save_every": (1, 10**7), "seed": (0, 2**32)})
        if not self.data or not all(self.data):
            raise SettingError(
                "no text is named", hint="Name text files, data files, a folder or a Hub id."
            )
