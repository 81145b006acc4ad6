"""The kinds of evaluation in words, what each begins with, and the request that a form asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cmc.arguments import named_strengths
from cmc.evaluation.kinds import KINDS
from cmc.settings import STARTER_TARGET
from cmc.ui.tabs.generate.choices import read_strengths
from cmc.workspace.offers import asked_request, flat_fields, names_of_suites

FIRST = "sweep"
HIDDEN = ("out", "template", "batch_size", "seed")  # the app sets these itself


@dataclass(frozen=True)
class Told:
    """How a kind stands in the form.

    Attributes:
        label: its name on the page.
        about: what it answers, in a sentence or two.
        start: values that make a first run short, where the request's defaults would be long.
    """

    label: str
    about: str = ""
    start: Mapping[str, Any] = field(default_factory=dict)


TOLD = {
    "sweep": Told(
        "Strengths",
        "Which strength to use: every controller on every target at every strength. The slider "
        "in Generate marks what it recommends.",
        {"targets": [STARTER_TARGET], "strengths": "0, 0.5, 1, 1.5, 2", "limit": 20},
    ),
    "check": Told(
        "Transfer check",
        "Will this controller carry over to this target? A verdict from a few texts, in seconds.",
    ),
    "transfer": Told(
        "Transfer",
        "How much of the effect arrives: every target answers held-out questions alone and under "
        "control, by every transfer that fits.",
        {"targets": [STARTER_TARGET], "limit": 20},
    ),
    "suite": Told(
        "Suite of tests",
        "Saved prompts with expectations; which pass on which target?",
    ),
    "tofu": Told(
        "TOFU", "What is forgotten and what is kept, by the published measures.", {"limit": 5}
    ),
    "alpaca": Told(
        "AlpacaEval",
        "How often a judge prefers the controlled answer to the base's.",
        {"limit": 20, "max_new_tokens": 64},
    ),
    "forgetting": Told(
        "Forgetting",
        "What methods of unlearning forget and what they keep, at strengths that other questions "
        "chose. Without a controller it trains one with each objective, some minutes each.",
        {
            "controllers": ["lab:forget"],
            "targets": [STARTER_TARGET],
            "strengths": "0.5, 1, 1.5",
            "limit": 20,
        },
    ),
}


def told(kind: str) -> Told:
    """Return how a kind stands in the form; a kind nobody wrote about has its name."""
    return TOLD.get(kind) or Told(kind.capitalize())


def defaults_of(kind: str) -> dict[str, Any]:
    """Return what a form of this kind begins with, by field, as its components hold it."""
    found = flat_fields(KINDS[kind].request)
    found = {name: value for name, value in found.items() if name not in HIDDEN}
    if "suite" in found:
        found["suite"] = next(iter(names_of_suites()), "")
    for name, value in list(found.items()):
        if isinstance(value, Mapping):
            found[name] = list(value)
            found["strengths"] = _listed(value.values())
        elif isinstance(value, tuple):
            is_number = bool(value) and not isinstance(value[0], str)
            found[name] = _listed(value) if is_number else list(value)
    return found | dict(told(kind).start)


def request_from(kind: str, values: Mapping[str, Any]) -> Any:
    """Return the request that a form asks for.

    Args:
        kind: name of the kind.
        values: what its components hold, by field; those of other kinds are left out.

    Raises:
        SettingError: a value is out of its range, or there are more strengths than controllers.
    """
    wanted = flat_fields(KINDS[kind].request)
    found: dict[str, Any] = {}
    for name in defaults_of(kind):
        value = values.get(name)
        if name not in wanted:  # strengths that stand beside their controllers
            continue
        if isinstance(wanted[name], Mapping):
            value = named_strengths(value or [], read_strengths(str(values.get("strengths") or "")))
        elif isinstance(wanted[name], tuple):
            value = tuple(read_strengths(value) if isinstance(value, str) else value or ())
        elif isinstance(wanted[name], str):
            value = value or ""
        found[name] = value
    return asked_request(kind, found)


def _listed(numbers: Any) -> str:
    return ", ".join(f"{each:g}" for each in numbers)
