"""Tables of tokens, one page at a time: heads that sort, rows that can be chosen, a pager."""

import html
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

PAGE_ROWS = 50
NUMBERS = ("bytes", "distance", "fan-in")  # columns that stand to the right
# What was clicked, or chosen with the keyboard, tells itself by its data attributes.
ON_CLICK = """element.addEventListener('click', event => {
  const chosen = event.target.closest('[data-sort],[data-token],[data-page]');
  if (!chosen) return;
  if (chosen.dataset.token) {
    element.querySelectorAll('.chosen').forEach(each => each.classList.remove('chosen'));
    chosen.classList.add('chosen');
  }
  trigger('click', {...chosen.dataset});
});"""


@dataclass(frozen=True)
class Page:
    """Some of many rows.

    Attributes:
        ids: of the rows on it.
        number: of the page, from 1.
        pages: how many there are; at least one.
        total: rows on all pages.
    """

    ids: tuple[int, ...]
    number: int
    pages: int
    total: int


def page_of(ids: np.ndarray, wanted: Any) -> Page:
    """Return the wanted page, or the nearest there is; `wanted` may be what a person typed."""
    pages = max(1, -(-len(ids) // PAGE_ROWS))
    number = min(max(1, whole(wanted, 1)), pages)
    rows = ids[(number - 1) * PAGE_ROWS : number * PAGE_ROWS]
    return Page(tuple(rows.tolist()), number, pages, len(ids))


def whole(value: Any, otherwise: int) -> int:
    """Return a value of the page as a whole number, and `otherwise` where it is none."""
    try:
        return int(value)
    except (TypeError, ValueError, OverflowError):
        return otherwise


def table_html(heads: str, rows: Iterable[str], page: Page, name: str) -> str:
    """Return a table with its pager; heads and rows are HTML already, and escaped."""
    body = "".join(rows) or '<tr><td colspan="9" class="empty">Nothing is like that.</td></tr>'
    return (
        f'<div class="rows" tabindex="0" role="region" aria-label="{html.escape(name)}">'
        f'<table aria-label="{html.escape(name)}"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{body}</tbody></table></div>{_pager(page)}"
    )


def sorting_heads(columns: Mapping[str, str], sort: str, descending: bool) -> str:
    """Return heads that sort, the present one marked.

    Args:
        columns: what a column is sorted by to how its head is called.
        sort: the column that the rows are sorted by.
        descending: whether the highest comes first.
    """
    heads = []
    for column, name in columns.items():
        is_sorted = column == sort
        way = ("descending" if descending else "ascending") if is_sorted else "none"
        sign = ("▾" if descending else "▴") if is_sorted else ""
        side = ' class="number"' if column in NUMBERS else ""
        heads.append(
            f'<th{side} aria-sort="{way}"><button type="button" data-sort="{html.escape(column)}">'
            f"{html.escape(name)}<i>{sign}</i></button></th>"
        )
    return "".join(heads)


def plain_heads(names: Sequence[str]) -> str:
    """Return heads that do nothing."""
    return "".join(f"<th>{html.escape(each)}</th>" for each in names)


def row_html(token_id: int, cells: Sequence[str], chosen: int | None = None) -> str:
    """Return a row that can be clicked, its id as a button for the keyboard; cells are HTML."""
    mark = ' class="chosen"' if token_id == chosen else ""
    button = f'<td><button type="button" class="id">{token_id}</button></td>'
    return f'<tr{mark} data-token="{token_id}">{button}{"".join(cells)}</tr>'


def token_cell(name: str, beside: str = "") -> str:
    """Return a token, and what stands small beside it."""
    small = f"<small>{html.escape(beside)}</small>" if beside else ""
    shown = html.escape(name)
    return f'<td class="token"><code title="{shown}">{shown}</code>{small}</td>'


def kind_cell(kind: str) -> str:
    """Return a kind with its colour."""
    return f'<td><span class="chip kind-{html.escape(kind)}">{html.escape(kind)}</span></td>'


def number_cell(number: int, least: int = 0) -> str:
    """Return a number, or nothing where it is below what means something."""
    return f'<td class="number">{f"{number:,}" if number >= least else ""}</td>'


def _pager(page: Page) -> str:
    """Return how many rows there are and the way to other pages."""
    entries = f"{page.total:,} {'entry' if page.total == 1 else 'entries'}"
    ways = (
        ("first page", "«", 1, page.number > 1),
        ("page before", "‹", page.number - 1, page.number > 1),
        ("next page", "›", page.number + 1, page.number < page.pages),
        ("last page", "»", page.pages, page.number < page.pages),
    )
    first, before, after, last = (
        f'<button type="button" data-page="{to}" aria-label="{name}"'
        f"{'' if is_there else ' disabled'}>{sign}</button>"
        for name, sign, to, is_there in ways
    )
    here = f"page {page.number:,} of {page.pages:,}"
    return (
        f'<div class="pager"><span>{entries}</span>'
        f"<nav>{first}{before}<span>{here}</span>{after}{last}</nav></div>"
    )
