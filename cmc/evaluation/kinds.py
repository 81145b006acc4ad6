"""Every kind of evaluation: what is asked for, and what measures it."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, dataclass, fields, is_dataclass
from typing import Any

from cmc.errors import SettingError
from cmc.evaluation.alpaca import evaluate_alpaca
from cmc.evaluation.cells import Progress
from cmc.evaluation.check import evaluate_check
from cmc.evaluation.forgetting import evaluate_forgetting
from cmc.evaluation.suite import evaluate_suite
from cmc.evaluation.sweep import evaluate_sweep
from cmc.evaluation.tofu import evaluate_tofu
from cmc.evaluation.transfer import evaluate_transfer
from cmc.settings import (
    AlpacaRequest,
    CheckRequest,
    ForgettingRequest,
    SuiteRequest,
    SweepRequest,
    TofuRequest,
    TransferRequest,
)


@dataclass(frozen=True)
class Kind:
    """One kind of evaluation."""

    request: type
    evaluate: Callable[..., Iterator[Progress]]  # (request, cells that are kept)


KINDS: Mapping[str, Kind] = {
    "transfer": Kind(TransferRequest, evaluate_transfer),
    "sweep": Kind(SweepRequest, evaluate_sweep),
    "check": Kind(CheckRequest, evaluate_check),
    "suite": Kind(SuiteRequest, evaluate_suite),
    "tofu": Kind(TofuRequest, evaluate_tofu),
    "alpaca": Kind(AlpacaRequest, evaluate_alpaca),
    "forgetting": Kind(ForgettingRequest, evaluate_forgetting),
}


def kind_called(name: Any) -> Kind:
    """Return a kind of evaluation by its name.

    Raises:
        SettingError: there is none of this name.
    """
    if name not in KINDS:
        raise SettingError(
            f'"{name}" is no kind of evaluation', hint=f"There are {', '.join(KINDS)}."
        )
    return KINDS[name]


def kind_of(request: Any) -> str:
    """Return the name of the kind that a request asks for."""
    return next(name for name, kind in KINDS.items() if kind.request is type(request))


def stored_request(kind: str, stored: Any) -> Any:
    """Return the request that was stored with a run or a report.

    Raises:
        SettingError: it is none of this kind.
    """
    try:
        return _filled(kind_called(kind).request, stored)
    except (TypeError, AttributeError, KeyError) as error:
        raise SettingError(
            f"what was asked for cannot be read ({error})", hint="Start a new evaluation."
        ) from error


def _filled(kind: type, stored: Mapping[str, Any]) -> Any:
    """Fill a dataclass from plain JSON: lists become tuples, objects the dataclasses they were."""
    if not isinstance(stored, Mapping):
        raise TypeError(f"it is a {type(stored).__name__}, not an object")
    values: dict[str, Any] = {}
    for each in fields(kind):
        if each.name not in stored:
            continue
        value = stored[each.name]
        nested = each.default_factory if each.default_factory is not MISSING else None
        if isinstance(value, list):
            value = tuple(value)
        elif isinstance(value, Mapping) and is_dataclass(nested):
            value = _filled(nested, value)
        values[each.name] = value
    return kind(**values)
