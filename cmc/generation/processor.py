"""Control inside transformers' own `generate`."""

from collections.abc import Sequence

import torch
from transformers import GenerationConfig, LogitsProcessor, PreTrainedModel

from cmc.errors import ControlError, SettingError
from cmc.generation.mix import Mix
from cmc.models import LanguageModel
from cmc.vocab import Vocabulary


class ControlProcessor(LogitsProcessor):
    """Adds control to the scores of every step of one call of `generate`.

    Made by `ControlledModel.processor`, for greedy decoding and sampling, and used once.

    Raises:
        ControlError: `generate` searches beams, verifies an assistant's draft, or works on other
            rows than it was made for.
    """

    def __init__(self, mix: Mix, rows: int, eos_ids: Sequence[int]) -> None:
        self._mix = mix
        self._active = list(range(rows))
        self._rows = rows
        self._eos_ids = set(eos_ids)
        self._seen: torch.Tensor | None = None

    @torch.inference_mode()
    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        """Return `(batch, vocab)` scores under control.

        Args:
            input_ids: `(batch, time)`, what the target has read.
            scores: `(batch, vocab)` of the target, nats up to a constant per row.
        """
        self._follow(input_ids)
        self._seen = input_ids.clone()
        found = self._mix.step(scores.float(), self._active).scores
        return found.to(scores.dtype).clone()

    def _follow(self, input_ids: torch.Tensor) -> None:
        if len(input_ids) != self._rows:
            raise ControlError(
                f"generate works on {len(input_ids)} texts, control was prepared for {self._rows}",
                hint="Give one row per prompt; beam search and several answers per prompt do not "
                "work with control.",
            )
        if self._seen is None:
            return
        is_next = input_ids.shape[1] == self._seen.shape[1] + 1
        if not is_next or not torch.equal(input_ids[:, :-1], self._seen):
            raise ControlError(
                "generate does not go on token by token",
                hint="Use greedy decoding or sampling, without beams and assistant, and a new "
                "processor for every call.",
            )
        chosen = input_ids[:, -1].tolist()
        self._active = [row for row in self._active if chosen[row] not in self._eos_ids]
        self._mix.push({row: chosen[row] for row in self._active})


def check_decoding(
    model: PreTrainedModel, target: PreTrainedModel, settings: GenerationConfig
) -> None:
    """Refuse what control cannot follow token by token.

    Raises:
        ControlError: another model generates, or beams are searched.
    """
    if model is not target:
        raise ControlError(
            "generate was called on another model than the controlled target",
            hint="Call `generate` of the target that this controlled model was made with.",
        )
    if (settings.num_beams or 1) > 1:
        raise ControlError(
            f"control does not work with a search over {settings.num_beams} beams",
            hint="Use greedy decoding or sampling.",
        )


def prompts_of(
    input_ids: torch.Tensor, mask: torch.Tensor | None, target: LanguageModel,
    prompts: Sequence[str] | None,
) -> list[str]:  # fmt: skip
    """Return the text of each row of `(batch, time)` ids, without padding and roles, or the given.

    With several answers per prompt, a prompt's answers stand one behind the other.

    Raises:
        SettingError: rows and given prompts do not share out.
    """
    seen = torch.ones_like(input_ids) if mask is None else mask
    texts = prompts or [
        _read_prompt(ids[kept.bool()].tolist(), target.vocabulary)
        for ids, kept in zip(input_ids, seen, strict=True)
    ]
    if isinstance(texts, str) or len(input_ids) % len(texts):
        raise SettingError(
            f"{len(input_ids)} rows of input_ids do not share out among the prompts",
            hint="Give a list with one prompt for each text.",
        )
    return [text for text in texts for _ in range(len(input_ids) // len(texts))]


def _read_prompt(ids: list[int], vocabulary: Vocabulary) -> str:
    # Some tokenizers put a space before a text; it is no part of what was typed.
    text = vocabulary.decode(ids)
    return next(
        (each for each in (text, text.removeprefix(" ")) if vocabulary.encode_prompt(each) == ids),
        text,
    )
