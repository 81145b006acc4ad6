"""What a person sets to build a vocab map, and to look through its entries."""

from dataclasses import dataclass

from cmc.errors import SettingError
from cmc.settings.checks import checked_choice
from cmc.settings.limits import STARTER_CONTROLLER, STARTER_TARGET, TRANSFERS

ENTRY_KINDS = ("all", "exact", "prefix", "extension", "composed", "role", "chosen", "none")
ENTRY_COLUMNS = ("id", "token", "bytes", "kind", "distance", "controller id", "fan-in")


@dataclass(frozen=True, kw_only=True)
class MapRequest:
    """One press of Inspect in the Vocabulary tab, or one `cmc map`.

    The published map is one of `pm-mined`: with parity, `auto` means that. `saved` names a map to
    measure instead of building one: a file, or `NAME@VERSION` of the store.
    """

    controller: str = STARTER_CONTROLLER
    target: str = STARTER_TARGET
    transfer: str = "auto"
    parity: bool = False
    saved: str = ""
    out: str = ""

    def __post_init__(self) -> None:
        checked_choice("transfer", self.transfer, TRANSFERS)
        if self.parity and self.transfer not in ("auto", "pm-mined"):
            raise SettingError(
                f"parity with the published map is not for the transfer {self.transfer}",
                hint="Choose the transfer pm-mined, or leave parity out.",
            )
        if self.parity:
            object.__setattr__(self, "transfer", "pm-mined")


@dataclass(frozen=True, kw_only=True)
class EntryQuery:
    """Which entries of a vocab map to list, and in which order.

    `wanted` is a part of either token, white space as it is or as `·` and the like, or `#ID`.
    """

    kind: str = "all"
    wanted: str = ""
    sort: str = "id"
    descending: bool = False

    def __post_init__(self) -> None:
        checked_choice("kind", self.kind, ENTRY_KINDS)
        checked_choice("sort", self.sort, ENTRY_COLUMNS)
