"""Prompt formats: how an instruction is put to a language model."""

from collections.abc import Callable
from typing import TYPE_CHECKING

from cmc.errors import SettingError
from cmc.settings import CHAT, checked_prompt_format
from cmc.settings.prompts import PROMPT_FIELD

if TYPE_CHECKING:
    from cmc.vocab import Vocabulary

# The two prompts published with Stanford Alpaca; models tuned on it expect them to the letter.
_ALPACA = (
    "Below is an instruction that describes a task. "
    "Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Response:"
)
_ALPACA_WITH_INPUT = (
    "Below is an instruction that describes a task, paired with an input that provides further "
    "context. Write a response that appropriately completes the request.\n\n"
    "### Instruction:\n{instruction}\n\n### Input:\n{input}\n\n### Response:"
)


def format_prompt(prompt_format: str, instruction: str, input: str = "") -> str:
    r"""Return the whole prompt text for one question.

    Args:
        prompt_format: one of `cmc.settings.PROMPT_FORMATS`, or a text with named fields as
            `cmc.settings.checked_prompt_format` describes it.
        instruction: what the model should do.
        input: material for the instruction; may be empty.

    Raises:
        SettingError: the format cannot be used; the message says why.

    Example:
        >>> format_prompt("qa", "Where does Anna Kovac live?")
        'Question: Where does Anna Kovac live?\nAnswer:'
        >>> format_prompt("Q: {instruction}\nA: {output}", "Who is Anna?")
        'Q: Who is Anna?\nA:'
    """
    known = _FORMATS.get(_checked(prompt_format))
    return known(instruction, input) if known else _filled(prompt_format, instruction, input)


def response_prefix(prompt_format: str) -> str:
    """Return the spaces between prompt and answer: one for `qa` and `plain`, of a text its last.

    They belong to the answer: tokenizers join a space to the word behind it.

    Raises:
        SettingError: the format cannot be used; the message says why.
    """
    if _checked(prompt_format) in _FORMATS:
        return " " if prompt_format in ("qa", "plain") else ""
    before = prompt_format.partition("{output}")[0]
    return before[len(before.rstrip(" ")) :]


def prompt_text(prompt_format: str) -> str:
    """Return a format as the text a person can read and edit, with its fields by name."""
    if _checked(prompt_format) not in _FORMATS:
        return prompt_format
    prompt = format_prompt(prompt_format, "{instruction}")
    return prompt + response_prefix(prompt_format) + "{output}"


def chat_prompt(vocabulary: "Vocabulary") -> str:
    """Return the chat template of a tokenizer as a text with `{instruction}` and `{output}`.

    Raises:
        SettingError: it has none, or one that takes no single question.
    """
    tokenizer = vocabulary.tokenizer
    hint = "Choose the prompt format alpaca or qa, or write a text of your own."
    if not tokenizer.chat_template:
        raise SettingError("the template has no chat template", hint=hint)
    try:
        text = tokenizer.apply_chat_template(
            [{"role": "user", "content": "{instruction}"}],
            tokenize=False, add_generation_prompt=True,
        )  # fmt: skip
        # The leading token comes with every prompt.
        text = text.removeprefix(tokenizer.bos_token or "")
        return checked_prompt_format(text + "{output}")
    # It is a stranger's program, run in a sandbox; whatever it raises, its words say why.
    except Exception as error:
        raise SettingError(f"the chat template cannot be used ({error})", hint=hint) from error


def _checked(prompt_format: str) -> str:
    if prompt_format == CHAT:
        raise SettingError(
            "the chat template was not written out",
            hint="Give the text that cmc.data.chat_prompt returns.",
        )
    return checked_prompt_format(prompt_format)


def _filled(text: str, instruction: str, input: str) -> str:
    """Fill the fields in one pass, so that what is put in is not looked at for fields."""
    prompt = text.partition("{output}")[0].rstrip(" ")
    if "{input}" not in prompt:
        instruction = _joined(instruction, input)
    values = {"instruction": instruction, "input": input}
    return PROMPT_FIELD.sub(lambda field: values[field[1]], prompt)


def _qa(instruction: str, input: str) -> str:
    return f"Question: {_joined(instruction, input)}\nAnswer:"


def _alpaca(instruction: str, input: str) -> str:
    return _filled(_ALPACA_WITH_INPUT if input else _ALPACA, instruction, input)


def _open_instruct(instruction: str, input: str) -> str:
    return f"<|user|>\n{_joined(instruction, input)}\n<|assistant|>\n"


def _plain(instruction: str, input: str) -> str:
    return f"{instruction} {input}" if input else instruction


def _joined(instruction: str, input: str) -> str:
    return f"{instruction}\n{input}" if input else instruction


_FORMATS: dict[str, Callable[[str, str], str]] = {
    "qa": _qa,
    "alpaca": _alpaca,
    "open-instruct": _open_instruct,
    "plain": _plain,
}
