"""A target under the control of one or more controllers."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor
from transformers import DynamicCache

from cmc.combine import centre, combine
from cmc.controller import Controller
from cmc.data import format_prompt, response_prefix
from cmc.errors import ControlError, SettingError, VocabMismatch
from cmc.generation.cover import CoverControl
from cmc.generation.mapped import MappedControl
from cmc.generation.sampling import Sampler
from cmc.generation.spelling import Spelling
from cmc.models import LanguageModel
from cmc.settings import CoverSettings, Sampling
from cmc.vocab import VocabMap, build_map
from cmc.vocab.canonical import split_incomplete

Control = MappedControl | CoverControl


@dataclass(frozen=True)
class Row:
    """One text to go on with: a formatted prompt and one strength per controller."""

    prompt: str
    strengths: tuple[float, ...]


@dataclass(frozen=True)
class Chunk:
    """All rows' texts so far; an incomplete character is held back until it is whole."""

    texts: list[str]
    token_counts: list[int]
    finished: list[bool]
    seconds: float
    windowed: list[bool]  # rows of which a controller saw only the end


@dataclass(frozen=True)
class Generation:
    """One finished row."""

    text: str
    token_ids: list[int]
    finished: bool  # ended by the model, not by the limit of tokens
    strengths: tuple[float, ...]
    is_windowed: bool  # whether a controller saw only the end of the text


@dataclass(frozen=True)
class Score:
    """Log-probabilities of a given response, nats per token of the target."""

    token_ids: list[int]
    logprobs: list[float]


@dataclass
class _Progress:
    """What a row has said so far."""

    token_ids: list[int] = field(default_factory=list)
    data: bytes = b""
    finished: bool = False
    is_windowed: bool = False


