"""The contract: an operation is declared once, and its declaration validates, answers and is documented."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import msgspec
from flask import Flask, Response, request

from discount.api.inputs import SMALL_BODY, body_reader, open_upload, read_part, read_query

Outcome = tuple[Any, int] | Response

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address."""

    method: str
    path: str
    tag: str
    name: str
    summary: str
    body: type | None
    query: type | None
    path_types: dict[str, Any]
    answers: dict[int, type | None]
    refusals: tuple[str, ...]
    headers: dict[str, str] = field(default_factory=dict)
    also: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    bare: bool = False


class Contract:
    """Declares operations on an app and remembers them for the OpenAPI document."""

    def __init__(self, app: Flask) -> None:
        self.app = app
        self.operations: list[Operation] = []

    def declare(
        self,
        method: str,
        path: str,
        *,
        tag: str,
        answers: dict[int, type | None],
        refusals: tuple[str, ...] = (),
        body: type | None = None,
        max_body: int = SMALL_BODY,
        bare: bool = False,
        query: type | None = None,
        path_types: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        also: tuple[str, ...] = (),
        takes: tuple[str, ...] = (),
    ) -> Callable[[Callable[..., Outcome]], Callable[..., Response]]:
        """A decorator for a view. It is given what the path names, then `body` and `query` where declared.

        Args:
            answers: what it answers by status; None where the answer is not JSON.
            refusals: the words it may refuse with, besides those that every operation may.
            path_types: annotated types of path variables that come from outside.
            headers: request headers it reads, with their description.
            also: media types it may answer with besides JSON.
            bare: the body may be left out, where none of its fields is needed.
            takes: media types of a body that the view reads itself, bit by bit; it is given as `upload`.
        """

        def decorate(view: Callable[..., Outcome]) -> Callable[..., Response]:
            operation = Operation(
                method=method,
                path=re.sub(r"<(\w+)>", r"{\1}", path),
                tag=tag,
                name=view.__name__,
                summary=(view.__doc__ or "").strip().splitlines()[0],
                body=body,
                query=query,
                path_types=path_types or {},
                answers=answers,
                refusals=refusals,
                headers=headers or {},
                also=also,
                takes=takes,
                bare=bare,
            )
            self.operations.append(operation)
            read_body = body_reader(body, max_body, bare=bare) if body else None

            @wraps(view)
            def answer(**arguments: Any) -> Response:
                environ = request.environ
                environ["discount.route"] = operation.path
                for name, kind in operation.path_types.items():
                    arguments[name] = read_part(arguments[name], kind, name)
                if read_body is not None:
                    arguments["body"] = read_body(environ)
                asked = read_query(query)
                if asked is not None:
                    arguments["query"] = asked
                if takes:
                    with open_upload(environ, takes, max_body) as upload:
                        outcome = view(upload=upload, **arguments)
                else:
                    outcome = view(**arguments)
                if isinstance(outcome, Response):
                    return outcome
                return Response(_encode(outcome[0]), outcome[1], content_type="application/json")

            self.app.add_url_rule(path, view.__name__, answer, methods=[method], provide_automatic_options=False)
            return answer

        return decorate
