"""Evaluations of the app: start, follow, stop, resume, repeat, and what they recommend."""

from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmc import runs
from cmc.errors import CmcError, DataError, RunError
from cmc.evaluation.kinds import KINDS, kind_of
from cmc.evaluation.repeat import request_of
from cmc.store import pinned

if TYPE_CHECKING:
    from cmc.workspace import Workspace

SUITES = Path(__file__).resolve().parents[2] / "assets" / "suites"
AT_ONCE = 1  # evaluations of strangers on a public Space
LOOKED_THROUGH = 50  # newest runs among which a recommendation is looked for


@dataclass(frozen=True)
class Recommendation:
    """What the newest sweep of a controller on a target recommends.

    Attributes:
        strength: the strength to use, no unit.
        harm: stretches of strengths, from and to, that do harm.
        why: a sentence.
        run: the name of the sweep.
    """

    strength: float
    harm: tuple[tuple[float, float], ...]
    why: str
    run: str


def evaluation_runs(workspace: "Workspace") -> list[runs.Run]:
    """Return the evaluations of this home, newest first."""
    return [each for each in runs.list_runs(workspace.home) if each.kind in KINDS]


def start_evaluation(workspace: "Workspace", request: Any, name: str = "") -> runs.Run:
    """Start an evaluation in the background.

    Raises:
        ModelError: a name is not offered here.
        RunError: on a public Space another evaluation is running.
    """
    check_offered(workspace, request)
    if workspace.mode != "local":
        busy = [each.name for each in evaluation_runs(workspace) if each.is_running()]
        if len(busy) >= AT_ONCE:
            raise RunError(
                f'the evaluation "{busy[0]}" is running',
                hint="Wait for it or stop it: this public Space does one at a time.",
            )
    return runs.start_evaluation(
        kind_of(request), _placed(workspace, request), name=name, home=workspace.home
    )


def repeat_evaluation(workspace: "Workspace", run: runs.Run) -> runs.Run:
    """Start what a finished evaluation was asked for once more, as a run of its own.

    Raises:
        DataError: it has no report yet.
    """
    report = run.report()
    if not report:
        raise DataError(f'"{run.name}" has no report yet', hint="Let it finish first.")
    return start_evaluation(workspace, request_of(report), f"{run.name[:56]} again")


def recommended_strength(
    workspace: "Workspace", controller: str, target: str
) -> Recommendation | None:
    """Return what the newest sweep of this pair recommends; None where there is none."""
    try:
        place = _place(workspace, controller)
    except CmcError:  # it was deleted; so there is nothing to recommend
        return None
    for run in evaluation_runs(workspace)[:LOOKED_THROUGH]:
        for each in run.report().get("recommendations") or ():
            is_pair = each["target"] == target and each["controller"] in (controller, place)
            if is_pair and each["strength"] is not None:
                harm = tuple((low, high) for low, high in each["harm"])
                return Recommendation(each["strength"], harm, each["why"], run.name)
    return None


def names_of_suites() -> list[str]:
    """Return the paths of the suites that come with the app."""
    return sorted(str(path) for path in SUITES.glob("*.json"))


def check_offered(workspace: "Workspace", request: Any) -> None:
    """Refuse what strangers may not name: other models, other files.

    Raises:
        ModelError: a name is not offered here.
    """
    offered = {
        "controller": workspace.names_of_controllers(),
        "target": workspace.names_of_targets(),
        "template": workspace.names_of_targets(),
        "data": [*workspace.names_of_data(), "lab:held_out"],
        "retain": workspace.names_of_data(),
        "suite": names_of_suites(),
        "against": ["", *(each.name for each in evaluation_runs(workspace))],
    }
    for each in fields(request):
        kind = each.name.removesuffix("s")
        if kind in offered:
            value = getattr(request, each.name)
            for name in value if isinstance(value, tuple) else (value,):
                workspace.check_offered(name, offered[kind])


def _placed(workspace: "Workspace", request: Any) -> Any:
    """Return a request whose controllers and earlier report are named by where they lie."""
    changed: dict[str, Any] = {}
    if hasattr(request, "controllers"):
        places = tuple(_place(workspace, each) for each in request.controllers)
        changed["controllers"] = places
    elif hasattr(request, "controller"):
        changed["controller"] = _place(workspace, request.controller)
    if getattr(request, "against", "") and not Path(request.against).is_file():
        changed["against"] = str(workspace.run(request.against).folder / "report.json")
    for name in ("template", "data", "retain", "suite"):
        value = getattr(request, name, "")
        if value and Path(value).expanduser().exists():  # the process works in another folder
            changed[name] = str(Path(value).expanduser().resolve())
    return replace(request, **changed)


def _place(workspace: "Workspace", controller: str) -> str:
    """Return the folder of a run's controller, and of a label the version it names now."""
    if controller.startswith(runs.RUN_PREFIX):
        return workspace.place_of(controller)
    return pinned(controller, workspace.home)
