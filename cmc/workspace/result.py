"""A generation as plain data, with everything it was made from, to export."""

import math
from collections.abc import Sequence
from typing import Any

from cmc.settings import GenerationRequest, as_plain
from cmc.workspace.looked import Looked, Rival
from cmc.workspace.side_by_side import SideBySide


def result_data(request: GenerationRequest, shown: SideBySide) -> dict[str, Any]:
    """Return what JSON can hold: request, transfers, both texts, every controlled token.

    Log-probabilities and shifts are in nats; None stands for one that is infinite.
    """
    return {
        "request": as_plain(request),
        "transfers": list(shown.transfers),
        "base": _side(shown.base, shown.base_tokens, shown.base_seconds),
        "controlled": _side(shown.controlled, shown.controlled_tokens, shown.controlled_seconds),
        "base_would_differ": sum(each.would_differ for each in shown.tokens),
        "tokens": [_token(each) for each in shown.tokens],
    }


def _side(text: str, tokens: int, seconds: float) -> dict[str, Any]:
    return {"text": text, "tokens": tokens, "seconds": round(seconds, 3)}


def _token(token: Looked) -> dict[str, Any]:
    return {
        "text": token.text,
        "base_logprob": _finite(token.base_logprob),
        "logprob": _finite(token.logprob),
        "shift": _finite(token.shift),
        "shifts": {name: _finite(shift) for name, shift in token.shifts.items()},
        "base_choice": token.base_choice,
        "would_differ": token.would_differ,
        "before": _rivals(token.before),
        "after": _rivals(token.after),
    }


def _rivals(rivals: Sequence[Rival]) -> list[dict[str, Any]]:
    return [
        {
            "text": each.text,
            "base_logprob": _finite(each.base_logprob),
            "logprob": _finite(each.logprob),
        }
        for each in rivals
    ]


def _finite(nats: float) -> float | None:
    return round(nats, 4) if math.isfinite(nats) else None
