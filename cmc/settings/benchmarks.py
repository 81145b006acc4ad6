"""What a person sets to run TOFU and AlpacaEval on models."""

from collections.abc import Mapping
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
from cmc.settings.prompts import checked_prompt_format


@dataclass(frozen=True, kw_only=True)
class TofuRequest:
    """One `cmc evaluate tofu` on a model.

    Attributes:
        controllers: strength by name; none at all is the target alone.
        data: `lab`, a folder with TOFU's files, or `owner/name[@revision]` on the Hub.
        forget: which forget set of the data, such as `forget10`; the lab has one.
        retain_log: of a model that never saw the forget set; without it there is no forget quality.
        limit: items per split at most; 0 takes all.
        compare_base: also measure the target alone, and tell the differences to it.
    """

    target: str = STARTER_TARGET
    controllers: Mapping[str, float] = field(
        default_factory=lambda: {STARTER_CONTROLLER: 1.0, "lab:forget": 1.0}
    )
    transfer: str = "auto"
    data: str = "lab"
    forget: str = "forget10"
    retain_log: str = ""
    prompt_format: str = "qa"
    max_new_tokens: int = 200
    limit: int = 0
    batch_size: int = 32
    compare_base: bool = True
    cover: CoverSettings = field(default_factory=CoverSettings)

    def __post_init__(self) -> None:
        _check_model(self)
        checked_prompt_format(self.prompt_format)


@dataclass(frozen=True, kw_only=True)
class AlpacaRequest:
    """One `cmc evaluate alpaca` on a model.

    Attributes:
        data: questions: records, or outputs in AlpacaEval's format.
        reference: what the answers are compared with: outputs in AlpacaEval's format, or
            `base`, the target alone.
        controllers: strength by name; none at all is the target alone.
        limit: questions at most; 0 takes all.
    """

    target: str = STARTER_TARGET
    controllers: Mapping[str, float] = field(default_factory=lambda: {STARTER_CONTROLLER: 1.0})
    transfer: str = "auto"
    data: str = "lab:held_out"
    reference: str = "base"
    max_new_tokens: int = 512
    limit: int = 0
    batch_size: int = 32
    judging: JudgeSettings = field(default_factory=JudgeSettings)
    cover: CoverSettings = field(default_factory=CoverSettings)

    def __post_init__(self) -> None:
        _check_model(self)


def _check_model(request: TofuRequest | AlpacaRequest) -> None:
    checked_choice("transfer", request.transfer, TRANSFERS)
    ranges = {"max_new_tokens": (1, MAX_NEW_TOKENS), "limit": (0, 10**6), "batch_size": (1, 4096)}
    check_numbers(request, ranges)
    strengths = {
        name: checked_number(f"strength of {name}", value, *STRENGTH_RANGE)
        for name, value in request.controllers.items()
    }
    object.__setattr__(request, "controllers", strengths)


@dataclass(frozen=True, kw_only=True)
class LabTableRequest:
    """One `cmc evaluate lab`: win rates and forgetting of the lab's models at several strengths.

    Attributes:
        targets: lab models; empty takes the template and all targets.
        strengths: of lab:instruct for win rates; of lab:forget, beside lab:instruct at 1, for
            forgetting.
        limit: questions for win rates at most.
        items: per split, for forgetting, at most.
        out: where answers are kept, so that a second run goes on; empty is a folder of the app.
    """

    targets: tuple[str, ...] = ()
    strengths: tuple[float, ...] = (0.0, 0.5, 1.0, 1.5, 2.0)
    limit: int = 100
    items: int = 40
    batch_size: int = 50
    out: str = ""
    judging: JudgeSettings = field(default_factory=JudgeSettings)

    def __post_init__(self) -> None:
        check_numbers(self, dict.fromkeys(("limit", "items"), (1, 10**6)))
        check_numbers(self, {"batch_size": (1, 4096)})
        strengths = tuple(checked_number("strength", s, *STRENGTH_RANGE) for s in self.strengths)
        object.__setattr__(self, "strengths", strengths)
        if not strengths:
            raise SettingError("no strength is given", hint="Give one or more numbers.")
