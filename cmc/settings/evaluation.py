"""What a person sets to evaluate controllers."""

from dataclasses import dataclass, field

from cmc.settings.checks import check_numbers, checked_choice
from cmc.settings.generation import CoverSettings
from cmc.settings.limits import STARTER_CONTROLLER, STRENGTH_RANGE, TRANSFERS


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
        check_numbers(self, ranges)
        for transfer in self.transfers:
            checked_choice("transfer", transfer, TRANSFERS)
