"""Two tokenizations of one text beside each other, cut where both have a boundary."""

import html
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from cmc.vocab import Vocabulary
from cmc.workspace.maps import InspectedMap

EMPTY = "Type a text to see how both sides cut it."


@dataclass(frozen=True)
class Token:
    """One token at its place in a text.

    Attributes:
        token_id: in its vocabulary.
        shown: what a person reads: its bytes with visible white space, or its role.
        end: bytes of the text up to its end.
        told: what to say of it when it is pointed at.
        kind: of its entry in the map; "" for the controller's tokens.
    """

    token_id: int
    shown: str
    end: int
    told: str = ""
    kind: str = ""


@dataclass(frozen=True)
class Span:
    """A stretch of text at whose ends both tokenizations have a boundary."""

    controller: tuple[Token, ...]
    target: tuple[Token, ...]

    @property
    def is_alike(self) -> bool:
        """Whether both sides say it in one token, and that is the same."""
        shown = [token.shown for token in (*self.controller, *self.target)]
        return len(self.controller) == len(self.target) == 1 and shown[0] == shown[1]


def aligned(found: InspectedMap, text: str) -> list[Span]:
    """Tokenize a text both ways, as a response is, and cut it where both have a boundary."""
    data = text.encode("utf-8", "replace")
    mine, theirs = found.controller, found.target
    controller = placed(mine, mine.encode_continuation(data), data, found.pair.controller_names)
    target = [
        _with_entry(each, found)
        for each in placed(theirs, theirs.encode_continuation(data), data, found.pair.target_names)
    ]
    return cut_alike(controller, target)


def placed(
    vocabulary: Vocabulary, ids: Sequence[int], data: bytes, names: Sequence[str]
) -> list[Token]:
    """Return tokens with their places; what spells nothing stands for the bytes that are left out.

    The last token ends where the text does.
    """
    ends: list[int] = []
    done = waiting = 0
    for token_id in ids:
        spelled = vocabulary.token_bytes[token_id]
        found = data.find(spelled, done) if spelled else -1
        if found < 0:  # an unknown token, or one of a text that was rewritten before it was cut
            waiting += 1
            continue
        ends += [found] * waiting
        done, waiting = found + len(spelled), 0
        ends.append(done)
    ends += [len(data)] * waiting
    if ends:
        ends[-1] = len(data)
    return [
        Token(token_id, names[token_id], end, f"id {token_id}")
        for token_id, end in zip(ids, ends, strict=True)
    ]


def cut_alike(controller: Sequence[Token], target: Sequence[Token]) -> list[Span]:
    """Cut two tokenizations of the same text at their common boundaries."""
    ends = sorted({each.end for each in controller} & {each.end for each in target})
    sides = [[*_cut(side, ends)] for side in (controller, target)]
    return [Span(*both) for both in zip(*sides, strict=True)]


def spans_html(spans: Sequence[Span]) -> str:
    """Return spans as columns, those that are cut differently marked; all text is escaped."""
    if not spans:
        return f'<p class="empty">{EMPTY}</p>'
    heads = '<div class="heads"><span>controller</span><span>target</span></div>'
    columns = "".join(
        f'<div class="{"alike" if each.is_alike else "apart"}">'
        f"<span>{''.join(map(_plain, each.controller))}</span>"
        f"<span>{''.join(map(_button, each.target))}</span></div>"
        for each in spans
    )
    named = 'tabindex="0" role="region" aria-label="Both tokenizations"'
    return f'<div class="aligned" {named}>{heads}{columns}</div>'


def told_spans(spans: Sequence[Span]) -> str:
    """Return in how many tokens each side says the text, and how much is cut alike."""
    mine = sum(len(each.controller) for each in spans)
    theirs = sum(len(each.target) for each in spans)
    alike = sum(each.is_alike for each in spans)
    return (
        f"{mine} controller tokens, {theirs} target tokens; {alike} of {len(spans)} spans are cut "
        "alike, the others are marked."
    )


def _with_entry(token: Token, found: InspectedMap) -> Token:
    """Add what the map says of a target token."""
    kind = found.map.kind_of(token.token_id).word
    other = found.mapped_name(token.token_id)
    told = f"{token.told}, {kind}" + (f": {other}" if other else "")
    return Token(token.token_id, token.shown, token.end, told, kind)


def _cut(tokens: Sequence[Token], ends: Sequence[int]) -> Iterator[tuple[Token, ...]]:
    """Yield the tokens up to each end; those of no length go with what stands before them."""
    start = 0
    for end in ends:
        stop = start
        while stop < len(tokens) and tokens[stop].end <= end:
            stop += 1
        yield tuple(tokens[start:stop])
        start = stop


def _plain(token: Token) -> str:
    return f'<b title="{html.escape(token.told)}">{html.escape(token.shown)}</b>'


def _button(token: Token) -> str:
    """Return a target token that can be chosen."""
    told = html.escape(token.told)
    return (
        f'<button type="button" class="kind-{html.escape(token.kind)}" title="{told}" '
        f'data-token="{token.token_id}">{html.escape(token.shown)}</button>'
    )
