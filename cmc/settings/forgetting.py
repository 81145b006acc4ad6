"""What a person sets to measure how well controllers forget, here and across vocabularies."""

from dataclasses import dataclass, field

from cmc.errors import SettingError
from cmc.settings.checks import check_numbers, checked_choice, checked_number
from cmc.settings.generation import CoverSettings
from cmc.settings.limits import FORGETTING, STRENGTH_RANGE
from cmc.settings.prompts import checked_prompt_format


@dataclass(frozen=True, kw_only=True)
class ForgettingRequest:
    """One `cmc evaluate forgetting`: what is forgotten and what stays, at a recommended strength.

    Attributes:
        objectives: a controller is trained with each, unless that was done before.
        controllers: measured instead of training any.
        targets: empty takes the template and all targets of the lab.
        strengths: sizes that are tried; a controller that learned in `reverse` is subtracted.
        data: what is to be forgotten. `retain` is what training was told to keep, `other` what
            it was told nothing of.
        limit: questions of each set to choose a strength with, and as many to report on.
    """

    objectives: tuple[str, ...] = ("grad_diff", "npo", "reverse")
    controllers: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()
    strengths: tuple[float, ...] = (0.25, 0.5, 0.75, 1.0, 1.5, 2.0)
    template: str = "lab:template"
    init: str = "lab:prior"
    data: str = "lab:forget"
    retain: str = "lab:retain"
    other: str = "lab:other"
    prompt_format: str = "plain"
    max_steps: int = 300
    train_batch: int = 32
    learning_rate: float = 1e-3
    limit: int = 60
    batch_size: int = 60
    cover: CoverSettings = field(default_factory=CoverSettings)

    def __post_init__(self) -> None:
        for each in self.objectives:
            checked_choice("objective", each, FORGETTING)
        checked_prompt_format(self.prompt_format)
        ranges = {"max_steps": (1, 10**7), "train_batch": (1, 4096), "learning_rate": (1e-8, 1)}
        check_numbers(self, ranges | {"limit": (1, 10**6), "batch_size": (1, 4096)})
        given = {checked_number("strength", each, 0, STRENGTH_RANGE[1]) for each in self.strengths}
        object.__setattr__(self, "strengths", tuple(sorted(given - {0.0})))
        if not self.strengths:
            raise SettingError("no strength above 0 is given", hint="Give one or more numbers.")
        if not self.objectives and not self.controllers:
            raise SettingError(
                "no method is named", hint="Name an objective to train with, or a controller."
            )
