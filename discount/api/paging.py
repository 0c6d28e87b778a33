"""Pages of lists: a cursor is good for the list that gave it, and the next page has a link (RFC 8288)."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from hashlib import blake2b
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import msgspec
from msgspec import structs

from discount.domain.errors import Invalid

#: Letters of a cursor that say whose list it belongs to.
_LETTERS = 8
T = TypeVar("T")


class Pages:
    """The pages of one operation: which list they are of, and where a request names the next one."""

    def __init__(self, path: str, body: type | None, query: type | None) -> None:
        self._path = path
        self._names = re.findall(r"{(\w+)}", path)
        self._part = next((part for part, shape in (("query", query), ("body", body)) if _has(shape, "cursor")), "")
        self._parameter = "after" if _has(query, "after") else "cursor"
        self._linked = _has(query, self._parameter)

    def around(self, view: Callable[..., T]) -> Callable[..., T]:
        """A view whose cursors belong to its list alone; it sees them as the list itself made them.

        Raises (the view):
            Invalid: the cursor is of another list.
        """
        if not self._part:
            return view

        def paged(**arguments: Any) -> T:
            given = arguments[self._part]
            seal = self._seal(arguments, getattr(given, "brand_id", None))
            if given.cursor is not None:
                arguments[self._part] = structs.replace(given, cursor=self._open(given.cursor, seal))
            outcome = view(**arguments)
            answered: Any = outcome[0] if isinstance(outcome, tuple) else outcome
            if getattr(answered, "next", None):
                answered.next = seal + answered.next
            return outcome

        return paged

    def _open(self, cursor: str, seal: str) -> str:
        if not cursor.startswith(seal):
            field = "/cursor" if self._part == "body" else "cursor"
            raise Invalid(field, "is not a cursor that this service gave for this list")
        return cursor[_LETTERS:]

    def link(self, answered: Any) -> str | None:
        """The link to the next page, for a header, if there is one."""
        following = getattr(answered, "next", None)
        # Where the last event is known already there is nothing to follow yet.
        from flask import request  # noqa: PLC0415 - see the contract

        if not self._linked or not following or following == request.args.get(self._parameter):
            return None
        given = {name: value for name, value in request.args.items() if name != self._parameter}
        return f'<{quote(request.path)}?{urlencode(given | {self._parameter: following})}>; rel="next"'

    def _seal(self, arguments: dict[str, Any], brand_id: str | None) -> str:
        named = msgspec.json.encode([self._path, [arguments[name] for name in self._names], brand_id])
        return urlsafe_b64encode(blake2b(named, digest_size=_LETTERS * 3 // 4).digest()).decode()


def _has(shape: type | None, name: str) -> bool:
    return shape is not None and name in shape.__struct_fields__  # type: ignore[attr-defined]
