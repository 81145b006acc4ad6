"""Names, defaults and ranges of everything a person can set."""

import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from cmc.errors import SettingError

# The machine decides what is sensible; beyond these limits a value is certainly a slip.
STRENGTH_RANGE = (-10.0, 10.0)  # no unit
SLIDER_RANGE = (-1.0, 2.0)  # no unit; what the slider offers, the number box takes the rest
MAX_NEW_TOKENS = 8192
LEAST_TEMPERATURE = 1e-4  # no unit; below it scores divided by it overflow
TRANSFERS = ("auto", "same", "pm-mined", "cover")
OBJECTIVES = ("sft", "npo")
PROMPT_FORMATS = ("qa", "alpaca", "open-instruct", "plain")
STARTER_TARGET = "lab:byte"
STARTER_CONTROLLER = "lab:instruct"


def home() -> Path:
    """Return the folder for runs: `CMC_HOME`, else `/data/cmc` on a Space, else the cache."""
    if os.environ.get("CMC_HOME"):
        return Path(os.environ["CMC_HOME"])
    if os.environ.get("SPACE_ID") and os.access("/data", os.W_OK):
        return Path("/data/cmc")
    return Path.home() / ".cache" / "cmc"


def checked_number(name: str, value: Any, low: float, high: float) -> float:
    """Return `value` as a float between `low` and `high`.

    Raises:
        SettingError: not a number, not finite, or out of range; the message has the value.
    """
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        raise SettingError(
            f'{name} is "{value}", which is no number',
            hint=f"Give a number from {low:g} to {high:g}.",
        ) from None
    if not math.isfinite(number) or not low <= number <= high:
        raise SettingError(
            f"{name} is {value}, out of range", hint=f"Give a number from {low:g} to {high:g}."
        )
    return number


def checked_whole(name: str, value: Any, low: int, high: int) -> int:
    """Return `value` as a whole number between `low` and `high`, exact however large it is.

    Raises:
        SettingError: not a whole number, or out of range; the message has the value.
    """
    try:
        # A whole number of more than 53 bits does not survive a float.
        number = int(value) if isinstance(value, int | str) else None
    except ValueError:
        number = None
    if number is None:
        real = checked_number(name, value, low, high)
        if not real.is_integer():
            raise SettingError(f"{name} is {real:g}", hint="Give a whole number.")
        number = int(real)
    if not low <= number <= high:
        raise SettingError(
            f"{name} is {value}, out of range", hint=f"Give a number from {low} to {high}."
        )
    return number


def checked_choice(name: str, value: str, choices: tuple[str, ...]) -> str:
    """Return `value` if it is one of `choices`.

    Raises:
        SettingError: it is not; the hint lists the choices.
    """
    if value not in choices:
        raise SettingError(f'{name} is "{value}"', hint=f"Choose one of: {', '.join(choices)}.")
    return value


