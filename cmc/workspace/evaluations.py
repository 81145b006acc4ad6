"""Evaluations of the app: start, follow, stop, resume, repeat, and what they recommend."""

from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cmc import runs
from cmc.errors import CmcError, DataError, RunError
from cmc.evaluation.kinds import KINDS, kind_of
from cmc.evaluation.places import with_places
from cmc.evaluation.repeat import request_of
from cmc.settings import absolute
from cmc.store import pinned
from cmc.training.folder import read_json, write_json
from cmc.workspace.offers import check_offered, evaluation_runs
from cmc.workspace.trainings import check_room_in_queue

if TYPE_CHECKING:
    from cmc.workspace import Workspace

PUBLIC_KEPT = 50  # evaluations there; the oldest make way
REPEATS = "repeats.json"  # beside a run: which one it repeats
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


def start_evaluation(workspace: "Workspace", request: Any, name: str = "") -> runs.Run:
    """Start an evaluation in the background.

    Raises:
        ModelError: a name is not offered here.
        TrainingError: on a public Space enough is queued.
        SettingError: it asks for more than a public Space gives.
    """
    check_offered(workspace, request)
    _make_way(workspace)
    return runs.start_evaluation(
        kind_of(request), _placed(workspace, request), name=name, home=workspace.home
    )


def stop_evaluation(workspace: "Workspace", name: str) -> None:
    """Ask an evaluation to end; what is measured is kept."""
    runs.stop(open_evaluation(workspace, name))


def resume_evaluation(workspace: "Workspace", name: str) -> runs.Run:
    """Go on with an evaluation that was stopped, failed or cut off.

    Raises:
        RunError: it is running, queued or finished.
        TrainingError: on a public Space enough is queued.
    """
    run = open_evaluation(workspace, name)
    _make_way(workspace, run)
    return runs.resume(run)


def repeat_evaluation(workspace: "Workspace", name: str) -> runs.Run:
    """Start what a finished evaluation was asked for once more, as a run of its own.

    Raises:
        DataError: it has no report yet.
        TrainingError: on a public Space enough is queued.
    """
    run = open_evaluation(workspace, name)
    report = run.report()
    if not report:
        raise DataError(f'"{run.name}" has no report yet', hint="Let it finish first.")
    # Its names were checked when it was started, and stand for places now.
    request = request_of(report)
    _make_way(workspace)
    again = runs.new_evaluation(
        kind_of(request), request, name=f"{run.name[:56]} again", home=workspace.home
    )
    write_json(again.folder / REPEATS, {"run": run.name})
    return runs.resume(again)


def repeated_run(run: runs.Run) -> str:
    """Return the name of the run that this one repeats; empty where it repeats none."""
    return str(read_json(run.folder / REPEATS).get("run") or "")


def delete_evaluation(workspace: "Workspace", name: str) -> None:
    """Remove an evaluation with all it has measured.

    Raises:
        RunError: it is running, or this is a public Space, where others may want to see it.
    """
    if workspace.mode != "local":
        raise RunError(
            "evaluations cannot be deleted on this public Space",
            hint=f"The oldest make way by themselves once there are {PUBLIC_KEPT}.",
        )
    runs.delete(open_evaluation(workspace, name))


def open_evaluation(workspace: "Workspace", name: str) -> runs.Run:
    """Return an evaluation by the name of its run.

    Raises:
        RunError: there is none of this name; a training is none.
    """
    run = workspace.run(name)
    if run.kind not in KINDS:
        raise RunError(f'run "{name}" is no evaluation', hint="Choose one in the table.")
    return run


def recommended_strength(
    workspace: "Workspace", controller: str, target: str
) -> Recommendation | None:
    """Return what the newest sweep of this pair recommends; None where there is none."""
    try:
        place = _place(workspace, controller)
    except CmcError:  # it was deleted; so there is nothing to recommend
        return None
    controllers, targets = {controller, absolute(place)}, {target, absolute(target)}
    for run in evaluation_runs(workspace)[:LOOKED_THROUGH]:
        for each in run.report().get("recommendations") or ():
            is_pair = each["target"] in targets and each["controller"] in controllers
            if is_pair and each["strength"] is not None:
                harm = tuple((low, high) for low, high in each["harm"])
                return Recommendation(each["strength"], harm, each["why"], run.name)
    return None


def _make_way(workspace: "Workspace", run: runs.Run | None = None) -> None:
    """See to it that a public Space neither queues too much nor fills up.

    Raises:
        TrainingError: enough is queued there.
    """
    check_room_in_queue(workspace)
    if workspace.mode == "local":
        return
    for old in evaluation_runs(workspace)[PUBLIC_KEPT - 1 :]:
        if (run is None or old.name != run.name) and not old.is_running():
            runs.delete(old)


def _placed(workspace: "Workspace", request: Any) -> Any:
    """Return a request whose controllers and earlier report are named by where they lie."""
    against = getattr(request, "against", "")
    if against and not Path(against).is_file():
        report = workspace.run(against).folder / runs.REPORT
        request = replace(request, against=str(report))
    return with_places(request, partial(_place, workspace))


def _place(workspace: "Workspace", controller: str) -> str:
    """Return the folder of a run's controller, and of a label the version it names now."""
    if controller.startswith(runs.RUN_PREFIX):
        return workspace.place_of(controller)
    return pinned(controller, workspace.home)
