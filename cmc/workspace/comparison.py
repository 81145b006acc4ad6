"""One prompt on several targets, each at several strengths in one batch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from cmc.errors import CmcError
from cmc.generation import ControlledModel, Row
from cmc.settings import CompareRequest, GenerationRequest
from cmc.workspace.memory import memory_told

if TYPE_CHECKING:
    from cmc.workspace import Workspace


@dataclass(frozen=True, kw_only=True)
class Compared:
    """What one target has said so far at every strength.

    Attributes:
        target: its name.
        texts: one per strength of the request; empty until it is the target's turn.
        token_counts: tokens of every text.
        seconds: since its batch began.
        transfers: how each controller reached it.
        is_finished: whether it is done, with texts or with an error.
        error: why it could not take part, as a sentence; empty where it could.
    """

    target: str
    texts: tuple[str, ...] = ()
    token_counts: tuple[int, ...] = ()
    seconds: float = 0.0
    transfers: tuple[str, ...] = ()
    is_finished: bool = False
    error: str = ""


def stream_comparison(workspace: "Workspace", request: CompareRequest) -> Iterator[list[Compared]]:
    """Yield all targets' answers so far, one target after the other.

    A target that cannot take part says why and the others go on.
    """
    found = [Compared(target=target) for target in request.targets]
    for number, waiting in enumerate(found):
        try:
            with memory_told(workspace.let_go):
                for found[number] in _stream_target(workspace, request, waiting):
                    yield list(found)
            found[number] = replace(found[number], is_finished=True)
        except CmcError as error:
            found[number] = replace(found[number], error=error.sentence(), is_finished=True)
        yield list(found)


def _stream_target(
    workspace: "Workspace", request: CompareRequest, shown: Compared
) -> Iterator[Compared]:
    """Yield what one target says at every strength, from one batch."""
    model = workspace.controlled_model(
        GenerationRequest(
            prompts=(request.prompt,),
            target=shown.target,
            controllers=request.controllers,
            transfer=request.transfer,
            sampling=request.sampling,
            cover=request.cover,
            maps=request.maps,
        )
    )
    for chunk in model.stream(_rows(model, request), request.sampling):
        yield replace(
            shown,
            texts=tuple(chunk.texts),
            token_counts=tuple(chunk.token_counts),
            seconds=chunk.seconds,
            transfers=model.transfers,
        )


def _rows(model: ControlledModel, request: CompareRequest) -> list[Row]:
    """Return a row per strength of the first controller; the others keep theirs."""
    others = tuple(request.controllers.values())[1:]
    asked = request.prompt.strip()
    return [model.row(asked, (strength, *others)) for strength in request.strengths]
