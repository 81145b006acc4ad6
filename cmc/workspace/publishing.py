"""Publish what a run has made from the app, with the token of whoever asks for it."""

from pathlib import Path
from typing import TYPE_CHECKING

from cmc import runs
from cmc.errors import RunError, StoreError
from cmc.settings import PublishRequest
from cmc.store.publish import publish_version

if TYPE_CHECKING:
    from cmc.workspace import Workspace


def publish_run(
    workspace: "Workspace", run: runs.Run, request: PublishRequest, *, token: str = ""
) -> str:
    """Publish the controller of a run as a version of its name; return the repository's address.

    Versions of that name may be those of another run, which was deleted, and newer ones too:
    what counts is what lies in this run's folder.

    Args:
        workspace: whose store holds the versions.
        run: a training of this workspace.
        request: where to, and how.
        token: of the person who asks. Only an app on a person's own machine may do without: it
            then takes the one that person signed in with.

    Raises:
        RunError: the run has made no controller yet.
        StoreError: it is switched off here, there is no token, or publishing failed.
    """
    if not workspace.may_train:
        raise StoreError(
            "publishing is switched off on this public Space",
            hint="Run the app on your own machine, or duplicate the Space.",
        )
    # What a Space may do with its own token, a visitor may not.
    if workspace.mode != "local" and not token:
        raise StoreError(
            "publishing needs your own token",
            hint="Sign in, or paste a token of yours that may write.",
        )
    place = run.status()["controller"]
    if place is None:
        raise RunError(
            f'run "{run.name}" has no controller yet', hint="Let it finish, or stop it first."
        )
    # Equal content gives the version that was kept when the run ended.
    version = workspace.store.save(
        "controller", run.name, Path(place), provenance={"run": run.name}
    )
    return publish_version(workspace.store, version.reference, request, token=token)
