"""The contract: an operation is declared once, and its declaration validates, answers and is documented."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias

import msgspec

from discount.api import costs
from discount.api.fast_path import FastPath
from discount.api.gate import Gate, Needs, TokenHeader
from discount.api.inputs import (
    SMALL_BODY,
    body_reader,
    form_reader,
    idempotency_key,
    open_upload,
    read_part,
    read_query,
)
from discount.api.long_calls import LongCalls, Places
from discount.api.paging import Pages
from discount.api.problems import NotRead
from discount.api.streaming import Stream
from discount.domain.errors import Refusal
from discount.domain.model import Caller, Scope

if TYPE_CHECKING:
    from flask import Flask, Response

    from discount.api.error_formats import ErrorFormat

#: An answer and its status, where None has no body; or a stream; or a page.
ViewResult: TypeAlias = "tuple[Any, int] | Stream | Response"
#: The shape of an answer; several, where it depends on who asks; None, where it is not JSON.
Answer = type | tuple[type, ...] | None

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
    answers: dict[int, Answer]
    refusals: tuple[str, ...]
    scopes: tuple[Scope, ...]
    users: bool
    idempotent: bool = False
    also: tuple[str, ...] = ()
    takes: tuple[str, ...] = ()
    bare: bool = False
    form: bool = False
    voice: "ErrorFormat | None" = None
    header: TokenHeader | None = None
    every_scope: bool = False
    hot: bool = False

    @property
    def cost(self) -> costs.Cost:
        """The most that a call costs."""
        return costs.of(self.name)


class Contract:
    """Declares operations on an app, each behind the gate, and remembers them for the OpenAPI document.

    Long calls have places of their own, and so have callers who wait.
    """

    def __init__(self, app: "Flask", gate: Gate, make_places: Callable[[], Places]) -> None:
        self.app = app
        self.gate = gate
        self.waits = make_places()
        self._long_calls = LongCalls(make_places())
        self.operations: list[Operation] = []
        self.hot = FastPath()

    def declare(
        self,
        method: str,
        path: str,
        *,
        tag: str,
        answers: dict[int, Answer],
        scopes: tuple[Scope, ...] = (),
        users: bool = False,
        refusals: tuple[str, ...] = (),
        body: type | None = None,
        max_body: int = SMALL_BODY,
        bare: bool = False,
        query: type | None = None,
        path_types: dict[str, Any] | None = None,
        idempotent: bool = False,
        address: bool = False,
        caller: bool = False,
        hot: bool = False,
        also: tuple[str, ...] = (),
        takes: tuple[str, ...] = (),
        form: bool = False,
        voice: "ErrorFormat | None" = None,
        header: TokenHeader | None = None,
        every_scope: bool = False,
    ) -> "Callable[[Callable[..., ViewResult]], Callable[..., Response]]":
        """A decorator for a view. It is given what the path names, then `body` and `query` where declared.

        Args:
            answers: what it answers by status.
            scopes: of which a token needs one; without any, the operation is everybody's.
            users: a user's token may do it, for that user.
            refusals: the words it may refuse with, besides those that every operation may.
            path_types: annotated types of path variables that come from outside.
            idempotent: it takes an Idempotency-Key, given as `idempotency_key`.
            address: it is given the address whose wrong codes are counted, as `address`.
            caller: it is given who asks, as `caller`.
            hot: it is asked so often that it goes past the framework; it has no query, answers JSON, and is given a
                `guard` for its script.
            also: media types it may answer with besides JSON.
            bare: the body may be left out, where none of its fields is needed.
            takes: media types of a body that the view reads itself, bit by bit; it is given as `upload`.
            form: the body may also be the fields of a form.
            voice: tells refusals in a dialect's way; without one they are problems.
            header: where a dialect's token comes, besides `Authorization`.
            every_scope: a token needs all of the scopes.
        """
        # Whoever serves needs the framework; the command line asks the same views, and starts sooner without it.
        from flask import request  # noqa: PLC0415

        def decorate(view: Callable[..., ViewResult]) -> "Callable[..., Response]":
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
                scopes=scopes,
                users=users,
                idempotent=idempotent,
                also=also,
                takes=takes,
                bare=bare,
                form=form,
                voice=voice,
                header=header,
                every_scope=every_scope,
                hot=hot,
            )
            self.operations.append(operation)
            needs = Needs(
                method,
                operation.path,
                scopes,
                users=users,
                hot=hot,
                body=body,
                query=query,
                header=header,
                every=every_scope,
            )
            pages = Pages(operation.path, body, query)
            paged = pages.around(view)
            read_body: Callable[[dict[str, Any]], Any] | None = None
            if body:
                read_body = form_reader(body, max_body) if form else body_reader(body, max_body, bare=bare)

            def perform(environ: dict[str, Any], arguments: dict[str, Any]) -> ViewResult:
                asking = self.gate.admit(environ, needs)
                if not hot:
                    return carry_out(environ, arguments, asking)
                guard = arguments["guard"] = self.gate.guard(asking, environ)
                try:
                    return carry_out(environ, arguments, asking)
                except (Refusal, NotRead) as refused:
                    self.gate.count_refused(environ, asking, guard, refused)
                    raise
                finally:
                    if guard is not None and guard.rate is not None:
                        environ["discount.rate"] = guard.rate

            def carry_out(environ: dict[str, Any], arguments: dict[str, Any], asking: Caller) -> ViewResult:
                _read_given(operation, environ, arguments)
                if operation.cost.long(arguments.get("query")):
                    return self._long_calls.answer(asking, environ, arguments, act)
                return act(asking, environ, arguments)

            def act(asking: Caller, environ: dict[str, Any], arguments: dict[str, Any]) -> ViewResult:
                if read_body is not None:
                    arguments["body"] = read_body(environ)
                self.gate.bind(asking, needs, arguments)
                if address:
                    arguments["address"] = self.gate.counted_address(asking, environ)
                if caller:
                    arguments["caller"] = asking
                if takes:
                    with open_upload(environ, takes, max_body) as upload:
                        return view(upload=upload, **arguments)
                return paged(**arguments)

            def perform_in_voice(environ: dict[str, Any], arguments: dict[str, Any]) -> ViewResult:
                try:
                    return perform(environ, arguments)
                except (Refusal, NotRead) as refused:
                    if voice is None:
                        raise
                    return voice.answer(refused, environ)

            def perform_hot(environ: dict[str, Any], arguments: dict[str, Any]) -> tuple[bytes, int]:
                environ["discount.route"] = operation.path
                answered, status = perform(environ, arguments)  # type: ignore[misc]
                return _encode(answered), status

            @wraps(view)
            def answer(**arguments: Any) -> "Response":
                request.environ["discount.route"] = operation.path
                return _respond(perform_in_voice(request.environ, arguments), pages)

            if hot:
                self.hot.add(method, path, perform_hot)
            self.app.add_url_rule(
                path,
                view.__name__,
                answer,
                methods=[method],
                provide_automatic_options=False,
                strict_slashes=not path.endswith("/"),
            )
            return answer

        return decorate


def _respond(outcome: ViewResult, pages: Pages) -> "Response":
    from flask import Response  # noqa: PLC0415 - see `declare`

    if isinstance(outcome, Response):
        return outcome
    if isinstance(outcome, Stream):
        headers = outcome.headers | _link(pages, outcome)
        response = Response(outcome.pieces, 200, headers, content_type=outcome.media_type)
        if outcome.end is not None:
            response.call_on_close(outcome.end)
        return response
    answered, status = outcome
    if answered is None:
        return Response(status=status)
    headers = _link(pages, answered)
    return Response(_encode(answered), status, headers, content_type="application/json")


def _link(pages: Pages, answered: Any) -> dict[str, str]:
    link = pages.link(answered)
    return {"Link": link} if link else {}


def _read_given(operation: Operation, environ: dict[str, Any], arguments: dict[str, Any]) -> None:
    """Read what is given besides the body, in the order in which it is refused."""
    # Without a query a call may have come past the framework, which is what parses one.
    if operation.query is not None or environ.get("QUERY_STRING"):
        asked = read_query(operation.query)
        if asked is not None:
            arguments["query"] = asked
    for name, kind in operation.path_types.items():
        arguments[name] = read_part(arguments[name], kind, name)
    if operation.idempotent:
        arguments["idempotency_key"] = idempotency_key(environ)
