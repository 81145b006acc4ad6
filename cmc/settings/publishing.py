"""What a person sets to publish on the Hub. A token is no setting: it is stored nowhere."""

import re
from dataclasses import dataclass

from cmc.errors import SettingError

REPO = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
HARDWARE = re.compile(r"[a-z0-9][a-z0-9-]{1,39}")
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
        _check_repo(self.repo)
        if self.licence and not LICENCE.fullmatch(self.licence):
            raise SettingError(
                f'"{self.licence[:40]}" is no name of a licence',
                hint="Name it as the Hub does, such as apache-2.0 or mit, or leave it out.",
            )


@dataclass(frozen=True, kw_only=True)
class SpaceRequest:
    """One `cmc space deploy`.

    Attributes:
        repo: `owner/name` of the Space on the Hub.
        hardware: as the Hub calls it, such as `cpu-basic` or `l4x1`; empty takes that of
            `spaces_config/space.yml` for a new Space and leaves one that is there as it is.
        private: whether a new Space is private; one that is there stays as it is.
        storage: whether a new Space gets a bucket, on which runs outlive a restart.
        secrets: environment variables whose values a new Space gets as secrets; none by itself,
            since whoever runs code in the Space can use them.
        dry_run: only tell what would be done.
    """

    repo: str = ""
    hardware: str = ""
    private: bool = True
    storage: bool = True
    secrets: tuple[str, ...] = ()
    dry_run: bool = False

    def __post_init__(self) -> None:
        _check_repo(self.repo)
        if self.hardware and not HARDWARE.fullmatch(self.hardware):
            raise SettingError(
                f'"{self.hardware[:40]}" is no name of hardware',
                hint="Name it as the Hub does, such as cpu-basic, l4x1 or zero-a10g.",
            )


def _check_repo(name: str) -> None:
    if not REPO.fullmatch(name) or ".." in name or "--" in name:
        raise SettingError(
            f'"{name[:80]}" is no name of a repository',
            hint="Write owner/name, with letters, digits, dots, dashes and underscores.",
        )