def _check_numbers(request: Any, ranges: Mapping[str, tuple[Any, Any]]) -> None:
    """Coerce the numeric fields of a frozen dataclass and check their ranges."""
    for name, (low, high) in ranges.items():
        is_whole = isinstance(type(request).__dataclass_fields__[name].default, int)
        check = checked_whole if is_whole else checked_number
        number = check(name.replace("_", " "), getattr(request, name), low, high)
        object.__setattr__(request, name, number)


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How the next token is chosen from the controlled scores, and how many."""

    max_new_tokens: int = 64
    temperature: float = 0.0  # 0 is greedy
    top_k: int = 0  # 0 is off
    top_p: float = 1.0
    min_p: float = 0.0
    seed: int = 0

    def __post_init__(self) -> None:
        ranges = {"max_new_tokens": (1, MAX_NEW_TOKENS), "temperature": (0, 10)}
        ranges |= {"top_k": (0, 10**6), "top_p": (0, 1), "min_p": (0, 1), "seed": (0, 2**63)}
        _check_numbers(self, ranges)
        if 0 < self.temperature < LEAST_TEMPERATURE:
            raise SettingError(
                f"temperature is {self.temperature:g}, out of range",
                hint=f"Give at least {LEAST_TEMPERATURE:g}; 0 is greedy.",
            )


@dataclass(frozen=True, kw_only=True)
class CoverSettings:
    """How many candidates `cover` proposes for every token; more is slower and closer."""

    target_candidates: int = 16  # K: the target's own favourites
    controller_candidates: int = 12  # M: the controller's continuations, at each place of the tree
    use_prior: bool = True

    def __post_init__(self) -> None:
        ranges = {"target_candidates": (1, 4096), "controller_candidates": (0, 4096)}
        _check_numbers(self, ranges)


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """One press of Start training, or one `cmc train`."""

    template: str = "lab:template"
    data: str = "lab:instruct"
    init: str = ""  # a controller or causal language model to start from; empty: random, small
    objective: str = "sft"
    retain: str = ""  # records whose answers must stay, for forgetting
    prompt_format: str = "alpaca"
    name: str = "controller"
    max_steps: int = 400
    batch_size: int = 16
    learning_rate: float = 4e-3
    warmup_fraction: float = 0.05
    weight_decay: float = 0.01
    beta: float = 0.5  # `npo` only: how far below the template a forgotten answer is pushed
    max_length: int = 256  # tokens of prompt and answer
    limit: int = 0  # records read at most; 0 is all
    held_out_fraction: float = 0.1
    evaluate_every: int = 50  # steps
    save_every: int = 100  # steps
    seed: int = 0
    hidden_size: int = 96  # of a random controller
    layers: int = 3  # of a random controller

    def __post_init__(self) -> None:
        checked_choice("objective", self.objective, OBJECTIVES)
        checked_choice("prompt format", self.prompt_format, PROMPT_FORMATS)
        ranges = {"max_steps": (1, 10**7), "batch_size": (1, 4096), "learning_rate": (1e-8, 1)}
        ranges |= {
            "warmup_fraction": (0, 1),
            "weight_decay": (0, 10),
            "beta": (0.001, 100),
        }
        ranges |= {"max_length": (8, 131072), "limit": (0, 10**9), "held_out_fraction": (0, 0.9)}
        ranges |= {"evaluate_every": (1, 10**7), "save_every": (1, 10**7), "seed": (0, 2**32)}
        ranges |= {"hidden_size": (16, 8192), "layers": (1, 128)}
        _check_numbers(self, ranges)
        if self.objective == "npo" and not self.retain:
            raise SettingError(
                "forgetting needs records to keep", hint="Name a retain file as well as the data."
            )


@dataclass(frozen=True, kw_only=True)
class MapRequest:
    """One press of Inspect in the Vocabulary tab, or one `cmc map`.

    The published map is one of `pm-mined`: with parity, `auto` means that.
    """

    controller: str = STARTER_CONTROLLER
    target: str = STARTER_TARGET
    transfer: str = "auto"
    parity: bool = False
    out: str = ""

    def __post_init__(self) -> None:
        checked_choice("transfer", self.transfer, TRANSFERS)
        if self.parity and self.transfer not in ("auto", "pm-mined"):
            raise SettingError(
                f"parity with the published map is not for the transfer {self.transfer}",
                hint="Choose the transfer pm-mined, or leave parity out.",
            )
        if self.parity:
            object.__setattr__(self, "transfer", "pm-mined")


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One press of Generate, or one `cmc generate`."""

    prompts: tuple[str, ...] = ("Where does Olga Holm live?",)
    target: str = STARTER_TARGET
    controllers: Mapping[str, float] = field(default_factory=lambda: {STARTER_CONTROLLER: 1.0})
    transfer: str = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    cover: CoverSettings = field(default_factory=CoverSettings)

    def __post_init__(self) -> None:
        checked_choice("transfer", self.transfer, TRANSFERS)
        if not self.prompts or not all(prompt.strip() for prompt in self.prompts):
            raise SettingError("the prompt is empty", hint="Type what the model should answer.")
        strengths = {
            name: checked_number(f"strength of {name}", value, *STRENGTH_RANGE)
            for name, value in self.controllers.items()
        }
        object.__setattr__(self, "controllers", strengths)


@dataclass(frozen=True, kw_only=True)
class TransferRequest:
    """One `cmc evaluate transfer`: which targets, how many questions."""

    controller: str = STARTER_CONTROLLER
    template: str = "lab:template"
    targets: tuple[str, ...] = ()  # empty: all of the lab
    data: str = "lab:held_out"
    transfers: tuple[str, ...] = ()  # empty: all that fit the pair
    strength: float = 1.0
    limit: int = 400
    batch_size: int = 50
    cover: CoverSettings = field(default_factory=CoverSettings)

    def __post_init__(self) -> None:
        ranges = {"strength": STRENGTH_RANGE, "limit": (1, 10**6), "batch_size": (1, 4096)}
        _check_numbers(self, ranges)
        for transfer in self.transfers:
            checked_choice("transfer", transfer, TRANSFERS)


def as_plain(request: Any) -> dict[str, Any]:
    """Return the fields of a request as a dictionary that JSON can hold."""
    return asdict(request)


def lab_folder() -> Path:
    """Return the folder of the starter lab: `CMC_LAB`, else the one that comes with the code."""
    if os.environ.get("CMC_LAB"):
        return Path(os.environ["CMC_LAB"])
    return Path(__file__).resolve().parent.parent / "assets" / "lab"


def lab_targets() -> tuple[str, ...]:
    """Return the names of the starter lab's targets."""
    folders = (lab_folder() / "models").glob("*/config.json")
    names = sorted(path.parent.name for path in folders)
    return tuple(f"lab:{name}" for name in names if name not in ("template", "prior"))
