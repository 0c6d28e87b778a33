"""The contract: an operation is declared once, and that declaration validates, answers and documents it."""

import json
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import wraps
from typing import Any

import msgspec
from flask import Flask, Response, request

from discount import errors
from discount.api import problems, schemas
from discount.api.problems import NotRead

#: The largest body that an ordinary operation takes, in bytes.
SMALL_BODY = 64 * 1024
#: How much of a body that is too large is read to let the client see the answer; past that it is cut off.
DISCARDED = 128 * 1024 * 1024
Outcome = tuple[Any, int] | Response

_TYPES = {
    "int": "an integer",
    "float": "a number with a fraction",
    "str": "a string",
    "object": "an object",
    "array": "a list",
    "bool": "true or false",
    "datetime": "a time",
}
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
        query: type | None = None,
        path_types: dict[str, Any] | None = None,
        headers: dict[str, str] | None = None,
        also: tuple[str, ...] = (),
    ) -> Callable[[Callable[..., Outcome]], Callable[..., Response]]:
        """A decorator for a view. It is given what the path names, then `body` and `query` where declared.

        Args:
            answers: what it answers by status; None where the answer is not JSON.
            refusals: the words it may refuse with, besides those that every operation may.
            path_types: annotated types of path variables that come from outside.
            headers: request headers it reads, with their description.
            also: media types it may answer with besides JSON.
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
            )
            self.operations.append(operation)
            decode = _body_decoder(body, max_body) if body else None

            @wraps(view)
            def answer(**arguments: Any) -> Response:
                environ = request.environ
                environ["discount.route"] = operation.path
                for name, kind in operation.path_types.items():
                    arguments[name] = _convert(arguments[name], kind, name)
                if decode is not None:
                    arguments["body"] = decode(environ)
                if query is not None:
                    arguments["query"] = _read_query(query)
                elif environ.get("QUERY_STRING"):
                    raise errors.Invalid(next(iter(request.args), "query"), "is not a parameter of this address")
                outcome = view(**arguments)
                if isinstance(outcome, Response):
                    return outcome
                return Response(_encode(outcome[0]), outcome[1], content_type="application/json")

            self.app.add_url_rule(
                path, view.__name__, answer, methods=[method], provide_automatic_options=False
            )
            return answer

        return decorate

    def document(self, version: str) -> dict[str, Any]:
        """The OpenAPI 3.1 document of everything declared so far."""
        types: list[Any] = [schemas.Problem]
        for operation in self.operations:
            types += [kind for kind in (operation.body, *operation.answers.values()) if kind is not None]
        _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
        paths: dict[str, dict[str, Any]] = {}
        for operation in self.operations:
            paths.setdefault(operation.path, {})[operation.method.lower()] = _document_operation(operation)
        return {
            "openapi": "3.1.0",
            "info": {
                "title": "Discount codes",
                "version": version,
                "description": "Brands create discounts; users get a code out of one, once.",
            },
            "paths": paths,
            "components": {"schemas": components},
        }


def _body_decoder(kind: type, max_body: int) -> Callable[[dict[str, Any]], Any]:
    decode = msgspec.json.Decoder(kind).decode
    names = [b'"%s"' % name.encode() for name in kind.__struct_fields__]  # type: ignore[attr-defined]

    def read(environ: dict[str, Any]) -> Any:
        media_type = environ.get("CONTENT_TYPE", "")
        if media_type != "application/json" and media_type.partition(";")[0].strip().lower() != "application/json":
            raise NotRead("unsupported-media-type", f"Content-Type is {media_type or 'missing'}.")
        raw = _read_body(environ, max_body)
        try:
            decoded = decode(raw)
        except msgspec.ValidationError as error:
            raise _invalid(_with_index(str(error), raw, kind)) from None
        except UnicodeDecodeError:
            raise errors.Malformed("The body is not UTF-8.") from None
        except (ValueError, RecursionError) as error:
            raise errors.Malformed(f"{error}.") from None
        # The decoder lets the last of two equal names win. An escape could hide one, so it is looked at as well.
        if b"\\" in raw or any(raw.count(name) > 1 for name in names):
            _refuse_repeated_names(raw)
        return decoded

    return read


def _read_body(environ: dict[str, Any], max_body: int) -> bytes:
    stream = environ["wsgi.input"]
    length = environ.get("CONTENT_LENGTH")
    if length:
        if not (length.isascii() and length.isdecimal()):
            raise NotRead("bad-request", "Content-Length is not a number.")
        if int(length) <= max_body:
            raw: bytes = stream.read(int(length))
            return raw
        _discard(stream, int(length))
    elif environ.get("wsgi.input_terminated"):
        raw = stream.read(max_body + 1)
        if len(raw) <= max_body:
            return raw
        _discard(stream, DISCARDED)
    else:
        return b""
    raise NotRead("too-large", f"It may have {max_body} bytes.")


def _discard(stream: Any, length: int) -> None:
    """Read what will not be used: a client that is still sending does not look for the answer."""
    left = min(length, DISCARDED)
    while left > 0 and (piece := stream.read(min(left, SMALL_BODY))):
        left -= len(piece)


def _refuse_repeated_names(raw: bytes) -> None:
    def once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        seen = dict(pairs)
        if len(seen) != len(pairs):
            names = [name for name, _ in pairs]
            twice = next(name for name in names if names.count(name) > 1)
            raise errors.Invalid(f"/{twice}", "stands twice")
        return seen

    json.loads(raw, object_pairs_hook=once)


def _with_index(message: str, raw: bytes, kind: type) -> str:
    """msgspec's sentence with the number of the list's element, which it leaves out."""
    name = message.rpartition("`$.")[2].partition("[...]")[0]
    if "[...]" not in message:
        return message
    given = msgspec.json.decode(raw)
    for index, element in enumerate(given[name]):
        try:
            msgspec.convert(given | {name: [element]}, kind)
        except msgspec.ValidationError:
            return message.replace("[...]", f".{index}", 1)
    return message


# msgspec's sentences, and ours.
_SENTENCES: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"Expected `\w+` >= (\S+)", lambda found: f"is less than {found[1]}"),
    (r"Expected `\w+` <= (\S+)", lambda found: f"is more than {found[1]}"),
    (r"Expected `\w+` of length >= (\d+)", lambda found: f"is shorter than {found[1]}"),
    (r"Expected `\w+` of length <= (\d+)", lambda found: f"is longer than {found[1]}"),
    (r"Expected `\w+` matching regex .*", lambda _: "has a character that is not allowed, or a blank at an end"),
    (r"Expected `datetime` with a timezone component", lambda _: "has no offset from UTC"),
    (r"Invalid RFC3339 encoded datetime", lambda _: "is not a time in RFC 3339"),
    (r"Invalid enum value (.*)", lambda found: f"cannot be {found[1]}"),
    (r"Expected `(.+?)`, got `(.+?)`", lambda found: f"is {_kinds(found[2])}, not {_kinds(found[1])}"),
)


def _kinds(names: str) -> str:
    return " or ".join(_TYPES.get(name.strip(), name.strip()) for name in names.split("|"))


def _invalid(message: str) -> errors.Invalid:
    """msgspec's sentence as a field and a reason."""
    reason, _, path = message.partition(" - at `$")
    pointer = path.rstrip("`").replace(".", "/")
    named = re.fullmatch(r"Object (missing required|contains unknown) field `(.*)`", reason, re.DOTALL)
    if named:
        word = "is missing" if named[1].startswith("missing") else "is not a field of this request"
        return errors.Invalid(f"{pointer}/{named[2][:200].replace('~', '~0').replace('/', '~1')}", word)
    for pattern, sentence in _SENTENCES:
        found = re.fullmatch(pattern, reason, re.DOTALL)
        if found:
            return errors.Invalid(pointer, sentence(found))
    return errors.Invalid(pointer, reason[:1].lower() + reason[1:])


