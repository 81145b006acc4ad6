"""One measured figure with the limit and the target it is held against."""

from dataclasses import asdict, dataclass
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """A row of a benchmark: `value` in `unit`, what is possible at best, what we want."""

    name: str
    value: float | None  # None where it could not be measured; `note` says why
    unit: str
    target: float | None = None
    limit: float | None = None  # what the hardware or the peer allows, in the same unit
    is_lower_better: bool = True
    note: str = ""

    @property
    def ok(self) -> bool | None:
        """Tell whether the target is met; None where there is none or nothing was measured."""
        if self.target is None or self.value is None:
            return None
        return self.value <= self.target if self.is_lower_better else self.value >= self.target

    def plain(self) -> dict[str, Any]:
        """Return what `--json` prints."""
        return asdict(self) | {"ok": self.ok}
