"""Several trainings from one set of settings: what may differ, and how it is written."""

from collections.abc import Sequence
from dataclasses import fields, replace

from cmc.errors import SettingError
from cmc.settings.training import TrainSettings

# What a batch holds, and what reads it: variants share one pass of the template over both.
_SHARED = (
    "template", "data", "columns", "prompt_format", "max_length", "limit", "held_out_fraction",
)  # fmt: skip
_VARIED = tuple(each.name for each in fields(TrainSettings) if each.name not in _SHARED)


def varied_settings(settings: TrainSettings, variants: Sequence[str]) -> list[TrainSettings]:
    """Return one set of settings per variant, each with a name of its own.

    Args:
        settings: what all have in common.
        variants: `FIELD=VALUE,FIELD=VALUE`, such as `hidden_size=64,learning_rate=1e-3`; without
            a name of its own, a variant is called after the common name and its number.

    Raises:
        SettingError: a variant is no list of fields, or names one that all must share.

    Example:
        >>> first, second = varied_settings(TrainSettings(), ["layers=2", "layers=4,name=deep"])
        >>> first.name, first.layers, second.name, second.layers
        ('controller-v1', 2, 'deep', 4)
    """
    return [
        replace(settings, **{"name": f"{settings.name}-v{number}"} | _changes(variant))
        for number, variant in enumerate(variants, start=1)
    ]


def _changes(variant: str) -> dict[str, str]:
    changes = {}
    for part in variant.split(","):
        name, equals, value = part.partition("=")
        name = name.strip().removeprefix("--").replace("-", "_")
        if name in _SHARED:
            raise SettingError(
                f"{name} cannot differ between variants",
                hint="They learn from the same batches beside the same template; start two jobs.",
            )
        if not equals or name not in _VARIED:
            raise SettingError(
                f'"{part.strip()}" is no setting of a variant',
                hint="Write FIELD=VALUE,FIELD=VALUE, as in hidden_size=64,learning_rate=1e-3.",
            )
        changes[name] = value.strip()
    return changes
