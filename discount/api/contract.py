"""The contract: each operation is declared once. The declaration validates requests and documents the operation."""

import inspect
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeAlias, TypeVar, get_type_hints

import msgspec

from discount.api import costs, problems
from discount.api.error_formats import ErrorFormat
from discount.api.exchange import ANYBODY, Reply, Request
from discount.api.gate import Gate, Requirements, TokenHeader
from discount.api.inputs import (
    FORMS,
    JSON,
    SMALL_BODY,
    body_reader,
    form_reader,
    idempotency_key,
    open_upload,
    read_fields,
    read_part,
    read_query,
    refuse_query,
)
from discount.api.long_calls import LongCalls
from discount.api.paging import Pages
from discount.api.streaming import Stream
from discount.api.texts import ENGLISH, language_of
from discount.domain.errors import Refusal, TooManyRequests
from discount.domain.model import Author, Scope

#: A body, None for none, and its status; or a stream.
ViewResult: TypeAlias = tuple[Any, int] | Stream
View = TypeVar("View", bound=Callable[..., ViewResult])
#: The shape of an answer; several if it depends on the caller; None if it is not JSON.
Answer = type | tuple[type, ...] | None

_encode = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One method of one address.

    Args:
        parameters: the view's parameters with their types.
        answers: shapes of the answers by status.
        refusals: slugs of refusals, besides those that every operation may answer with.
        scopes: a token needs one of them; an operation without scopes is public.
        every_scope: a token needs all of the scopes.
        users: a user's token may call it, for that user.
        header: a dialect's header with a token, besides `Authorization`.
        max_body: bytes of the largest body.
        body_optional: the body may be left out; then each field has its default.
        consumes: media types of the body.
        produces: media types of answers besides JSON.
        error_format: renders refusals for a dialect; without one they are problems.
        fast_path: it skips the framework. It must have no query, and a short answer.
    """

    method: str
    path: str
    tag: str
    name: str
    summary: str
    view: Callable[..., ViewResult]
    parameters: dict[str, Any]
    answers: dict[int, Answer]
    refusals: tuple[str, ...]
    scopes: tuple[Scope, ...]
    every_scope: bool
    users: bool
    header: TokenHeader | None
    max_body: int
    body_optional: bool
    consumes: tuple[str, ...]
    produces: tuple[str, ...]
    error_format: ErrorFormat | None
    fast_path: bool

    @property
    def body(self) -> type | None:
        """The shape of the body."""
        return self.parameters.get("body")

    @property
    def query(self) -> type | None:
        """The shape of the query parameters."""
        return self.parameters.get("query")

    @property
    def path_types(self) -> dict[str, Any]:
        """Types of those parts of the path that are more than text."""
        names = re.findall(r"{(\w+)}", self.path)
        return {name: self.parameters[name] for name in names if self.parameters[name] is not str}

    @property
    def cost(self) -> costs.Cost:
        """The most that one call costs."""
        return costs.of(self.name)


class Contract:
    """The declared operations, in the order of their declaration."""

    def __init__(self) -> None:
        self.operations: list[Operation] = []

    def declare(
        self,
        method: str,
        path: str,
        *,
        tag: str,
        answers: dict[int, Answer],
        refusals: tuple[str, ...] = (),
        scopes: tuple[Scope, ...] = (),
        every_scope: bool = False,
        users: bool = False,
        header: TokenHeader | None = None,
        max_body: int = SMALL_BODY,
        body_optional: bool = False,
        consumes: tuple[str, ...] = (JSON,),
        produces: tuple[str, ...] = (),
        error_format: ErrorFormat | None = None,
        fast_path: bool = False,
    ) -> Callable[[View], View]:
        """Return a decorator that declares a view as an operation. `Operation` explains the options.

        The view's signature says what it takes: the variable parts of the path by their names, and any of

        - `body` and `query`: the shapes given by their annotations.
        - `upload`: an `Upload`, for a view that reads the body itself.
        - `idempotency_key`: the Idempotency-Key, or None.
        - `caller`: who calls.
        - `author`: who calls, as events say it.
        - `address`: the address whose wrong codes are counted; empty if none are.
        - `language`: the language of texts that it asks for.
        - `guard`: checks the caller's key and rates inside the view's script; the gate then leaves them to it.
        """

        def decorate(view: View) -> View:
            parameters = get_type_hints(view, include_extras=True)
            parameters.pop("return", None)
            operation = Operation(
                method=method,
                path=path,
                tag=tag,
                name=view.__name__,
                summary=(inspect.getdoc(view) or "").partition("\n")[0],
                view=view,
                parameters=parameters,
                answers=answers,
                refusals=refusals,
                scopes=scopes,
                every_scope=every_scope,
                users=users,
                header=header,
                max_body=max_body,
                body_optional=body_optional,
                consumes=consumes,
                produces=produces,
                error_format=error_format,
                fast_path=fast_path,
            )
            self.operations.append(operation)
            return view

        return decorate


# Arguments of views that come from the gate.
_FROM_GATE: dict[str, Callable[[Gate, Request], Any]] = {
    "author": lambda gate, request: gate.author(request),
    "address": lambda gate, request: gate.counted_address(request),
    "language": lambda _gate, request: language_of(request.environ),
}


class Endpoint:
    """An operation that answers requests, behind the gate. Everything that never changes is prepared once, here."""

    def __init__(self, operation: Operation, gate: Gate, long_calls: LongCalls) -> None:
        self.operation = operation
        self._gate = gate
        self._long_calls = long_calls
        self._requirements = Requirements(
            operation.method,
            operation.path,
            operation.scopes,
            every_scope=operation.every_scope,
            users=operation.users,
            guarded="guard" in operation.parameters,
            header=operation.header,
            body=operation.body,
            query=operation.query,
        )
        self._pages = Pages(operation.path, operation.body, operation.query)
        self._view = self._pages.around(operation.view)
        self._query = operation.query
        self._path_types = operation.path_types
        self._read_body = _reader_of(operation)
        self._takes_key = "idempotency_key" in operation.parameters
        self._takes_upload = "upload" in operation.parameters
        self._from_request = [name for name in ("caller", "guard") if name in operation.parameters]
        self._from_gate = [(name, value) for name, value in _FROM_GATE.items() if name in operation.parameters]
        self._is_long = operation.cost.long
        self._may_be_long = bool(operation.cost.is_long)

    def answer(self, request: Request) -> Reply:
        """Answer a request. A refusal or a failure is an answer, too."""
        request.environ["discount.route"] = self.operation.path
        try:
            self.admit(request)
            self.read(request)
            reply = self.respond(request, self.call(request))
        except Exception as error:
            reply = self.refuse(request, error)
        guard = request.guard
        reply.rate = request.rate if guard is None or guard.rate is None else guard.rate
        return reply

    def admit(self, request: Request) -> None:
        """Identify the caller and check its token, its scopes and its rate.

        Raises:
            Unauthenticated, Forbidden, CrossSite, TooManyRequests, Unavailable
        """
        self._gate.admit(request, self._requirements)

    def read(self, request: Request) -> None:
        """Read the query, the path and the Idempotency-Key into the request's arguments.

        Raises:
            Invalid
        """
        arguments = request.arguments
        if self._query is not None:
            arguments["query"] = read_query(self._query, request.query)
        elif request.environ.get("QUERY_STRING"):
            refuse_query(request.query)
        for name, kind in self._path_types.items():
            arguments[name] = read_part(arguments[name], kind, name)
        if self._takes_key:
            arguments["idempotency_key"] = idempotency_key(request.environ)

    def call(self, request: Request) -> ViewResult:
        """Read the body and call the view; a long call needs a free place first.

        Raises:
            Refusal
        """
        if self._may_be_long and self._is_long(request.arguments.get("query")):
            client = request.environ.get("gunicorn.socket")
            return self._long_calls.run(request.caller, client, partial(self._call_view, request), request.meter)
        return self._call_view(request)

    def ask(self, request: Request, author: Author, query: Mapping[str, Any], body: Mapping[str, Any]) -> ViewResult:
        """Call the view for a caller who is identified already, with fields that are text, as a form sends them.

        The caller's scopes and brand are checked as for any other request; its rate and its key are not. Arguments of
        the request that a page makes itself, such as an upload, are passed on.

        Raises:
            Refusal
        """
        arguments = request.arguments
        refusal = None if request.caller is ANYBODY else self._requirements.refusal_of(request.caller)
        if refusal is not None:
            raise refusal
        for name, kind in self._path_types.items():
            arguments[name] = read_part(arguments[name], kind, name)
        for name, shape, given in (("query", self._query, query), ("body", self.operation.body, body)):
            if shape is not None:
                arguments[name] = read_fields(given, shape)
        self._gate.bind(request.caller, self._requirements, arguments)
        from_page = {"caller": request.caller, "author": author, "guard": None, "address": "", "idempotency_key": None}
        from_page["language"] = ENGLISH
        parameters = self.operation.parameters
        arguments = {name: value for name, value in from_page.items() if name in parameters} | arguments
        if self._may_be_long and self._is_long(arguments.get("query")):
            client = request.environ.get("gunicorn.socket")
            return self._long_calls.run(request.caller, client, partial(self._view, **arguments), request.meter)
        return self._view(**arguments)

    def respond(self, request: Request, result: ViewResult) -> Reply:
        """Render the view's result."""
        if isinstance(result, Stream):
            headers = {"Content-Type": result.media_type} | result.headers | self._link(request, result)
            return Reply(b"", 200, list(headers.items()), pieces=result.pieces, end=result.end)
        answer, status = result
        if answer is None:
            return Reply(b"", status)
        reply = Reply(_encode(answer), status, [("Content-Type", JSON)])
        if self._pages.are_linked:
            reply.headers += self._link(request, answer).items()
        return reply

    def refuse(self, request: Request, error: Exception) -> Reply:
        """Render a refusal, or a failure, in the operation's error format."""
        if isinstance(error, Refusal):
            try:
                self._gate.count_refused(request, error)
            except TooManyRequests as too_many:
                error = too_many
            if self.operation.error_format is not None:
                return self.operation.error_format.render(error, request.environ)
        return problems.render(error, request.environ)

    def _call_view(self, request: Request) -> ViewResult:
        arguments = request.arguments
        if self._read_body is not None:
            arguments["body"] = self._read_body(request.environ)
        self._gate.bind(request.caller, self._requirements, arguments)
        for each in self._from_request:
            arguments[each] = getattr(request, each)
        for name, value in self._from_gate:
            arguments[name] = value(self._gate, request)
        if self._takes_upload:
            with open_upload(request.environ, self.operation.consumes, self.operation.max_body) as upload:
                return self._view(upload=upload, **arguments)
        return self._view(**arguments)

    def _link(self, request: Request, answer: Any) -> dict[str, str]:
        link = self._pages.link(request, answer)
        return {"Link": link} if link else {}


def _reader_of(operation: Operation) -> Callable[[dict[str, Any]], Any] | None:
    """Return the function that reads the body, if the operation has one."""
    if operation.body is None:
        return None
    if set(FORMS) <= set(operation.consumes):
        return form_reader(operation.body, operation.max_body)
    return body_reader(operation.body, operation.max_body, optional=operation.body_optional)
