"""Lists of the dialects: complete, as in the originals, or one page if the query has `limit` or `cursor`."""

from collections.abc import Callable, Iterable
from functools import partial
from itertools import chain
from typing import Any

from discount.api.contract import ViewResult
from discount.api.schemas.common import Cursor, Limit, Shape
from discount.api.streaming import json_response
from discount.services.pagination import read_pages

#: Rows that a whole list reads at a time.
BATCH = 500
_DEFAULT_SIZE = 100
_BRACKETS = (b"[", b"]")


class PageQuery(Shape):
    """The query of a list: which page of it, if not the whole list."""

    limit: Limit | None = None
    cursor: Cursor | None = None

    @property
    def whole(self) -> bool:
        """Return True if the whole list is requested."""
        return self.limit is None and self.cursor is None

    @property
    def page_size(self) -> int:
        """The most rows that the page may have."""
        return _DEFAULT_SIZE if self.limit is None else self.limit


def list_response(
    query: PageQuery,
    list_page: Callable[..., Any],
    rows_in: Callable[[Any], Iterable[Any]],
    around: tuple[bytes, bytes] = _BRACKETS,
) -> ViewResult:
    """Return the whole list, or the page that the query names.

    Args:
        list_page: returns a page of a service, given `limit` and `cursor`.
        rows_in: returns the rows of the answer for such a page.
        around: the JSON before and after the rows.
    """
    if query.whole:
        pages = read_pages(partial(list_page, limit=BATCH))
        return json_response(chain.from_iterable(map(rows_in, pages)), *around)
    page = list_page(limit=query.page_size, cursor=query.cursor)
    return page_response(rows_in(page), page.next, around)


def page_response(rows: Iterable[Any], next_cursor: str | None, around: tuple[bytes, bytes] = _BRACKETS) -> ViewResult:
    """Return one page in the same JSON as the whole list; its `Link` header leads to the next page, if any."""
    response = json_response(rows, *around)
    response.next = next_cursor
    return response
