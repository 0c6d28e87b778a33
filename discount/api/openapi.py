"""The OpenAPI 3.1 document, made from the declared operations and the shapes that validate them."""

import re
from collections.abc import Iterator, Sequence
from typing import Any

import msgspec

from discount.api import problems, schemas
from discount.api.contract import Operation


def document(operations: Sequence[Operation], version: str) -> dict[str, Any]:
    """The document of these operations."""
    types: list[Any] = [schemas.Problem]
    for operation in operations:
        types += [kind for kind in (operation.body, *operation.answers.values()) if kind is not None]
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
        "components": {"schemas": components},
    }


def _document_operation(operation: Operation) -> dict[str, Any]:
    # Every address refuses query parameters that it does not know.
    words = {*operation.refusals, "invalid", "internal", "unavailable"}
    if operation.body or operation.takes:
        words |= {"malformed", "too-large", "unsupported-media-type", "bad-request"}
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
        content = {"application/json": {"schema": reference}}
        documented["requestBody"] = {"required": not operation.bare, "content": content}
    if operation.takes:
        files = {media_type: {"schema": {"type": "string"}} for media_type in operation.takes}
        documented["requestBody"] = {"required": True, "content": files}
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
