"""The OpenAPI 3.1 document, made from the declared operations and the shapes that validate them."""

import re
from collections.abc import Iterator, Sequence
from typing import Any, get_args, get_origin

import msgspec

from discount.api import problems, schemas
from discount.api.contract import Answer, Operation
from discount.api.inputs import FORMS

_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A brand's API key (`dsk_…`), a user's JWT, or the admin key; none while the service is open.",
}


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The document of these operations."""
    types: list[Any] = [schemas.Problem]
    for operation in operations:
        types += [operation.body] if operation.body else []
        types += [operation.voice.shape] if operation.voice else []
        types += [kind for answer in operation.answers.values() for kind in _kinds(answer)]
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _document_operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Discount codes",
            "version": version,
            "description": "Brands create discounts; users get a code out of one, once.",
        },
        "paths": paths,
        "components": {"schemas": components, "securitySchemes": {"bearer": _BEARER}},
    }


def _document_operation(operation: Operation) -> dict[str, Any]:
    # Every address refuses query parameters that it does not know.
    words = {*operation.refusals, "invalid", "internal", "unavailable"}
    if operation.scopes:
        # What is not the caller's own is not there.
        words |= {"unauthenticated", "forbidden", "too-many-requests", "not-found"}
    if operation.cost.is_long:
        words.add("too-many-at-once")
    if operation.body or operation.takes:
        words |= {"malformed", "too-large", "unsupported-media-type", "bad-request"}
    if operation.takes:
        words.add("too-slow")
    voice = operation.voice
    responses: dict[str, Any] = {
        str(status): _document_answer(kind, operation.also) for status, kind in operation.answers.items()
    }
    by_status: dict[int, list[str]] = {}
    for word in sorted(words):
        by_status.setdefault(voice.status(word) if voice else problems.STATUS[word], []).append(word)
    for status, of_status in sorted(by_status.items()):
        # What nobody foresaw is told in one way.
        content = (
            {"application/json": {"schema": _reference(voice.shape)}}
            if voice is not None and of_status != ["internal"]
            else {problems.MEDIA_TYPE: {"schema": _reference(schemas.Problem)}}
        )
        description = " ".join(f"`{word}`: {problems.TITLES[word]}" for word in of_status)
        responses.setdefault(str(status), {"description": description, "content": content})
    documented: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.scopes:
        # Any one of them will do; `{}` is a service that is open.
        documented["security"] = [{"bearer": [scope]} for scope in operation.scopes] + [{}]
        who = "a user for itself, or " if operation.users else ""
        documented["description"] = f"Needs {who}a key with {' or '.join(f'`{scope}`' for scope in operation.scopes)}."
    parameters = list(_document_parameters(operation))
    if parameters:
        documented["parameters"] = parameters
    if operation.body:
        media_types = ("application/json", *FORMS) if operation.form else ("application/json",)
        bodies = {media_type: {"schema": _reference(operation.body)} for media_type in media_types}
        documented["requestBody"] = {"required": not operation.bare, "content": bodies}
    if operation.takes:
        files = {media_type: {"schema": {"type": "string"}} for media_type in operation.takes}
        documented["requestBody"] = {"required": True, "content": files}
    return documented


def _reference(kind: Any) -> dict[str, Any]:
    return msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")[0][0]


def _kinds(answer: Answer) -> tuple[type, ...]:
    if answer is None:
        return ()
    return answer if isinstance(answer, tuple) else (answer,)


def _document_answer(answer: Answer, also: tuple[str, ...]) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {"schema": {"type": "string"}} for media_type in also}
    kinds = _kinds(answer)
    if kinds:
        references = [_reference(kind) for kind in kinds]
        content["application/json"] = {"schema": references[0] if len(kinds) == 1 else {"anyOf": references}}
    description = "As its media type says."
    if kinds:
        described = get_args(kinds[0])[-1] if get_origin(kinds[0]) else kinds[0]
        description = (described.__doc__ or "").strip().splitlines()[0]
    return {"description": description, "content": content}


def _document_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        schema = msgspec.json.schema(operation.path_types[name]) if name in operation.path_types else {"type": "string"}
        yield {"name": name, "in": "path", "required": True, "schema": schema}
    if operation.query:
        _, components = msgspec.json.schema_components([operation.query], ref_template="#/components/schemas/{name}")
        shape = components[operation.query.__name__]
        for name, schema in shape["properties"].items():
            # A parameter that is left out is null to us; nobody can write null into a URL.
            told = next((each for each in schema.get("anyOf", ()) if each != {"type": "null"}), schema)
            yield {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": told}
    if operation.idempotent:
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        description = "Up to 255 visible ASCII characters; the same key gives the first answer again."
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": schema,
            "description": description,
        }
