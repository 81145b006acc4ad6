"""Base and controlled as two rows of one batch."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from cmc.generation import Chunk, ControlledModel, TokenDetail
from cmc.settings import Sampling

TOP = 10  # of the most likely tokens, kept for every token before and after control


@dataclass(frozen=True, kw_only=True)
class SideBySide:
    """What base and controlled have said so far, from one batch."""

    base: str
    controlled: str
    base_tokens: int
    controlled_tokens: int
    base_seconds: float  # until its last token, as for the controlled
    controlled_seconds: float
    strengths: Mapping[str, float]
    transfers: tuple[str, ...]
    is_finished: bool
    is_windowed: bool = False  # whether a controller saw only the end of the text
    maps: tuple[str, ...] = ()  # kept vocab map that each controller follows, "" for none
    tokens: tuple[TokenDetail, ...] = ()  # what control did to every controlled token

    @property
    def is_identical(self) -> bool:
        """Tell whether both rows are the same text in the same number of tokens."""
        return (self.base, self.base_tokens) == (self.controlled, self.controlled_tokens)


def stream_rows(
    model: ControlledModel, prompt: str, strengths: Mapping[str, float], sampling: Sampling
) -> Iterator[SideBySide]:
    """Stream one prompt at strength 0 and at the given strengths, from one batch.

    Args:
        model: the target with the controllers that `strengths` names, in the same order.
        prompt: as a person typed it; each side reads it in its own format.
        strengths: controller name to strength, no unit.
        sampling: of both rows; they draw from the same seed.
    """
    values = tuple(strengths.values())
    rows = [model.row(prompt, each) for each in ((0.0,) * len(values), values)]
    shown = None
    for chunk in model.stream(rows, sampling, top=TOP):
        shown = _side_by_side(chunk, shown, strengths, model.transfers)
        yield shown
    if shown is not None:
        yield replace(shown, is_finished=True)


def _side_by_side(
    chunk: Chunk,
    before: SideBySide | None,
    strengths: Mapping[str, float],
    transfers: tuple[str, ...],
) -> SideBySide:
    """Turn a chunk of the two rows into what the panes show; a row that ended keeps its time."""
    base, controlled = chunk.texts
    base_tokens, controlled_tokens = chunk.token_counts
    base_goes_on = before is None or base_tokens > before.base_tokens
    controlled_goes_on = before is None or controlled_tokens > before.controlled_tokens
    newest = chunk.details[1]
    details = before.tokens if before else ()
    return SideBySide(
        base=base,
        controlled=controlled,
        base_tokens=base_tokens,
        controlled_tokens=controlled_tokens,
        base_seconds=chunk.seconds if base_goes_on else before.base_seconds,
        controlled_seconds=chunk.seconds if controlled_goes_on else before.controlled_seconds,
        strengths=strengths,
        transfers=transfers,
        is_finished=False,
        is_windowed=any(chunk.windowed),
        tokens=details if newest is None else (*details, newest),
    )