class ControlledModel:
    """A target whose next-token scores controllers shift.

    Args:
        target: the model that is steered; its weights stay as they are.
        controllers: any number, each with its own strength in every row.
        transfer: `auto` takes `same` for equal vocabularies and `cover` for others.
        cover: how many candidates `cover` scores.

    Raises:
        VocabMismatch: `same` was asked for between different vocabularies.

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
    ) -> None:
        self.target = target
        self.controllers = list(controllers)
        self.cover = cover or CoverSettings()
        # Per controller a map, or for `cover` how its tokens spell the target's.
        self._carriers: list[VocabMap | Spelling] = [
            carrier(each, target, transfer) for each in self.controllers
        ]

    @property
    def transfers(self) -> tuple[str, ...]:
        """The transfer in use for each controller."""
        return tuple(each.transfer for each in self._carriers)

    @property
    def prompt_format(self) -> str:
        """The first controller's format that is not plain text, else plain."""
        formats = [each.prompt_format for each in self.controllers]
        return next((each for each in formats if each != "plain"), "plain")

    def prompt(self, instruction: str, more: str = "") -> str:
        """Return the text both sides read for an instruction."""
        return format_prompt(self.prompt_format, instruction, more)

    def generate(self, rows: Sequence[Row], sampling: Sampling) -> list[Generation]:
        """Return what every row goes on with; see `stream`."""
        progress = [_Progress() for _ in rows]
        for _ in self._decode(rows, sampling, progress):
            pass
        return [
            Generation(
                self._shown(each.data),
                each.token_ids,
                each.finished,
                row.strengths,
                each.is_windowed,
            )
            for row, each in zip(rows, progress, strict=True)
        ]

    def stream(self, rows: Sequence[Row], sampling: Sampling) -> Iterator[Chunk]:
        """Yield all rows' texts after every token, until all have ended.

        Rows are one batch of the target: give a prompt twice, with strengths 0 and 1, to have
        base and controlled side by side. Closing the generator stops.

        Raises:
            SettingError: a row has not one strength per controller, or is too long.
            ControlError: target or controller gave scores that are no numbers.
        """
        start = time.perf_counter()
        progress = [_Progress() for _ in rows]
        for _ in self._decode(rows, sampling, progress):
            yield Chunk(
                [self._shown(split_incomplete(each.data)[0].encode()) for each in progress],
                [len(each.token_ids) for each in progress],
                [each.finished for each in progress],
                time.perf_counter() - start,
                [each.is_windowed for each in progress],
            )

    def score(
        self, prompts: Sequence[str], responses: Sequence[str], strengths: Sequence[float]
    ) -> list[Score]:
        """Return the log-probabilities of given responses under control.

        Args:
            prompts: formatted, one per response.
            responses: as they follow the prompt, leading space included; the end token is
                scored too.
            strengths: one per controller, the same for all responses.
        """
        if len(prompts) != len(responses):
            raise SettingError(
                f"{len(prompts)} prompts and {len(responses)} responses",
                hint="Give every prompt one response.",
            )
        if not prompts:
            return []
        rows = [Row(prompt, tuple(strengths)) for prompt in prompts]
        vocabulary = self.target.vocabulary
        ids = [
            [*vocabulary.encode_continuation(response.encode()), vocabulary.eos_id]
            for response in responses
        ]
        logprobs: list[list[float]] = [[] for _ in rows]
        decoder = _Decoder(self, rows)
        decoder.check_room(max(map(len, ids)))
        for step in range(max(map(len, ids))):
            forced = [each[step] if step < len(each) else vocabulary.pad_id for each in ids]
            active = [row for row, each in enumerate(ids) if step < len(each)]
            scores = torch.log_softmax(decoder.scores(active, forced), -1)
            for row in active:
                logprobs[row].append(scores[row, forced[row]].item())
            decoder.push(forced, active)
        return [Score(*each) for each in zip(ids, logprobs, strict=True)]

    def _shown(self, data: bytes) -> str:
        text = data.decode("utf-8", "replace")
        return text.removeprefix(response_prefix(self.prompt_format))

    def _decode(
        self, rows: Sequence[Row], sampling: Sampling, progress: list[_Progress]
    ) -> Iterator[None]:
        if not rows:
            return
        decoder = _Decoder(self, rows)
        decoder.check_room(sampling.max_new_tokens)
        sampler = Sampler(sampling, len(rows))
        vocabulary = self.target.vocabulary
        for _ in range(sampling.max_new_tokens):
            active = [row for row, each in enumerate(progress) if not each.finished]
            chosen = sampler.choose(decoder.scores(active))
            for row in active:
                progress[row].token_ids.append(chosen[row])
                progress[row].finished = chosen[row] in vocabulary.eos_ids
                progress[row].data += vocabulary.spell([chosen[row]])
                progress[row].is_windowed = decoder.is_windowed(row)
            yield
            active = [row for row in active if not progress[row].finished]
            if not active:
                return
            decoder.push(chosen, active)


def carrier(controller: Controller, target: LanguageModel, transfer: str) -> VocabMap | Spelling:
    """Return what carries a shift between two vocabularies.

    Raises:
        VocabMismatch: `same` was asked for between different vocabularies.
    """
    mine, theirs = controller.vocabulary, target.vocabulary
    is_same = mine.fingerprint == theirs.fingerprint
    if transfer == "cover" or (transfer == "auto" and not is_same):
        return Spelling(mine, theirs)
    if transfer == "same" and not is_same:
        raise VocabMismatch(
            f"{controller.name} and {target.name} have different vocabularies",
            hint="Choose the transfer cover or pm-mined.",
        )
    return build_map(mine, theirs).named("same" if transfer == "auto" else transfer)


