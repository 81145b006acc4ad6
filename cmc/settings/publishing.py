"""What a person sets to publish a controller. A token is no setting: it is stored nowhere."""

import re
from dataclasses import dataclass

from cmc.errors import SettingError

REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
LICENCE = re.compile(r"[a-z0-9][a-z0-9.-]{0,40}")


@dataclass(frozen=True, kw_only=True)
class PublishRequest:
    """One `cmc versions publish`.

    Attributes:
        repo: `owner/name` of the model repository on the Hub.
        private: whether a new repository is private; one that is there stays as it is.
        licence: as the Hub calls it, such as `apache-2.0`; empty states none.
    """

    repo: str = ""
    private: bool = True
    licence: str = ""

    def __post_init__(self) -> None:
        if not REPO.fullmatch(self.repo) or ".." in self.repo or "--" in self.repo:
            raise SettingError(
                f'"{self.repo[:80]}" is no name of a repository',
                hint="Write owner/name, with letters, digits, dots, dashes and underscores.",
            )
        if self.licence and not LICENCE.fullmatch(self.licence):
            raise SettingError(
                f'"{self.licence[:40]}" is no name of a licence',
                hint="Name it as the Hub does, such as apache-2.0 or mit, or leave it out.",
            )
