"""What may be evaluated here: anything at home, on a public Space what is listed and in measure."""

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmc import runs
from cmc.errors import SettingError
from cmc.evaluation.kinds import KINDS, kind_called, stored_request
from cmc.settings import lab_targets
from cmc.workspace.trainings import PRIOR, check_training

if TYPE_CHECKING:
    from cmc.workspace import Workspace

SUITES = Path(__file__).resolve().parents[2] / "assets" / "suites"
PUBLIC_ANSWERS = 2000  # of one evaluation on a public Space; about two minutes of two cores
# The most of one setting there: of one answer, at once, of a training.
PUBLIC_MOST = {"max_new_tokens": 512, "batch_size": 64, "max_steps": 1000}
# What a public Space never takes: addresses it would call, its secrets, folders and files.
ELSEWHERE = ("endpoint", "key_variable", "out", "retain_log")


def evaluation_runs(workspace: "Workspace") -> list[runs.Run]:
    """Return the evaluations of this home, newest first."""
    return [each for each in runs.list_runs(workspace.home) if each.kind in KINDS]


def names_of_suites() -> list[str]:
    """Return the paths of the suites that come with the app."""
    return sorted(str(path) for path in SUITES.glob("*.json"))


def flat_fields(kind: type) -> dict[str, Any]:
    """Return the names of a request's fields with their defaults, those of nested ones included."""
    found: dict[str, Any] = {}
    for each in fields(kind):
        default = each.default_factory() if callable(each.default_factory) else each.default
        found |= flat_fields(type(default)) if is_dataclass(default) else {each.name: default}
    return found


def asked_request(kind: str, values: Mapping[str, Any]) -> Any:
    """Return the request of a kind from values by the names of its fields, nested ones flat.

    Raises:
        SettingError: the kind has no such field, or a value is out of its range.
    """
    wanted = kind_called(kind).request
    unknown = sorted(set(values) - set(flat_fields(wanted)))
    if unknown:
        raise SettingError(
            f"the evaluation {kind} has no setting {', '.join(unknown)}",
            hint=f"It has {', '.join(flat_fields(wanted))}.",
        )
    return stored_request(kind, _nested(wanted, values))


def offered_names(workspace: "Workspace") -> dict[str, list[str]]:
    """Return what there is to choose from, by the singular of a field's name."""
    targets = workspace.names_of_targets()
    data = workspace.names_of_data()
    earlier = [each.name for each in evaluation_runs(workspace)]
    return {
        "controller": workspace.names_of_controllers(),
        "target": targets,
        "template": targets,
        "data": ["", "lab", "lab:held_out", *data],
        "gold": ["", "lab:held_out", *data],
        "retain": data,
        "other": data,
        "init": ["", PRIOR, *workspace.names_of_controllers()],
        "suite": names_of_suites(),
        "against": ["", *earlier],
        "reference": ["base"],
        "judge": ["reference"],
    }


def check_offered(workspace: "Workspace", request: Any) -> None:
    """Refuse what strangers may not name: other models, other files, addresses, secrets.

    Raises:
        ModelError: a name is not offered here.
        SettingError: a value is not taken here.
        TrainingError: it trains, which is off here.
    """
    offered = offered_names(workspace)
    values = _flat_values(request)
    for name, value in values.items():
        kind = name.removesuffix("s")
        if kind in offered:
            for each in value if isinstance(value, tuple | Mapping) else (value,):
                workspace.check_offered(each, offered[kind])
    if workspace.mode != "local":
        _check_elsewhere(values, flat_fields(type(request)))
        _check_size(values)
        if values.get("objectives") and not values.get("controllers"):
            check_training(workspace)  # it would train a controller with each


def _check_elsewhere(values: Mapping[str, Any], defaults: Mapping[str, Any]) -> None:
    for name in ELSEWHERE:
        if values.get(name) != defaults.get(name):
            raise SettingError(
                f"{name.replace('_', ' ')} cannot be set on this public Space",
                hint="Leave it as it is, or run the app on your own machine.",
            )


def _check_size(values: Mapping[str, Any]) -> None:
    """Refuse more answers than a public Space has time for."""
    counts = {name: len(values.get(name) or ()) or 1 for name in ("controllers", "strengths")}
    counts["targets"] = len(values.get("targets") or ()) or (
        len(lab_targets()) if "targets" in values else 1
    )
    limit = values.get("limit", 1) or 0
    asked = limit * counts["controllers"] * counts["strengths"] * counts["targets"]
    if not limit or asked > PUBLIC_ANSWERS:
        raise SettingError(
            f"this asks for {asked if limit else 'all'} answers; "
            f"a public Space gives {PUBLIC_ANSWERS} at once",
            hint="Lower the limit, or choose fewer targets, controllers or strengths.",
        )
    for name, most in PUBLIC_MOST.items():
        if values.get(name, 0) > most:
            raise SettingError(
                f"{name.replace('_', ' ')} is {values[name]}",
                hint=f"A public Space gives up to {most}.",
            )


def _flat_values(request: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for each in fields(request):
        value = getattr(request, each.name)
        found |= _flat_values(value) if is_dataclass(value) else {each.name: value}
    return found


def _nested(kind: type, values: Mapping[str, Any]) -> dict[str, Any]:
    """Put values of nested requests where they belong; what is not given is left out."""
    found: dict[str, Any] = {}
    for each in fields(kind):
        nested = each.default_factory
        if isinstance(nested, type) and is_dataclass(nested):
            found[each.name] = _nested(nested, values)
        elif each.name in values:
            found[each.name] = values[each.name]
    return found
