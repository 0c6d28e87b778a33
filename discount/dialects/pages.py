"""Lists of the dialects: complete, as in the originals, or one page if the query has `limit` or `cursor`."""

from collections.abc import Iterable
from typing import Any

from discount.api.contract import ViewResult
from discount.api.schemas.common import Cursor, Limit, Shape
from discount.api.streaming import json_response

_DEFAULT_SIZE = 100


class PageQuery(Shape):
    """The query of a list: which page of it, if not the whole list."""

    limit: Limit | None = None
    cursor: Cursor | None = None

    @property
    def whole(self) -> bool:
        """Whether the whole list is requested."""
        return self.limit is None and self.cursor is None

    @property
    def page_size(self) -> int:
        """The most rows that the page may have."""
        return _DEFAULT_SIZE if self.limit is None else self.limit


def page_response(
    rows: Iterable[Any], next_cursor: str | None, around: tuple[bytes, bytes] = (b"[", b"]")
) -> ViewResult:
    """Return one page in the same JSON as the whole list; its `Link` header leads to the next page, if any."""
    response = json_response(rows, *around)
    response.next = next_cursor
    return response
