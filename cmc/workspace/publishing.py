"""Publish a version from the app, with the token of whoever asks for it."""

from typing import TYPE_CHECKING

from cmc.errors import StoreError
from cmc.settings import PublishRequest
from cmc.store.publish import publish_version

if TYPE_CHECKING:
    from cmc.workspace import Workspace


def publish(
    workspace: "Workspace", reference: str, request: PublishRequest, *, token: str = ""
) -> str:
    """Publish a version of a controller; return the repository's address.

    Args:
        workspace: whose store holds the version.
        reference: `NAME`, `NAME@NUMBER` or `NAME@LABEL`.
        request: where to, and how.
        token: of the person who asks. Only an app on a person's own machine may do without: it
            then takes the one that person signed in with.

    Raises:
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
    return publish_version(workspace.store, reference, request, token=token)
