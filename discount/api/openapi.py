"""Make the OpenAPI 3.1 document from the declared operations and the shapes that validate them."""

import inspect
import re
from collections.abc import Iterator, Sequence
from functools import cache
from http import HTTPStatus
from typing import Any, get_args, get_origin

import msgspec
import msgspec.inspect
from msgspec import UNSET
from msgspec.structs import fields

from discount.api import problems
from discount.api.contract import Answer, Operation
from discount.api.inputs import JSON
from discount.api.schemas.problems import Problem
from discount.domain import event_types

_LINK = {
    "description": 'The next page, as `<…>; rel="next"` (RFC 8288), if there is one.',
    "schema": {"type": "string"},
}
_BEARER = {
    "type": "http",
    "scheme": "bearer",
    "description": "A brand's API key (`dsk_…`), a user's JWT, or the admin key; not needed while the service is open.",
}


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """Return the document of these operations."""
    types: list[Any] = [Problem, *event_types.TYPES.values()]
    for operation in operations:
        types += [operation.body] if operation.body else []
        types += [operation.error_format.shape] if operation.error_format else []
        types += [kind for answer in operation.answers.values() for kind in _kinds(answer)]
    _, components = msgspec.json.schema_components(types, ref_template="#/components/schemas/{name}")
    _complete(components)
    _require_constant_fields(components, operations)
    paths: dict[str, dict[str, Any]] = {}
    for operation in operations:
        paths.setdefault(operation.path, {})[operation.method.lower()] = _document_operation(operation)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Discount codes",
            "version": version,
            "description": "Brands create discounts; each user gets one code of a discount.",
        },
        "paths": paths,
        "webhooks": {name: {"post": _document_call(kind)} for name, kind in event_types.TYPES.items()},
        "components": {"schemas": components, "securitySchemes": {"bearer": _BEARER} | _headers(operations)},
    }


def _document_call(kind: type[event_types.Envelope]) -> dict[str, Any]:
    """Return the call that a webhook gets for an event of a type."""
    name = str(kind.__struct_config__.tag)
    return {
        "operationId": f"on_{re.sub('[^a-z]', '_', name)}",
        "tags": ["events"],
        "summary": _describe(kind),
        "description": "Sent to the webhooks of the brand and of the discount that want this type, signed as Standard"
        " Webhooks say, and repeated until it is answered with 2xx. `GET /event` lists the same.",
        "requestBody": {"required": True, "content": {JSON: {"schema": _reference(kind)}}},
        "responses": {"2XX": {"description": "The event has arrived; it is not sent again."}},
    }


_JSON_TYPES = {str: "string", bool: "boolean", int: "integer"}


def _complete(node: Any) -> None:
    """Give each enum its type, and each description one line per paragraph."""
    if isinstance(node, list):
        for each in node:
            _complete(each)
    if not isinstance(node, dict):
        return
    if "enum" in node and "type" not in node:
        (node["type"],) = {_JSON_TYPES[type(value)] for value in node["enum"]}
    if isinstance(node.get("description"), str):
        paragraphs = inspect.cleandoc(node["description"]).split("\n\n")
        node["description"] = "\n\n".join(" ".join(each.split()) for each in paragraphs)
    for each in node.values():
        _complete(each)


def _require_constant_fields(components: dict[str, Any], operations: Sequence[Operation]) -> None:
    """Mark the fields that every answer has as required; in a request, one with a default may be left out."""
    in_requests = _shapes([operation.body for operation in operations if operation.body])
    answers = [kind for operation in operations for answer in operation.answers.values() for kind in _kinds(answer)]
    formats = [operation.error_format.shape for operation in operations if operation.error_format]
    for name, shape in _shapes([Problem, *event_types.TYPES.values(), *answers, *formats]).items():
        if name in in_requests:
            continue
        described = components[name]
        if not shape.__struct_config__.omit_defaults:
            described["required"] = [each.encode_name for each in fields(shape) if each.default is not UNSET]
            continue
        for field, schema in described["properties"].items():
            # A field at its default is left out, so it is never null.
            if schema.pop("default", schema) is None:
                (value,) = [each for each in schema.pop("anyOf") if each != {"type": "null"}]
                described["properties"][field] = value | schema


def _shapes(kinds: Sequence[Any]) -> dict[str, type[msgspec.Struct]]:
    """Return the shapes that types consist of, by name."""
    found: dict[str, type[msgspec.Struct]] = {}

    def look(of: Any) -> None:
        if isinstance(of, msgspec.inspect.StructType) and of.cls.__name__ not in found:
            found[of.cls.__name__] = of.cls
            for field in of.fields:
                look(field.type)
        for inner in (getattr(of, name, None) for name in ("type", "item_type", "value_type")):
            look(inner) if inner is not None else None
        for inner in getattr(of, "types", ()):
            look(inner)

    for kind in kinds:
        look(msgspec.inspect.type_info(kind))
    return found


