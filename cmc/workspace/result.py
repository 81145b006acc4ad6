"""A generation as plain data, with everything it was made from, to export."""

import math
from collections.abc import Sequence
from typing import Any

from cmc.generation import TokenDetail, TokenOption
from cmc.settings import GenerationRequest, as_plain
from cmc.workspace.side_by_side import SideBySide


def result_data(request: GenerationRequest, shown: SideBySide) -> dict[str, Any]:
    """Return what JSON can hold: request, transfers, both texts, every controlled token.

    Log-probabilities and shifts are in nats; None stands for one that is infinite.
    """
    return {
        "request": as_plain(request),
        "transfers": list(shown.transfers),
        "maps": list(shown.maps),
        "base": _side(shown.base, shown.base_tokens, shown.base_seconds),
        "controlled": _side(shown.controlled, shown.controlled_tokens, shown.controlled_seconds),
        "base_would_differ": sum(each.is_changed for each in shown.tokens),
        "tokens": [_token(each, list(shown.strengths)) for each in shown.tokens],
    }


def _side(text: str, tokens: int, seconds: float) -> dict[str, Any]:
    return {"text": text, "tokens": tokens, "seconds": round(seconds, 3)}


def _token(token: TokenDetail, names: Sequence[str]) -> dict[str, Any]:
    """Return one controlled token; a base choice of None is the same token."""
    return {
        **_option(token.chosen),
        "shifts": {name: _finite(shift) for name, shift in zip(names, token.shifts, strict=True)},
        "base_choice": _option(token.base_choice) if token.is_changed else None,
        "before": [_option(each) for each in token.before],
        "after": [_option(each) for each in token.after],
    }


def _option(option: TokenOption) -> dict[str, Any]:
    return {
        "id": option.token_id,
        "text": option.text,
        "base_logprob": _finite(option.base_logprob),
        "controlled_logprob": _finite(option.controlled_logprob),
    }


def _finite(nats: float) -> float | None:
    return round(nats, 4) if math.isfinite(nats) else None
