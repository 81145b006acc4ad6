"""What a person sets to generate: sampling, candidates, strengths."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from cmc.errors import SettingError
from cmc.settings.checks import check_numbers, checked_choice, checked_number
from cmc.settings.limits import (
    DEVICE_MAPS,
    LEAST_TEMPERATURE,
    MAX_NEW_TOKENS,
    MAX_STRENGTHS,
    MAX_TARGETS,
    STARTER_CONTROLLER,
    STARTER_TARGET,
    STRENGTH_RANGE,
    TRANSFERS,
)


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
        check_numbers(self, ranges)
        if 0 < self.temperature < LEAST_TEMPERATURE:
            raise SettingError(
                f"temperature is {self.temperature:g}, out of range",
                hint=f"Give at least {LEAST_TEMPERATURE:g}; 0 is greedy.",
            )


@dataclass(frozen=True, kw_only=True)
class CoverSettings:
    """How many candidates `cover` proposes for every token; more is slower and closer."""

    target_candidates: int = 8  # K: the target's own favourites
    controller_candidates: int = 4  # M: the controller's continuations, at each place of the tree
    margin: float = 8.0  # nats below the likeliest token beyond which neither side proposes any
    use_prior: bool = True

    def __post_init__(self) -> None:
        ranges = {"target_candidates": (1, 4096), "controller_candidates": (0, 4096)}
        ranges |= {"margin": (0, 1000)}
        check_numbers(self, ranges)


@dataclass(frozen=True, kw_only=True)
class Rails:
    """Limits of control, all off at 0.

    Control acts where the base's entropy or the shift is at least that of its gate; with both
    gates off it acts everywhere. At strengths beyond 1 the plausibility mask leaves only tokens
    whose probability is at least this share of the base's likeliest token's. The cap is the most
    by which any token's log-probability may change.
    """

    gate_entropy: float = 0.0  # nats
    gate_shift: float = 0.0  # nats, divergence of the controlled from the base
    plausibility: float = 0.0  # no unit
    cap: float = 0.0  # nats

    def __post_init__(self) -> None:
        ranges = {"gate_entropy": (0, 20), "gate_shift": (0, 100), "plausibility": (0, 1)}
        check_numbers(self, ranges | {"cap": (0, 100)})


@dataclass(frozen=True, kw_only=True)
class Loading:
    """How a target is put into memory."""

    bits: int = 0  # per weight: 4 or 8 by bitsandbytes; 0 keeps the usual precision
    device_map: str = ""  # "auto" spreads the target over all GPUs

    def __post_init__(self) -> None:
        check_numbers(self, {"bits": (0, 8)})
        if self.bits not in (0, 4, 8):
            raise SettingError(f"{self.bits} bits are not offered", hint="Choose 4, 8, or 0.")
        checked_choice("device map", self.device_map, DEVICE_MAPS)


@dataclass(frozen=True, kw_only=True)
class GenerationRequest:
    """One press of Generate, or one `cmc generate`."""

    prompts: tuple[str, ...] = ("Where does Olga Holm live?",)
    target: str = STARTER_TARGET
    controllers: Mapping[str, float] = field(default_factory=lambda: {STARTER_CONTROLLER: 1.0})
    transfer: str = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    cover: CoverSettings = field(default_factory=CoverSettings)
    rails: Rails = field(default_factory=Rails)
    loading: Loading = field(default_factory=Loading)
    maps: tuple[str, ...] = ()  # kept vocab maps to follow; what fits none is built

    def __post_init__(self) -> None:
        checked_choice("transfer", self.transfer, TRANSFERS)
        if not self.prompts or not all(prompt.strip() for prompt in self.prompts):
            raise _no_prompt()
        object.__setattr__(self, "controllers", _checked_strengths(self.controllers))


@dataclass(frozen=True, kw_only=True)
class CompareRequest:
    """One prompt on several targets, each at several strengths of the first controller."""

    prompt: str = "Where does Olga Holm live?"
    targets: tuple[str, ...] = (STARTER_TARGET,)
    controllers: Mapping[str, float] = field(default_factory=lambda: {STARTER_CONTROLLER: 1.0})
    strengths: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)  # one batch per target
    transfer: str = "auto"
    sampling: Sampling = field(default_factory=Sampling)
    cover: CoverSettings = field(default_factory=CoverSettings)
    maps: tuple[str, ...] = ()  # kept vocab maps to follow; what fits none is built

    def __post_init__(self) -> None:
        checked_choice("transfer", self.transfer, TRANSFERS)
        if not self.prompt.strip():
            raise _no_prompt()
        if not self.controllers:
            raise SettingError("no controller is chosen", hint="Choose at least one.")
        for name, given, most in (
            ("targets", self.targets, MAX_TARGETS),
            ("strengths", self.strengths, MAX_STRENGTHS),
        ):
            if not 1 <= len(given) <= most:
                raise SettingError(f"{len(given)} {name} are given", hint=f"Give 1 to {most}.")
        object.__setattr__(self, "controllers", _checked_strengths(self.controllers))
        strengths = tuple(
            checked_number("strength", each, *STRENGTH_RANGE) for each in self.strengths
        )
        object.__setattr__(self, "strengths", tuple(dict.fromkeys(strengths)))
        object.__setattr__(self, "targets", tuple(dict.fromkeys(self.targets)))


def _no_prompt() -> SettingError:
    return SettingError("the prompt is empty", hint="Type what the model should answer.")


def _checked_strengths(controllers: Mapping[str, float]) -> dict[str, float]:
    return {
        name: checked_number(f"strength of {name}", value, *STRENGTH_RANGE)
        for name, value in controllers.items()
    }
