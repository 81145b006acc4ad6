"""A target under the control of one or more controllers."""

import time
from collections.abc import Iterator, Sequence
from itertools import zip_longest
from typing import Any

from torch import Tensor
from transformers import LogitsProcessorList, PreTrainedModel

from cmc.controller import Controller
from cmc.data import format_prompt, response_prefix
from cmc.errors import SettingError
from cmc.generation.decoder import Decoder, Row
from cmc.generation.details import token_details
from cmc.generation.mix import Steering, carrier
from cmc.generation.processor import ControlProcessor, check_decoding, prompts_of
from cmc.generation.sampling import Sampler
from cmc.generation.scoring import text_logprobs
from cmc.generation.spelling import Spelling
from cmc.generation.told import Chunk, Generation, Progress, Score
from cmc.models import LanguageModel
from cmc.settings import CoverSettings, Rails, Sampling
from cmc.vocab import VocabMap
from cmc.vocab.canonical import split_incomplete


class ControlledModel:
    """A target whose next-token scores controllers shift.

    Args:
        target: the model that is steered; its weights stay as they are.
        controllers: any number, each with its own strength in every row.
        transfer: `auto` takes `same` for equal vocabularies and `cover` for others.
        cover: how many candidates `cover` scores.
        rails: limits of control, all off by default.
        maps: per controller a vocab map to follow instead of building one, or None; fewer than
            there are controllers leave the rest without.

    Raises:
        VocabMismatch: `same` was asked for between different vocabularies, or a map was built
            for others.
        SettingError: a map was given and the transfer follows none.

    Example:
        >>> from cmc import ControlledModel, load_controller, load_language_model  # doctest: +SKIP
        >>> model = ControlledModel(load_language_model("lab:byte"),
        ...                         [load_controller("lab:instruct")])  # doctest: +SKIP
        >>> prompt = model.prompt("Where does Anna Zimmer live?")  # doctest: +SKIP
        >>> base, controlled = model.generate([Row(prompt, (0,)), Row(prompt, (1,))],
        ...                                   Sampling())  # doctest: +SKIP
    """

    def __init__(
        self,
        target: LanguageModel,
        controllers: Sequence[Controller],
        *,
        transfer: str = "auto",
        cover: CoverSettings | None = None,
        rails: Rails | None = None,
        maps: Sequence[VocabMap | None] = (),
    ) -> None:
        self.target = target
        self.controllers = list(controllers)
        self.cover = cover or CoverSettings()
        self.rails = rails or Rails()
        if len(maps) > len(self.controllers):
            raise SettingError(
                f"{len(maps)} maps for {len(self.controllers)} controllers",
                hint="Give at most one map per controller.",
            )
        # Per controller a map, or for `cover` how its tokens spell the target's.
        self.carriers: list[VocabMap | Spelling] = [
            carrier(each, target, transfer, vocab_map)
            for each, vocab_map in zip_longest(self.controllers, maps)
        ]

    @property
    def transfers(self) -> tuple[str, ...]:
        """The transfer in use for each controller."""
        return tuple(each.transfer for each in self.carriers)

    @property
    def prompt_format(self) -> str:
        """The first controller's format that is not plain text, else plain."""
        formats = [each.prompt_format for each in self.controllers]
        return next((each for each in formats if each != "plain"), "plain")

    def prompt(self, instruction: str, more: str = "") -> str:
        """Return the text both sides read for an instruction."""
        return format_prompt(self.prompt_format, instruction, more)

    def row(
        self, instruction: str, strengths: Sequence[float], more: str = "", prompt_format: str = ""
    ) -> Row:
        """Return a row for an instruction: each side reads it as it was trained.

        The controllers read their own format; a target with a chat template reads that, any other
        the controllers' format.

        Args:
            instruction: what is asked.
            strengths: one per controller.
            more: what the instruction speaks of, if anything.
            prompt_format: instead of the controllers' own; `plain` is a text to go on with, which
                no chat template is put around.
        """
        form, vocabulary = prompt_format or self.prompt_format, self.target.vocabulary
        prompt = format_prompt(form, instruction, more)
        if not vocabulary.tokenizer.chat_template or prompt_format == "plain":
            return Row(prompt, tuple(strengths))
        asked = format_prompt("plain", instruction, more)
        text = vocabulary.tokenizer.apply_chat_template(
            [{"role": "user", "content": asked}], tokenize=False, add_generation_prompt=True
        )
        ids = vocabulary.tokenizer(text, add_special_tokens=False).input_ids
        return Row(prompt, tuple(strengths), tuple(ids), response_prefix(form).encode())

    def processor(self, rows: Sequence[Row]) -> ControlProcessor:
        """Return what to give to transformers' `generate` as a `logits_processor`, once.

        Example:
            >>> ids = model.target.tokenizer(prompt, return_tensors="pt")  # doctest: +SKIP
            >>> model.target.model.generate(  # doctest: +SKIP
            ...     **ids, logits_processor=[model.processor([Row(prompt, (1.0,))])])
        """
        eos_ids = self.target.vocabulary.eos_ids
        return ControlProcessor(self.decoder(rows).mix, len(rows), eos_ids)

    def custom_generate(
        self, model: PreTrainedModel, input_ids: Tensor, logits_processor: LogitsProcessorList,
        strengths: Sequence[float] = (), prompts: Sequence[str] | None = None, **more: Any,
    ) -> Any:  # fmt: skip
        """Decode under control inside transformers' own `generate`, which calls this.

        Example:
            >>> ids = model.target.tokenizer(prompt, return_tensors="pt")  # doctest: +SKIP
            >>> model.target.model.generate(  # doctest: +SKIP
            ...     **ids, custom_generate=model.custom_generate, strengths=[1.0])

        Args:
            model: the target.
            input_ids: `(batch, time)`.
            logits_processor: what `generate` makes of its other settings; acts after control.
            strengths: one per controller, the same for all texts.
            prompts: what the controllers read, by default the target's own prompts.
            more: what else `generate` prepared.

        Raises:
            ControlError: `generate` searches beams, or `model` is not this target.
            SettingError: prompts and rows do not fit.
        """
        check_decoding(model, self.target.model, more["generation_config"])
        texts = prompts_of(input_ids, more.get("attention_mask"), self.target, prompts)
        rows = [Row(text, tuple(strengths)) for text in texts]
        processors = LogitsProcessorList([self.processor(rows), *logits_processor])
        return model._sample(input_ids, logits_processor=processors, **more)

    def generate(
        self, rows: Sequence[Row], sampling: Sampling, *, top: int = 0
    ) -> list[Generation]:
        """Return what every row goes on with; see `stream`."""
        progress = [Progress() for _ in rows]
        for _ in self._decode(rows, sampling, progress, top):
            pass
        return [
            Generation(
                self._shown(each.data),
                each.token_ids,
                each.finished,
                row.strengths,
                each.is_windowed,
                each.details,
            )
            for row, each in zip(rows, progress, strict=True)
        ]

    def stream(self, rows: Sequence[Row], sampling: Sampling, *, top: int = 0) -> Iterator[Chunk]:
        """Yield all rows' texts after every token, until all have ended.

        Rows are one batch of the target: give a prompt twice, with strengths 0 and 1, to have
        base and controlled side by side. Closing the generator stops.

        Args:
            rows: prompts with their strengths.
            sampling: how tokens are chosen, and how many at most.
            top: tell of every token what control did to it, with this many of the most likely
                tokens before and after; 0 tells nothing and costs nothing.

        Raises:
            SettingError: a row has not one strength per controller, or is too long.
            ControlError: target or controller gave scores that are no numbers.
        """
        start = time.perf_counter()
        progress = [Progress() for _ in rows]
        for going in self._decode(rows, sampling, progress, top):
            told = [each.details[-1] if row in going else None for row, each in enumerate(progress)
                    ] if top else []  # fmt: skip
            yield Chunk(
                [self._shown(split_incomplete(each.data)[0].encode()) for each in progress],
                [len(each.token_ids) for each in progress],
                [each.finished for each in progress],
                time.perf_counter() - start,
                [each.is_windowed for each in progress],
                told,
            )

    def score(self, rows: Sequence[Row], responses: Sequence[str]) -> list[Score]:
        """Return the log-probabilities of given responses under control.

        Args:
            rows: prompts with their strengths, one per response.
            responses: as they follow what the target reads, see `Row.response`; the end token is
                scored too.
        """
        if len(rows) != len(responses):
            raise SettingError(
                f"{len(rows)} prompts and {len(responses)} responses",
                hint="Give every prompt one response.",
            )
        if not rows:
            return []
        vocabulary = self.target.vocabulary
        ids = [
            [*vocabulary.encode_continuation(response.encode()), vocabulary.eos_id]
            for response in responses
        ]
        self.decoder(rows).check_room(max(map(len, ids)))
        return [
            Score(each, text_logprobs(self.target, row, each, self._steering, self.rails))
            for row, each in zip(rows, ids, strict=True)
        ]

    def decoder(self, rows: Sequence[Row]) -> Decoder:
        """Return a batch of these rows in progress, for those who choose tokens themselves."""
        return Decoder(self.target, rows, self._steering, self.rails)

    @property
    def _steering(self) -> list[Steering]:
        return [
            (controller, carried_by, self.cover)
            for controller, carried_by in zip(self.controllers, self.carriers, strict=True)
        ]

    def _shown(self, data: bytes) -> str:
        text = data.decode("utf-8", "replace")
        return text.removeprefix(response_prefix(self.prompt_format))

    def _decode(
        self, rows: Sequence[Row], sampling: Sampling, progress: list[Progress], top: int
    ) -> Iterator[list[int]]:
        """Go on token by token; yield the rows that did."""
        if not rows:
            return
        decoder = self.decoder(rows)
        decoder.check_room(sampling.max_new_tokens)
        sampler = Sampler(sampling, len(rows))
        vocabulary = self.target.vocabulary
        for _ in range(sampling.max_new_tokens):
            active = [row for row, each in enumerate(progress) if not each.finished]
            step = decoder.step(active)
            if top:
                chosen, alone = sampler.choose(step.scores, step.base)
                details = token_details(step, chosen, alone, top, vocabulary)
            else:
                (chosen,) = sampler.choose(step.scores)
            for row in active:
                progress[row].token_ids.append(chosen[row])
                progress[row].finished = chosen[row] in vocabulary.eos_ids
                progress[row].data += vocabulary.spell([chosen[row]])
                progress[row].is_windowed = decoder.is_windowed(row)
                if top:
                    progress[row].details.append(details[row])
            yield active
            active = [row for row in active if not progress[row].finished]
            if not active:
                return
            decoder.push(chosen, active)