class _Decoder:
    """One batch in progress: the target's cache and the controllers' texts."""

    def __init__(self, controlled: ControlledModel, rows: Sequence[Row]) -> None:
        self._target = controlled.target
        self._rows = rows
        for row in rows:
            if len(row.strengths) != len(controlled.controllers):
                raise SettingError(
                    f"{len(row.strengths)} strengths for {len(controlled.controllers)} controllers",
                    hint="Give every controller one strength.",
                )
        prompts = [row.prompt for row in rows]
        self._controls: list[Control] = [
            self._control(controlled, number, prompts)
            for number in range(len(controlled.controllers))
        ]
        ids = [self._target.vocabulary.encode_prompt(prompt) for prompt in prompts]
        # A model needs something to go on from; the end of another text is the nearest to nothing.
        ids = [each or [self._target.vocabulary.eos_id] for each in ids]
        self._longest = max(map(len, ids))
        pad = self._target.vocabulary.pad_id
        self._input = torch.tensor([[pad] * (self._longest - len(each)) + each for each in ids])
        self._mask = torch.tensor(
            [[0] * (self._longest - len(each)) + [1] * len(each) for each in ids]
        )
        self._cache = DynamicCache(config=self._target.model.config)

    def _control(self, controlled: ControlledModel, number: int, prompts: Sequence[str]) -> Control:
        controller, carried_by = controlled.controllers[number], controlled._carriers[number]
        strengths = [float(row.strengths[number]) for row in self._rows]
        if isinstance(carried_by, Spelling):
            return CoverControl(controller, carried_by, prompts, strengths, controlled.cover)
        vocabulary = self._target.vocabulary
        return MappedControl(controller, vocabulary, prompts, strengths, carried_by)

    def check_room(self, new_tokens: int) -> None:
        """Refuse what the target cannot read."""
        context = self._target.context
        if context is not None and self._longest + new_tokens > context:
            raise SettingError(
                f"{self._longest} tokens of prompt and {new_tokens} new ones exceed the "
                f"{context} tokens that {self._target.name} can read",
                hint="Shorten the prompt or ask for fewer new tokens.",
            )

    def is_windowed(self, row: int) -> bool:
        """Say whether a controller saw only the end of a row's text."""
        return any(
            strength != 0 and control.reader.followers[row].is_windowed
            for strength, control in zip(self._rows[row].strengths, self._controls, strict=True)
        )

    @torch.inference_mode()
    def scores(self, active: Sequence[int], forced: Sequence[int] | None = None) -> Tensor:
        """Return `(batch, vocab)` float32 controlled scores of the next token."""
        logits = self._target_logits()
        # A controller is asked only where its strength is not 0: the base stays what it is.
        asked = [
            (control, rows)
            for number, control in enumerate(self._controls)
            if (rows := [row for row in active if self._rows[row].strengths[number] != 0])
        ]
        # All see the target's own scores and score each other's candidates, in whatever order.
        candidates: dict[int, list[int]] = {}
        for control, rows in asked:
            for row, proposed in control.propose(logits, rows, forced).items():
                candidates[row] = list(dict.fromkeys([*candidates.get(row, ()), *proposed]))
        controls = [control.control(logits, rows, candidates) for control, rows in asked]
        return combine(logits, self._recentred(logits, asked, controls))

    def _recentred(
        self, logits: Tensor, asked: Sequence[tuple[Control, list[int]]], controls: list[Tensor]
    ) -> list[Tensor]:
        """Centre the sum of several mapped controls: what none of them knows keeps its mass."""
        mapped = [i for i, (control, _) in enumerate(asked) if isinstance(control, MappedControl)]
        if len(mapped) < 2:
            return controls
        known = torch.stack([asked[i][0].known(logits) for i in mapped]).any(0)
        total = centre(logits, torch.stack([controls[i] for i in mapped]).sum(0), known)
        return [total, *(each for i, each in enumerate(controls) if i not in mapped)]

    def _target_logits(self) -> Tensor:
        device = self._target.device
        mask = self._mask.to(device)
        positions = (mask.cumsum(-1) - 1).clamp_min(0)[:, -self._input.shape[1] :]
        output = self._target.model(
            input_ids=self._input.to(device), attention_mask=mask, position_ids=positions,
            past_key_values=self._cache, use_cache=True, logits_to_keep=1,
        )  # fmt: skip
        logits = output.logits[:, -1].float()
        if torch.isnan(logits).any():
            raise ControlError(
                f"{self._target.name} gave scores that are no numbers",
                hint="Its weights are damaged or need another precision; choose another target.",
            )
        return logits

    def push(self, chosen: Sequence[int], active: Sequence[int]) -> None:
        """Go on by one token per row; rows that have ended go on with anything."""
        self._input = torch.tensor(chosen)[:, None]
        self._mask = torch.cat([self._mask, torch.ones(len(chosen), 1, dtype=torch.long)], 1)
        for number, control in enumerate(self._controls):
            for row in active:
                if self._rows[row].strengths[number] != 0:
                    control.push(row, chosen[row])
