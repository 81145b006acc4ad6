"""Show tokens as text: white space made visible, two tokenizations aligned, pages of a map."""

import html
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from cmc.vocab import Kind, VocabMap, Vocabulary
from cmc.vocab.visible import VISIBLE, visible

PAGE_ROWS = 50
COLUMNS = ("id", "target token", "kind", "controller token", "controller id")
KINDS = ("exact", "prefix", "extension", "composed", "role", "none")
NAMES = np.array([kind.name.lower() for kind in sorted(Kind)])


@dataclass(frozen=True)
class Piece:
    """A stretch of text at whose ends both tokenizations have a boundary."""

    controller: tuple[bytes, ...]
    target: tuple[bytes, ...]
    kinds: tuple[str, ...]  # one for every target token


def align(
    controller: Sequence[bytes], target: Sequence[bytes], kinds: Sequence[str]
) -> list[Piece]:
    """Cut two tokenizations of the same bytes at their common boundaries.

    Args:
        controller: the controller's tokens, which join to the text.
        target: the target's tokens, which join to the same text.
        kinds: the kind of every target token.
    """
    ends = [np.cumsum([len(token) for token in tokens]).tolist() for tokens in (controller, target)]
    pieces, starts = [], (0, 0)
    for end in sorted(set(ends[0]) & set(ends[1])):
        stops = tuple(_after(side, end) for side in ends)
        pieces.append(
            Piece(
                tuple(controller[starts[0] : stops[0]]),
                tuple(target[starts[1] : stops[1]]),
                tuple(kinds[starts[1] : stops[1]]),
            )
        )
        starts = stops
    return pieces


def aligned_text(
    text: str, controller: Vocabulary, target: Vocabulary, vocab_map: VocabMap
) -> list[Piece]:
    """Tokenize a text both ways, as a response is, and align the two."""
    data = text.encode()
    theirs = [
        controller.token_bytes[token] or b"" for token in controller.encode_continuation(data)
    ]
    ids = target.encode_continuation(data)
    ours = [target.token_bytes[token] or b"" for token in ids]
    return align(theirs, ours, kind_names(vocab_map)[ids].tolist())


def pieces_html(pieces: Sequence[Piece]) -> str:
    """Return aligned pieces as columns; every token is escaped and stays text."""
    columns = []
    for piece in pieces:
        upper = "".join(f"<b>{html.escape(visible(token))}</b>" for token in piece.controller)
        lower = "".join(
            f'<b class="kind-{html.escape(kind)}" title="{html.escape(kind)}">'
            f"{html.escape(visible(token))}</b>"
            for token, kind in zip(piece.target, piece.kinds, strict=True)
        )
        columns.append(f"<div><span>{upper}</span><span>{lower}</span></div>")
    heads = "<div class='heads'><span>controller</span><span>target</span></div>"
    return f'<div class="aligned" tabindex="0">{heads}{"".join(columns)}</div>'


def kind_names(vocab_map: VocabMap) -> np.ndarray:
    """Return `(target vocab,)` names of the kinds."""
    return NAMES[vocab_map.kinds.astype(int)]


def map_rows(
    vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary, kind: str, wanted: str
) -> np.ndarray:
    """Return the target ids of one kind (`all` for any) whose token holds the wanted text."""
    ids = np.arange(len(vocab_map.ids))
    if kind != "all":
        ids = ids[kind_names(vocab_map) == kind]
    if not wanted:
        return ids
    needle = wanted.translate(VISIBLE).lower()
    names = _names(target), _names(controller)
    return np.array(
        [
            row
            for row in ids
            if needle in names[0][row].lower()
            or (vocab_map.ids[row] >= 0 and needle in names[1][vocab_map.ids[row]].lower())
        ],
        dtype=int,
    )


def map_page(
    vocab_map: VocabMap, controller: Vocabulary, target: Vocabulary, rows: np.ndarray, page: int
) -> pd.DataFrame:
    """Return one page of map entries as text; `page` counts from 1."""
    chosen = rows[(page - 1) * PAGE_ROWS : page * PAGE_ROWS]
    left, right = _names(target), _names(controller)
    mapped = [int(vocab_map.ids[row]) for row in chosen]
    return pd.DataFrame(
        {
            COLUMNS[0]: [str(row) for row in chosen],
            COLUMNS[1]: [left[row] for row in chosen],
            COLUMNS[2]: kind_names(vocab_map)[chosen].tolist(),
            COLUMNS[3]: [right[other] if other >= 0 else "" for other in mapped],
            COLUMNS[4]: [str(other) if other >= 0 else "" for other in mapped],
        }
    )


def page_count(rows: np.ndarray) -> int:
    """Return how many pages the rows fill; at least one."""
    return max(1, -(-len(rows) // PAGE_ROWS))


def _names(vocabulary: Vocabulary) -> list[str]:
    """Return what is shown for every id: its bytes, or the name of its role."""
    named = {token: f"[{role}]" for role, tokens in vocabulary.roles.items() for token in tokens}
    return [
        named.get(token, "[unused]") if data is None else visible(data)
        for token, data in enumerate(vocabulary.token_bytes)
    ]


def _after(ends: Sequence[int], end: int) -> int:
    """Return how many tokens end at or before `end`; empty tokens at the end are included."""
    return sum(1 for value in ends if value <= end)
