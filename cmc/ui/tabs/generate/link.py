"""A link that restores the Generate tab: short to write, checked when read."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any
from urllib.parse import urlencode

from cmc.errors import CmcError, ModelError, SettingError
from cmc.settings import STRENGTH_RANGE, TRANSFERS, Sampling, checked_choice, checked_number
from cmc.ui.tabs.generate.choices import CHANNELS, NO_CONTROLLER, SAMPLING, GenerateChoices

LONGEST_PROMPT = 4000  # characters; browsers and servers cut longer addresses
LONGEST_NAME = 200
NEVER_IN_NAMES = set('<>"|*?')  # of folders or on the Hub
MUTED = ":muted"
BUILT_IN = ("lab:", "run:")  # names that mean nothing where they are not listed
# What the page itself or the place that shows it puts into an address.
FOREIGN = ("__theme", "__sign", "view", "logs", "embed")

Values = dict[str, Any]


def link_query(choices: GenerateChoices) -> str:
    """Return `?prompt=…&target=…&controller=NAME:STRENGTH…`; defaults are left out.

    Raises:
        SettingError: the prompt is too long for a link.
    """
    if len(choices.prompt) > LONGEST_PROMPT:
        raise SettingError(
            f"the prompt has {len(choices.prompt):,} characters, too many for a link",
            hint=f"Shorten it to {LONGEST_PROMPT:,}, or export the result as JSON.",
        )
    parts = [("prompt", choices.prompt), ("target", choices.target)]
    parts += [
        ("controller", f"{each.controller}:{each.strength:g}{MUTED if each.muted else ''}")
        for each in choices.channels()
    ]
    for name in ("transfer", "vocab_map", *SAMPLING):
        default = next(each.default for each in fields(GenerateChoices) if each.name == name)
        if getattr(choices, name) != default:
            parts.append((name, f"{getattr(choices, name)}"))
    return "?" + urlencode([part for part in parts if part[1]], safe=":/,")


@dataclass(frozen=True)
class Offer:
    """What a link may name here."""

    tabs: tuple[str, ...]
    targets: Sequence[str]
    controllers: Sequence[str]
    is_open: bool  # whether any folder or Hub id may be named as well
    find_map: Callable[[str], str]  # raises `StoreError` where there is no such kept map

    def check(self, name: str, offered: Sequence[str]) -> str:
        """Return a name that can be used here.

        Raises:
            ModelError: it is no name, or not offered here.
        """
        _check_name(name)
        if name not in offered and (not self.is_open or name.startswith(BUILT_IN)):
            raise ModelError(f'"{name}" is not offered here', hint="")
        return name

    def check_map(self, name: str) -> str:
        """Return the name of a kept map; raises `ModelError` or `StoreError` where it is none."""
        _check_name(name)
        self.find_map(name)
        return name


def read_link(query: Sequence[tuple[str, str]], offer: Offer) -> tuple[Values, list[str]]:
    """Return the fields that a link sets, checked, and a sentence for each part left out.

    Args:
        query: names and values as they stand in the address; `controller` may come several times.
        offer: what it may name.

    Returns:
        Fields of `GenerateChoices`, and `tab`; if it names controllers, all channels are set.
    """
    wanted: Values = {}
    told: list[str] = []
    readers: Mapping[str, Callable[[str], Values]] = {
        "tab": lambda value: {"tab": checked_choice("tab", value, offer.tabs)},
        "prompt": _prompt,
        "target": lambda value: {"target": offer.check(value, offer.targets)},
        "strength": lambda value: {"strength": _strength(value)},
        "transfer": lambda value: {"transfer": checked_choice("transfer", value, TRANSFERS)},
        "vocab_map": lambda value: {"vocab_map": offer.check_map(value)},
        **{name: _sampling_reader(name) for name in SAMPLING},
    }
    for name, value in query:
        if name == "controller" or name.startswith(FOREIGN):
            continue
        try:
            if name not in readers:
                raise SettingError(f'"{name[:40]}" is no part of a link', hint="")
            wanted |= readers[name](value)
        except CmcError as error:
            told.append(error.sentence())
    named = [value for name, value in query if name == "controller"]
    wanted |= _channels(named, offer, told)
    return wanted, told


def _check_name(name: str) -> None:
    """Refuse what can name nothing."""
    if len(name) > LONGEST_NAME or not name.isprintable() or set(name) & NEVER_IN_NAMES:
        raise ModelError(f'"{name[:40]}" is no name of a model', hint="")


def _channels(named: Sequence[str], offer: Offer, told: list[str]) -> Values:
    """Return all channels as the link names them; those it does not name are empty."""
    found: dict[str, tuple[float, bool]] = {}
    for each in named:
        try:
            name, strength, muted = _channel(each)
            offer.check(name, offer.controllers)
            if name in found or len(found) == len(CHANNELS):
                raise SettingError(f"{name} is one controller too many", hint="")
            found[name] = strength, muted
        except CmcError as error:
            told.append(error.sentence())
    if not found:
        return {}
    values: Values = {}
    filled = [*((name, *rest) for name, rest in found.items())]
    empty = [(NO_CONTROLLER, 1.0, False)] * (len(CHANNELS) - len(filled))
    for prefix, (name, strength, muted) in zip(CHANNELS, [*filled, *empty], strict=True):
        values |= {
            f"{prefix}controller": name,
            f"{prefix}strength": strength,
            f"{prefix}muted": muted,
        }
    return values


def _channel(text: str) -> tuple[str, float, bool]:
    """Return name, strength and whether it is muted, from `NAME:STRENGTH[:muted]`."""
    muted = text.endswith(MUTED)
    name, colon, strength = text.removesuffix(MUTED).rpartition(":")
    if not colon or name in ("", "lab", "run"):
        raise SettingError(f'"{text[:60]}" has no strength', hint="Write NAME:STRENGTH.")
    return name, _strength(strength), muted


def _prompt(text: str) -> Values:
    """Return the prompt if it is not too long."""
    if len(text) > LONGEST_PROMPT:
        raise SettingError(f"the prompt has {len(text):,} characters", hint="It is too long.")
    return {"prompt": text}


def _strength(value: str) -> float:
    """Return a strength within its range."""
    return checked_number("strength", value, *STRENGTH_RANGE)


def _sampling_reader(name: str) -> Callable[[str], Values]:
    """Return what reads one field of `Sampling`, which checks it."""
    return lambda value: {name: getattr(Sampling(**{name: value}), name)}
