"""Prompt formats: how an instruction is put to a language model."""

from collections.abc import Callable

from cmc.settings import PROMPT_FORMATS, checked_choice

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
        prompt_format: one of `cmc.settings.PROMPT_FORMATS`.
        instruction: what the model should do.
        input: material for the instruction; may be empty.

    Raises:
        SettingError: the format is unknown; choose one of those listed.

    Example:
        >>> format_prompt("qa", "Where does Anna Kovac live?")
        'Question: Where does Anna Kovac live?\nAnswer:'
    """
    checked_choice("prompt format", prompt_format, PROMPT_FORMATS)
    return _FORMATS[prompt_format](instruction, input)


def response_prefix(prompt_format: str) -> str:
    """Return what stands between prompt and answer: a space for `qa` and `plain`, else nothing.

    Raises:
        SettingError: the format is unknown; choose one of those listed.
    """
    checked_choice("prompt format", prompt_format, PROMPT_FORMATS)
    return " " if prompt_format in ("qa", "plain") else ""


def _qa(instruction: str, input: str) -> str:
    return f"Question: {_joined(instruction, input)}\nAnswer:"


def _alpaca(instruction: str, input: str) -> str:
    prompt = _ALPACA_WITH_INPUT if input else _ALPACA
    # Not str.format: an instruction may hold braces of its own, and replacing the input first
    # keeps "{instruction}" inside an instruction from being filled in twice.
    before, _, after = prompt.partition("{instruction}")
    return before + instruction + after.replace("{input}", input, 1)


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
