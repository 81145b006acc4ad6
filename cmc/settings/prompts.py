"""Prompt formats a person can set: a known name, the template's chat, or a text with fields."""

import re

from cmc.errors import SettingError
from cmc.settings.limits import PROMPT_FORMATS

CHAT = "chat"  # the chat template of the template's tokenizer, written out when a run starts
PROMPT_FIELD = re.compile(r"\{(\w+)\}")
PROMPT_FIELDS = ("instruction", "input", "output")
MAX_PROMPT = 8000  # characters


def checked_prompt_format(value: str) -> str:
    r"""Return a prompt format that can be used.

    Args:
        value: one of `PROMPT_FORMATS`, `chat`, or a text such as
            `Q: {instruction}\nA: {output}`. `{instruction}` must be there; `{input}` is optional
            (without it the input follows the instruction); `{output}`, where the answer begins,
            stands at the end or nowhere.

    Raises:
        SettingError: it is none of them; the message says what is wrong with the text.
    """
    if value in (*PROMPT_FORMATS, CHAT):
        return value
    hint = f"Choose one of: {', '.join((*PROMPT_FORMATS, CHAT))}; or write a text with "
    hint += "{instruction}, {input} and at its end {output}."
    named = PROMPT_FIELD.findall(value)
    unknown = [each for each in named if each not in PROMPT_FIELDS]
    if not named:
        raise SettingError(f'the prompt format is "{value[:80]}"', hint=hint)
    if unknown:
        raise SettingError(f"the prompt has a field {{{unknown[0]}}}", hint=hint)
    if named.count("instruction") != 1 or max(map(named.count, named)) > 1:
        raise SettingError("the prompt must have {instruction} and no field twice", hint=hint)
    if value.partition("{output}")[2].strip():
        raise SettingError("the prompt goes on behind {output}", hint=hint)
    if len(value) > MAX_PROMPT:
        raise SettingError(f"the prompt has {len(value):,} characters", hint=hint)
    return value
