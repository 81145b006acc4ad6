"""What stands in the Generate tab, as requests."""

from collections.abc import Iterator
from dataclasses import dataclass, fields

from cmc.errors import SettingError
from cmc.settings import (
    STARTER_CONTROLLER,
    STARTER_TARGET,
    CompareRequest,
    GenerationRequest,
    Sampling,
)

NO_CONTROLLER = ""
# Channels of the mixing desk, by what the names of their fields begin with.
CHANNELS = ("", "second_", "third_", "fourth_")
SAMPLING = tuple(field.name for field in fields(Sampling))


@dataclass(frozen=True, kw_only=True)
class Channel:
    """One controller on the desk."""

    controller: str
    strength: float
    muted: bool = False


@dataclass(frozen=True, kw_only=True)
class GenerateChoices:
    """What stands in the Generate tab; plain values only."""

    prompt: str
    target: str = STARTER_TARGET
    controller: str = STARTER_CONTROLLER
    transfer: str = "auto"
    vocab_map: str = ""  # a kept one to follow; none has one built where the transfer needs it
    strength: float = 1.0
    muted: bool = False
    second_controller: str = NO_CONTROLLER
    second_strength: float = 1.0
    second_muted: bool = False
    third_controller: str = NO_CONTROLLER
    third_strength: float = 1.0
    third_muted: bool = False
    fourth_controller: str = NO_CONTROLLER
    fourth_strength: float = 1.0
    fourth_muted: bool = False
    max_new_tokens: int = Sampling.max_new_tokens
    temperature: float = Sampling.temperature
    top_p: float = Sampling.top_p
    top_k: int = Sampling.top_k
    min_p: float = Sampling.min_p
    seed: int = Sampling.seed

    def channels(self) -> Iterator[Channel]:
        """Yield the channels that hold a controller, in order."""
        for prefix in CHANNELS:
            if getattr(self, f"{prefix}controller"):
                yield Channel(
                    controller=getattr(self, f"{prefix}controller"),
                    strength=getattr(self, f"{prefix}strength"),
                    muted=bool(getattr(self, f"{prefix}muted")),
                )

    def controllers(self) -> dict[str, float]:
        """Return name to strength; a muted controller takes none.

        Raises:
            SettingError: there is no controller, or one stands on two channels.
        """
        found: dict[str, float] = {}
        for channel in self.channels():
            if channel.controller in found:
                raise SettingError(
                    f"the desk has {channel.controller} twice",
                    hint="Remove one, or choose another controller there.",
                )
            found[channel.controller] = 0.0 if channel.muted else channel.strength
        if not found:
            raise SettingError(
                "no controller is on the desk", hint="Add one; strength 0 is the target alone."
            )
        return found

    def request(self) -> GenerationRequest:
        """Return the same choices as a request; raises `SettingError` where one is wrong."""
        return GenerationRequest(
            prompts=(self.prompt or "",),
            target=self.target or "",
            controllers=self.controllers(),
            transfer=self.transfer,
            sampling=self.sampling(),
            maps=self.maps(),
        )

    def maps(self) -> tuple[str, ...]:
        """Return the kept map to follow, if one is chosen."""
        return (self.vocab_map.strip(),) if (self.vocab_map or "").strip() else ()

    def sampling(self) -> Sampling:
        """Return how tokens are drawn."""
        return Sampling(**{name: getattr(self, name) for name in SAMPLING})


@dataclass(frozen=True, kw_only=True)
class CompareChoices(GenerateChoices):
    """The same, with targets and strengths to compare."""

    targets: list[str] | None = None
    strengths: str = ", ".join(f"{each:g}" for each in CompareRequest.strengths)

    def comparison(self) -> CompareRequest:
        """Return what to compare; without targets, the one of the tab."""
        return CompareRequest(
            prompt=self.prompt or "",
            targets=tuple(self.targets or [self.target or ""]),
            controllers=self.controllers(),
            strengths=read_strengths(self.strengths),
            transfer=self.transfer,
            sampling=self.sampling(),
            maps=self.maps(),
        )


def read_strengths(text: str) -> tuple[str, ...]:
    """Return the strengths in `0, 0.5, 1` as they are written; the request checks them."""
    return tuple(part for part in (text or "").replace(";", ",").replace(",", " ").split() if part)