def _convert(value: Any, kind: Any, name: str) -> Any:
    try:
        return msgspec.convert(value, kind, strict=False)
    except msgspec.ValidationError as error:
        invalid = _invalid(str(error))
        raise errors.Invalid(name, invalid.facts["errors"][0]["detail"]) from None


def _read_query(kind: type) -> Any:
    given = request.args.to_dict(flat=False)
    for name, several in given.items():
        if name not in kind.__struct_fields__:  # type: ignore[attr-defined]
            raise errors.Invalid(name, "is not a parameter of this address")
        if len(several) > 1:
            raise errors.Invalid(name, "stands twice")
    try:
        return msgspec.convert({name: several[0] for name, several in given.items()}, kind, strict=False)
    except msgspec.ValidationError as error:
        invalid = _invalid(str(error)).facts["errors"][0]
        raise errors.Invalid(invalid["pointer"].lstrip("/"), invalid["detail"]) from None


def _document_operation(operation: Operation) -> dict[str, Any]:
    words = set(operation.refusals) | {"internal", "unavailable"}
    if operation.body or operation.query or operation.path_types or operation.headers:
        words |= {"invalid"}
    if operation.body:
        words |= {"malformed", "too-large", "unsupported-media-type", "bad-request"}
    words |= {"invalid"}
    responses: dict[str, Any] = {
        str(status): _document_answer(kind, operation.also) for status, kind in operation.answers.items()
    }
    by_status: dict[int, list[str]] = {}
    for word in sorted(words):
        by_status.setdefault(problems.STATUS[word], []).append(word)
    for status, of_status in sorted(by_status.items()):
        responses.setdefault(
            str(status),
            {
                "description": " ".join(f"`{word}`: {problems.TITLES[word]}" for word in of_status),
                "content": {problems.MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
            },
        )
    documented: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses,
    }
    parameters = list(_document_parameters(operation))
    if parameters:
        documented["parameters"] = parameters
    if operation.body:
        reference = {"$ref": f"#/components/schemas/{operation.body.__name__}"}
        documented["requestBody"] = {"required": True, "content": {"application/json": {"schema": reference}}}
    return documented


def _document_answer(kind: type | None, also: tuple[str, ...]) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {"schema": {"type": "string"}} for media_type in also}
    if kind is not None:
        content["application/json"] = {"schema": {"$ref": f"#/components/schemas/{kind.__name__}"}}
    description = (kind.__doc__ or "").strip().splitlines()[0] if kind else "As its media type says."
    return {"description": description, "content": content}


def _document_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        schema = msgspec.json.schema(operation.path_types[name]) if name in operation.path_types else {"type": "string"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if operation.query:
        _, components = msgspec.json.schema_components([operation.query], ref_template="#/components/schemas/{name}")
        shape = components[operation.query.__name__]
        for name, schema in shape["properties"].items():
            if {"type": "null"} in schema.get("anyOf", ()):
                schema = {k: v for k, v in next(s for s in schema["anyOf"] if s != {"type": "null"}).items()}
            yield {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": schema}
    for name, description in operation.headers.items():
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        yield {"name": name, "in": "header", "required": False, "schema": schema, "description": description}
