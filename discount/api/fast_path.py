"""The way of the few calls that are made most: past the framework's routing and contexts, to the same view."""

from collections.abc import Callable
from http import HTTPStatus
from typing import Any

from discount.api import problems

#: Gives a call's answer for a WSGI environment and what the path names.
Call = Callable[[dict[str, Any], dict[str, str]], tuple[bytes, int]]
Answer = tuple[str, list[tuple[str, str]], bytes]

_STATUS_LINES = {status.value: f"{status.value} {status.phrase}" for status in HTTPStatus}
_JSON = ("Content-Type", "application/json")


class FastPath:
    """Calls by method and address. An address has at most one part that varies."""

    def __init__(self) -> None:
        self._exact: dict[tuple[str, str], Call] = {}
        self._around: list[tuple[str, str, str, str, Call]] = []

    def add(self, method: str, path: str, call: Call) -> None:
        """Let a path as the framework writes it, `/discount/<discount_id>/grant`, be answered by that call."""
        before, variable, rest = path.partition("<")
        if not variable:
            self._exact[method, path] = call
            return
        name, _, after = rest.partition(">")
        self._around.append((method, before, after, name, call))

    def answer(self, environ: dict[str, Any]) -> Answer | None:
        """Status line, headers and body of a hot call; None leaves it to the framework, as everything unusual is."""
        if environ.get("QUERY_STRING") or environ.get("SCRIPT_NAME"):
            return None
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "")
        call = self._exact.get((method, path))
        if call is not None:
            return _answer(call, environ, {})
        for of, before, after, name, varying in self._around:
            if of == method and path.startswith(before) and path.endswith(after):
                value = path[len(before) : len(path) - len(after)]
                if value and "/" not in value and value.isascii():
                    return _answer(varying, environ, {name: value})
        return None


def _answer(call: Call, environ: dict[str, Any], named: dict[str, str]) -> Answer:
    try:
        body, status = call(environ, named)
        headers = [_JSON]
    except Exception as error:
        body, status, headers = problems.render(error, environ)
    return _STATUS_LINES[status], [*headers, ("Content-Length", str(len(body)))], body
