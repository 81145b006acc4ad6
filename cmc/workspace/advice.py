"""Which strengths a controller recommends."""

from dataclasses import dataclass
from pathlib import Path

from cmc.controller import read_settings
from cmc.errors import CmcError
from cmc.models import find_folder
from cmc.settings import SLIDER_RANGE, STRENGTH_RANGE, checked_number
from cmc.workspace.evaluations import Recommendation


@dataclass(frozen=True)
class StrengthAdvice:
    """The strength to begin with, and the range worth trying; no unit."""

    recommended: float = 1.0
    low: float = SLIDER_RANGE[0]
    high: float = SLIDER_RANGE[1]
    harm: tuple[tuple[float, float], ...] = ()  # stretches, from and to, that do harm
    why: str = "as its controller was trained"

    def measured(self, found: Recommendation | None) -> "StrengthAdvice":
        """Return what a sweep of the pair found instead; without one, the same advice."""
        if found is None:
            return self
        why = f"{found.why} (measured by {found.run})"
        return StrengthAdvice(found.strength, self.low, self.high, found.harm, why)


def read_advice(place: str) -> StrengthAdvice:
    """Return what the controller at `place` recommends.

    A controller of the Hub is not downloaded for it, and one that cannot be read gives the
    defaults: using it tells what is wrong.

    Args:
        place: a lab name, a folder, or a Hub id.
    """
    try:
        if not place.startswith("lab:") and not Path(place).is_dir():
            return StrengthAdvice()
        folder, _ = find_folder(place, lab_kind="controllers", allow_patterns=[])
        told = read_settings(folder)
        low, high = (checked_number("strength", each, *STRENGTH_RANGE) for each in _range(told))
        recommended = checked_number("strength", told["recommended_strength"], low, high)
    except (CmcError, OSError):
        return StrengthAdvice()
    # 0, the base, is always on the slider, and a slider needs some length.
    low, high = min(low, 0.0), max(high, 0.0)
    return StrengthAdvice(recommended, low, high) if low < high else StrengthAdvice()


def _range(told: dict) -> tuple:
    """Return the two ends of the range, or of the default one where there are not two."""
    ends = told["strength_range"]
    return tuple(ends) if isinstance(ends, list) and len(ends) == 2 else SLIDER_RANGE
