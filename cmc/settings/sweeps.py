"""What a person sets to sweep strengths, to check a pair, and to run a suite."""

from dataclasses import dataclass, field

from cmc.errors import SettingError
from cmc.settings.checks import check_numbers, checked_choice, checked_number
from cmc.settings.generation import CoverSettings
from cmc.settings.judging import JudgeSettings
from cmc.settings.limits import (
    MAX_NEW_TOKENS,
    STARTER_CONTROLLER,
    STARTER_TARGET,
    STRENGTH_RANGE,
    TRANSFERS,
)

METRICS = ("exact_match", "win_rate", "forget")


@dataclass(frozen=True, kw_only=True)
class SweepRequest:
    """One `cmc evaluate sweep`: strengths x targets x controllers under one metric."""

    controllers: tuple[str, ...] = (STARTER_CONTROLLER,)
    targets: tuple[str, ...] = ()  # empty: all of the lab
    strengths: tuple[float, ...] = (0.0, 0.25, 0.5, 0.75, 1.0, 1.25, 1.5, 2.0)
    metric: str = "exact_match"
    data: str = ""  # empty: the lab's questions for the metric; for `forget` what is forgotten
    retain: str = "lab:retain"  # `forget` only: what must stay
    transfer: str = "auto"
    limit: int = 100  # questions of each set
    batch_size: int = 50
    judging: JudgeSettings = field(default_factory=JudgeSettings)  # `win_rate` only
    cover: CoverSettings = field(default_factory=CoverSettings)

    def __post_init__(self) -> None:
        checked_choice("metric", self.metric, METRICS)
        checked_choice("transfer", self.transfer, TRANSFERS)
        check_numbers(self, {"limit": (1, 10**6), "batch_size": (1, 4096)})
        given = [checked_number("strength", each, *STRENGTH_RANGE) for each in self.strengths]
        # The base belongs to every sweep: all that is said of a strength is said against it.
        strengths = tuple(sorted({0.0, *given}, key=lambda each: (each != 0, each)))
        object.__setattr__(self, "strengths", strengths)
        if not self.controllers or not all(self.controllers):
            raise SettingError("no controller is named", hint="Name at least one controller.")
        if not self.data:
            data = "lab:forget" if self.metric == "forget" else "lab:held_out"
            object.__setattr__(self, "data", data)


@dataclass(frozen=True, kw_only=True)
class CheckRequest:
    """One `cmc evaluate check`: will this controller carry over to this target?"""

    controller: str = STARTER_CONTROLLER
    target: str = STARTER_TARGET
    template: str = "lab:template"
    data: str = "lab:held_out"
    transfer: str = "auto"
    strength: float = 1.0
    limit: int = 12  # texts scored
    generations: int = 2
    cover: CoverSettings = field(default_factory=CoverSettings)

    def __post_init__(self) -> None:
        checked_choice("transfer", self.transfer, TRANSFERS)
        ranges = {"strength": STRENGTH_RANGE, "limit": (2, 10**4), "generations": (0, 100)}
        check_numbers(self, ranges)


@dataclass(frozen=True, kw_only=True)
class SuiteRequest:
    """One `cmc evaluate suite FILE`: a saved suite on targets and versions of controllers."""

    suite: str = ""
    controllers: tuple[str, ...] = (STARTER_CONTROLLER,)
    targets: tuple[str, ...] = (STARTER_TARGET,)
    strength: float = 1.0
    transfer: str = "auto"
    against: str = ""  # an earlier report of the same suite, a file or the name of a run
    max_new_tokens: int = 64
    batch_size: int = 50
    judging: JudgeSettings = field(default_factory=JudgeSettings)  # of `better_than_base`
    cover: CoverSettings = field(default_factory=CoverSettings)

    def __post_init__(self) -> None:
        checked_choice("transfer", self.transfer, TRANSFERS)
        ranges = {"strength": STRENGTH_RANGE, "max_new_tokens": (1, MAX_NEW_TOKENS)}
        check_numbers(self, ranges | {"batch_size": (1, 4096)})
        if not self.suite:
            raise SettingError("no suite is named", hint="Name a JSON file with tests.")
        if not self.targets or not self.controllers:
            raise SettingError(
                "a suite needs a target and a controller", hint="Name at least one of each."
            )