def _document_operation(operation: Operation) -> dict[str, Any]:
    # Every operation refuses unknown query parameters.
    slugs = {*operation.refusals, "invalid", "internal", "unavailable", "not-yet-durable", "restoring"}
    if operation.scopes:
        # Not found: a resource of another tenant.
        slugs |= {"unauthenticated", "forbidden", "cross-site", "too-many-requests", "not-found"}
    if operation.tag != "health":
        slugs.add("too-many-at-once")
    upload = "upload" in operation.parameters
    if operation.body or upload:
        slugs |= {"malformed", "too-large", "unsupported-media-type", "bad-request"}
    if upload:
        slugs.add("too-slow")
    error_format = operation.error_format
    responses: dict[str, Any] = {
        str(status): _document_answer(status, kind, operation.produces) for status, kind in operation.answers.items()
    }
    if operation.query and not {"cursor", "after"}.isdisjoint(operation.query.__struct_fields__):  # type: ignore[attr-defined]
        responses["200"]["headers"] = {"Link": _LINK}
    by_status: dict[int, list[str]] = {}
    for slug in sorted(slugs):
        status = error_format.status(slug) if error_format else problems.STATUS[slug]
        by_status.setdefault(status, []).append(slug)
    for status, of_status in sorted(by_status.items()):
        # Unexpected errors are problems in every dialect.
        content = (
            {"application/json": {"schema": _reference(error_format.shape)}}
            if error_format is not None and of_status != ["internal"]
            else {problems.MEDIA_TYPE: {"schema": _reference(Problem)}}
        )
        description = " ".join(f"`{slug}`: {problems.TITLES[slug]}" for slug in of_status)
        responses.setdefault(str(status), {"description": description, "content": content})
    documented: dict[str, Any] = {
        "operationId": operation.name,
        "tags": [operation.tag],
        "summary": operation.summary,
        "responses": responses,
    }
    if operation.scopes:
        # Any one of the entries is enough; `{}` stands for an open service.
        each = [list(operation.scopes)] if operation.every_scope else [[scope] for scope in operation.scopes]
        named = ["bearer"] if operation.header is None else [operation.header.name, "bearer"]
        documented["security"] = [{name: scopes} for name in named for scopes in each] + [{}]
        who = "a user's own token, or " if operation.users else ""
        joined = (" and " if operation.every_scope else " or ").join(f"`{scope}`" for scope in operation.scopes)
        documented["description"] = f"Needs {who}a key with {joined}."
    parameters = list(_document_parameters(operation))
    if parameters:
        documented["parameters"] = parameters
    if operation.body:
        bodies = {media_type: {"schema": _reference(operation.body)} for media_type in operation.consumes}
        documented["requestBody"] = {"required": not operation.body_optional, "content": bodies}
    if upload:
        files = {media_type: {"schema": {"type": "string"}} for media_type in operation.consumes}
        documented["requestBody"] = {"required": True, "content": files}
    return documented


def _headers(operations: Sequence[Operation]) -> dict[str, Any]:
    """Return the dialects' headers with a token as security schemes."""
    found = {each.header.name: each.header for each in operations if each.header is not None}
    return {
        name: {
            "type": "apiKey",
            "in": "header",
            "name": name,
            "description": f"A {header.holds.removesuffix('_id')}'s token; its id while the service is open.",
        }
        for name, header in found.items()
    }


@cache
def _reference(kind: Any) -> dict[str, Any]:
    # A problem is named hundreds of times, and each call looks at all of a shape.
    return msgspec.json.schema_components([kind], ref_template="#/components/schemas/{name}")[0][0]


def _kinds(answer: Answer) -> tuple[type, ...]:
    if answer is None:
        return ()
    return answer if isinstance(answer, tuple) else (answer,)


def _document_answer(status: int, answer: Answer, produces: tuple[str, ...]) -> dict[str, Any]:
    content: dict[str, Any] = {media_type: {"schema": {"type": "string"}} for media_type in produces}
    kinds = _kinds(answer)
    if kinds:
        references = [_reference(kind) for kind in kinds]
        content["application/json"] = {"schema": references[0] if len(kinds) == 1 else {"anyOf": references}}
        return {"description": _describe(kinds[0]), "content": content}
    if not content:
        return {"description": f"{HTTPStatus(status).phrase}: done. There is no body."}
    return {"description": "A body of the given media type.", "content": content}


def _describe(kind: Any) -> str:
    if get_origin(kind) is list:
        (item,) = get_args(kind)
        return "A list of strings." if item is str else f"A list. Each item: {_describe(item)}"
    return (kind.__doc__ or "").strip().splitlines()[0]


def _document_parameters(operation: Operation) -> Iterator[dict[str, Any]]:
    for name in re.findall(r"{(\w+)}", operation.path):
        schema: dict[str, Any] = {"type": "string"}
        if name in operation.path_types:
            schema = msgspec.json.schema(operation.path_types[name])
        described = schema.get("description") or f"The {name.replace('_', ' ')}."
        yield {"name": name, "in": "path", "required": True, "schema": schema, "description": described}
    if operation.query:
        _, components = msgspec.json.schema_components([operation.query], ref_template="#/components/schemas/{name}")
        shape = components[operation.query.__name__]
        for name, schema in shape["properties"].items():
            # A parameter left out is None in Python, but a URL cannot hold null.
            value = next((each for each in schema.get("anyOf", ()) if each != {"type": "null"}), schema)
            _complete(value)
            if value.get("type") == "object":
                # Not one parameter but many, each after a dot.
                described = f"{value['description']} `name` stands for the name of an entry."
                yield {
                    **{"name": f"{name}.name", "in": "query", "required": False},
                    **{"schema": value["additionalProperties"], "description": described},
                }
                continue
            yield {"name": name, "in": "query", "required": name in shape.get("required", ()), "schema": value}
    if "idempotency_key" in operation.parameters:
        schema = {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[!-~]+$"}
        description = "Up to 255 visible ASCII characters. A repeat with the same key gets the first answer."
        yield {
            "name": "Idempotency-Key",
            "in": "header",
            "required": False,
            "schema": schema,
            "description": description,
        }
