"""Which batches are skipped, and when training has learned all it will."""

import math
from dataclasses import asdict, dataclass
from typing import Any

SETTLING = 20  # steps before the usual gradient is known
_KEEP = 0.9  # of the usual gradient, from step to step


@dataclass
class Guard:
    """Finds steps that would do harm: loss or gradient not finite, or a gradient far off.

    A jump is measured against a running mean of the gradient's norm. A jump raises that mean
    too, at most `spike` times as fast as the usual: what stays large is soon the usual.

    Attributes:
        spike: how many times the usual norm a gradient may have, no unit; 0 allows all.
        usual: running mean of the norm, no unit.
        seen: steps that went into it.
        in_a_row: steps skipped one after another because something was not finite.
    """

    spike: float
    usual: float = 0.0
    seen: int = 0
    in_a_row: int = 0

    def harm(self, loss: float, norm: float) -> str:
        """Return why a step must not be taken; an empty string if nothing speaks against it.

        Args:
            loss: of the step's batch.
            norm: of its gradient before clipping, no unit.
        """
        for what, value in (("loss", loss), ("the gradient", norm)):
            if not math.isfinite(value):
                self.in_a_row += 1
                return f"{what} became {'NaN' if math.isnan(value) else 'infinite'}"
        self.in_a_row = 0
        most = self.spike * self.usual
        is_jump = bool(self.spike) and self.seen >= SETTLING and norm > most
        told = f"the gradient jumped to {norm / self.usual:,.0f} times its norm" if is_jump else ""
        counted = min(norm, most) if is_jump else norm
        self.usual = _KEEP * self.usual + (1 - _KEEP) * counted if self.seen else norm
        self.seen += 1
        return told


@dataclass
class Progress:
    """Says whether the loss that is watched still falls.

    Attributes:
        patience: measurements without a new least loss after which to stop; 0 never stops.
        least: least loss so far, in nats per token.
        step: when it was measured.
        stale: measurements since.
    """

    patience: int
    least: float = math.inf
    step: int = 0
    stale: int = 0

    @property
    def is_over(self) -> bool:
        """Whether to stop."""
        return bool(self.patience) and self.stale >= self.patience

    def is_new_least(self, loss: float, step: int) -> bool:
        """Take note of a measurement; tell whether it is the least so far."""
        if loss < self.least:
            self.least, self.step, self.stale = loss, step, 0
            return True
        self.stale += 1
        return False


def kept(watch: Guard | Progress) -> dict[str, Any]:
    """Return what a checkpoint holds of a guard; JSON knows no infinity."""
    return {name: value for name, value in asdict(watch).items() if math.isfinite(value)}
