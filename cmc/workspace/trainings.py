"""Trainings of the app: check, start, stop, resume, delete, and files that were uploaded."""

import shutil
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from cmc import runs
from cmc.data import read_records
from cmc.errors import TrainingError
from cmc.settings import TrainSettings
from cmc.training.preview import DataPreview, preview_data

if TYPE_CHECKING:
    from cmc.workspace import Workspace

UPLOADS = "uploads"
PRIOR = "lab:prior"  # what the lab's controllers began as
QUEUED_MOST = 4  # runs in progress and waiting on a public Space


def start_training(workspace: "Workspace", request: TrainSettings) -> runs.Run:
    """Check that the data can be read, then start a detached run, or queue it.

    Raises:
        TrainingError: training is off here.
        DataError: the records cannot be used; nothing was started.
    """
    check_training(workspace)
    check_training_names(workspace, request)
    check_room_in_queue(workspace)
    for source in (request.data, *filter(None, [request.retain])):
        read_records(source, limit=request.limit, columns=request.columns)
    return runs.start_training(placed(workspace, request), workspace.home)


def preview_training(workspace: "Workspace", request: TrainSettings) -> DataPreview:
    """Return what a training would learn from.

    Raises:
        ModelError: a name is not offered here.
        CmcError: what the training would raise for its data, template or prompt.
    """
    check_training_names(workspace, request)
    return preview_data(request)


def placed(workspace: "Workspace", request: TrainSettings) -> TrainSettings:
    """Return a request that names the controller of a run by the folder it lies in."""
    if not request.init.startswith(runs.RUN_PREFIX):
        return request
    return replace(request, init=workspace.place_of(request.init))


def stop_training(workspace: "Workspace", name: str) -> None:
    """Ask a run to save its controller and end, or to leave the queue."""
    check_training(workspace)
    runs.stop(workspace.run(name))


def resume_training(workspace: "Workspace", name: str) -> runs.Run:
    """Go on with a stopped or interrupted run from its last checkpoint."""
    check_training(workspace)
    return runs.resume(workspace.run(name))


def delete_training(workspace: "Workspace", name: str) -> None:
    """Remove a run and its controller; versions of it in the store stay.

    Raises:
        RunError: it is running or queued.
        TrainingError: this is a public Space, whose runs are its owner's.
    """
    if workspace.mode != "local":
        raise TrainingError(
            "runs on a public Space are not deleted by visitors",
            hint="Duplicate the Space to have runs of your own.",
        )
    runs.delete(workspace.run(name))


def queue(workspace: "Workspace") -> list[runs.Run]:
    """Return the runs in progress and those that wait, evaluations too, in their order."""
    return runs.queue_in(runs.runs_folder(workspace.home))


def upload_place(workspace: "Workspace", path: str | Path) -> Path:
    """Return where `keep_upload` puts an uploaded file."""
    source = Path(path)
    return workspace.home / UPLOADS / f"{source.parent.name[:16]}-{source.name}"


def keep_upload(workspace: "Workspace", path: str | Path) -> Path:
    """Copy an uploaded file to where a run can read it for as long as it needs."""
    check_training(workspace)
    kept = upload_place(workspace, path)
    kept.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(path, kept)
    return kept


def check_training(workspace: "Workspace") -> None:
    """Refuse on a public Space whose owner has not allowed training."""
    if not workspace.may_train:
        raise TrainingError(
            "training is switched off on this public Space",
            hint="Run the app on your own machine, or duplicate the Space "
            "and set ALLOW_PUBLIC_TRAINING=1.",
        )


def check_room_in_queue(workspace: "Workspace") -> None:
    """Refuse one more run where strangers have queued enough."""
    if workspace.mode != "local" and len(queue(workspace)) >= QUEUED_MOST:
        raise TrainingError(
            f"{QUEUED_MOST} runs are in progress or queued on this public Space",
            hint="Wait until one has ended.",
        )


def check_training_names(workspace: "Workspace", request: TrainSettings) -> None:
    """Let strangers train on what is listed and on what they uploaded, on nothing else."""
    uploads = (workspace.home / UPLOADS).resolve()
    for source in filter(None, (request.data, request.retain, request.refusals)):
        if not Path(source).resolve().is_relative_to(uploads):
            workspace.check_offered(source, workspace.names_of_data())
    workspace.check_offered(request.template, workspace.names_of_templates())
    workspace.check_offered(request.init, ["", PRIOR, *workspace.names_of_controllers()])
    for model in (request.second_template, request.watch):
        workspace.check_offered(model, ["", *workspace.names_of_targets()])
