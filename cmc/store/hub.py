"""What every upload to the Hub shares: a token that is told nowhere, and errors in one sentence."""

from collections.abc import Iterator
from contextlib import contextmanager

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import HfHubHTTPError, RepositoryNotFoundError

from cmc.errors import CmcError, StoreError

_SIGN_IN = "Sign in with `hf auth login`, or give a token that may write to it."


def hub_of(repo: str, token: str = "", endpoint: str = "") -> HfApi:
    """Return the Hub with a token; an empty one is that of whoever signed in on this machine.

    Raises:
        StoreError: there is no token to write to `repo` with.
    """
    token = token or get_token() or ""
    if not token:
        raise StoreError(f"there is no token to publish {repo} with", hint=_SIGN_IN)
    return HfApi(token=token, endpoint=endpoint or None)


@contextmanager
def refusals_told(repo: str) -> Iterator[None]:
    """Turn what the Hub or the network says to an upload into a StoreError without the token."""
    try:
        yield
    except CmcError:
        raise
    except HfHubHTTPError as error:
        # Not chained: what the Hub was asked holds the token.
        raise _refused(error, repo) from None
    except Exception as error:  # of whatever library the Hub's client uses for the network
        raise StoreError(
            f"{repo} could not be published ({type(error).__name__})",
            hint="Check the connection and try again; what arrived is no harm.",
        ) from None


def _refused(error: HfHubHTTPError, repo: str) -> StoreError:
    status = error.response.status_code if error.response is not None else 0
    if status == 402:
        return StoreError(
            f"the Hub asks for a paid plan or credit before it makes {repo} (402)",
            hint="Add credit at huggingface.co/settings/billing, or ask for cheaper hardware.",
        )
    if status in (401, 403) or isinstance(error, RepositoryNotFoundError):
        return StoreError(f"the Hub does not let this token write to {repo} ({status})",
                          hint=_SIGN_IN)  # fmt: skip
    return StoreError(
        f"the Hub refused to take {repo} ({status or type(error).__name__})",
        hint="Wait a little and try again; check that the name is not taken by another kind.",
    )
