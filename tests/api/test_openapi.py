"""The OpenAPI document is valid, complete and true."""

import json
import re
from collections.abc import Iterator
from http import HTTPStatus
from typing import Any

import jsonschema_rs
import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import CHECKS

from discount.api import problems
from discount.domain.reasons import has_rule
from discount.security.signing import Signer
from discount.services import deliveries, outbox
from discount.store.connection import Store
from tests.api.client import DISCOUNT, SECRET, Client
from tests.support import described
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.worker.harness import plan

# What an operation may name that has to be there.
NAMES = {"discount_id", "webhook_id", "delivery_id", "after", "token"}
# Pages for people, not operations.
PAGES = {"/", "/openapi.json", "/apidocs", "/apidocs/", "/apidocs/<path:name>", "/problems/<slug>"}


@pytest.fixture
def document(client: Client) -> dict[str, Any]:
    answer = client.http.get("/openapi.json")
    assert (answer.status_code, answer.content_type) == (200, "application/json")
    found: dict[str, Any] = answer.get_json()
    return found


def operations(document: dict[str, Any]) -> dict[tuple[str, str], dict[str, Any]]:
    return {
        (method.upper(), path): operation
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
    }


def is_dialect(operation: dict[str, Any]) -> bool:
    """Return whether an operation is of a dialect, with its own statuses and shapes."""
    return any(tag.startswith("dialect") for tag in operation["tags"])


def test_the_document_is_valid_openapi_3_1(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1.")
    assert [str(error) for error in OpenAPIV31SpecValidator(document).iter_errors()] == []


def test_the_document_names_every_route(app: Flask, document: dict[str, Any]) -> None:
    routes = {
        (method, re.sub(r"<(\w+)>", r"{\1}", rule.rule))
        for rule in app.url_map.iter_rules()
        for method in (rule.methods or set()) - {"HEAD", "OPTIONS"}
        if rule.rule not in PAGES and not rule.rule.startswith("/console")
    }
    assert set(operations(document)) == routes
    assert {("POST", "/discount"), ("POST", "/v1/discount/create"), ("GET", "/test")} < routes


def test_every_pattern_is_one_of_json_schema(document: dict[str, Any]) -> None:
    patterns = set(re.findall(r'"pattern":("(?:[^"\\\\]|\\\\.)*")', json.dumps(document, separators=(",", ":"))))
    assert patterns
    for pattern in patterns:
        jsonschema_rs.validator_for({"type": "string", "pattern": json.loads(pattern)})


def nodes(of: Any) -> Iterator[dict[str, Any]]:
    """Yield every object of the document, outermost first."""
    if isinstance(of, dict):
        yield of
    for each in of.values() if isinstance(of, dict) else of if isinstance(of, list) else ():
        yield from nodes(each)


def answered(document: dict[str, Any]) -> dict[str, bool]:
    """Return every shape by name, and whether only answers use it."""
    found: dict[str, bool] = {}

    def look(of: Any, in_answer: bool) -> None:
        for each in nodes(of):
            name = str(each.get("$ref", "")).rpartition("/")[2]
            if name and found.get(name) not in (False, in_answer):
                found[name] = in_answer
                look(document["components"]["schemas"][name], in_answer)

    for operation in operations(document).values():
        look(operation.get("requestBody"), False)
        look(operation["responses"], True)
    return found


def test_every_property_has_a_type(document: dict[str, Any]) -> None:
    for name, shape in document["components"]["schemas"].items():
        for field, schema in shape.get("properties", {}).items():
            for each in schema.get("anyOf", [schema]):
                assert {"type", "$ref"} & set(each), (name, field)
                if "enum" in each:
                    jsonschema_rs.validator_for({"enum": each["enum"], "items": {"type": each["type"]}})
                    assert all(jsonschema_rs.is_valid({"type": each["type"]}, value) for value in each["enum"])
    assert document["components"]["schemas"]["GrantOut"]["properties"]["granted"]["type"] == "boolean"


def test_fields_present_in_every_answer_are_required(document: dict[str, Any]) -> None:
    shapes = answered(document)
    assert {"GrantOut", "DiscountOut", "LimitsOut", "RedemptionOut"} <= {name for name, only in shapes.items() if only}
    for name, only in shapes.items():
        shape = document["components"]["schemas"][name]
        if only and "properties" in shape:
            for field in set(shape["properties"]) - set(shape.get("required", ())):
                # A field that may be absent is never null, except the end of a code that may not have been granted.
                if (name, field) == ("GrantOutcome", "good_until") or name == "SettingsData":
                    continue
                assert {"type": "null"} not in shape["properties"][field].get("anyOf", ()), (name, field)
                assert "default" not in shape["properties"][field], (name, field)
    assert set(document["components"]["schemas"]["GrantOut"]["required"]) == {
        *("discount_id", "user_id", "granted", "code", "granted_at", "good_until", "void"),
    }


def test_every_description_fits_its_subject(document: dict[str, Any]) -> None:
    for each in nodes(document):
        description = each.get("description")
        if isinstance(description, str):
            # What Python says of its own types, and how docstrings are indented.
            assert not re.search(r"-> |object=|\n +", description), description
    shapes = document["components"]["schemas"]
    assert "order" in shapes["OrderShape"]["properties"]["id"]["description"]
    assert "In a change" in shapes["LimitsIn"]["description"]
    assert "alike" not in shapes["CodesIn"]["properties"]["alphabet"]["description"]
    assert (
        operations(document)["POST", "/v1/discount/create"]["responses"]["200"]["description"] == "A list of strings."
    )


def test_every_pattern_has_an_error_message_in_words(document: dict[str, Any]) -> None:
    schemas = [each for each in nodes(document["components"]) if isinstance(each.get("pattern"), str)]
    assert schemas
    for each in schemas:
        assert has_rule(each["pattern"]), each


def test_every_list_with_a_cursor_has_a_link(document: dict[str, Any]) -> None:
    for operation in operations(document).values():
        names = {each["name"] for each in operation.get("parameters", ())}
        assert ("Link" in operation["responses"].get("200", {}).get("headers", {})) == bool(names & {"cursor", "after"})


def test_every_operation_has_a_name_a_summary_and_a_tag(document: dict[str, Any]) -> None:
    found = operations(document).values()
    assert len({each["operationId"] for each in found}) == len(found)
    for each in found:
        assert each["summary"].endswith(".")
        assert each["tags"]


def test_every_problem_of_an_operation_is_a_known_slug_with_its_status(document: dict[str, Any]) -> None:
    slugs: set[str] = set()
    for operation in operations(document).values():
        for status, response in operation["responses"].items():
            if int(status) >= HTTPStatus.BAD_REQUEST:
                words = set(re.findall(r"`([a-z-]+)`", response["description"])) & set(problems.STATUS)
                slugs |= words
                if is_dialect(operation) and words != {"internal"}:
                    assert list(response["content"]) == ["application/json"]
                    continue
                assert {problems.STATUS[word] for word in words} == {int(status)}
                assert list(response["content"]) == ["application/problem+json"]
    # A wrong method has no operation to stand in, and neither has a head that the server refuses.
    assert slugs == set(problems.STATUS) - {"method-not-allowed", "uri-too-long", "headers-too-large"}


def test_every_path_parameter_is_described(document: dict[str, Any]) -> None:
    for (_, path), operation in operations(document).items():
        named = {each["name"] for each in operation.get("parameters", []) if each["in"] == "path"}
        assert named == set(re.findall(r"{(\w+)}", path))


def test_the_document_refuses_unknown_fields_as_the_service_does(document: dict[str, Any]) -> None:
    schemas = document["components"]["schemas"]
    for operation in operations(document).values():
        if is_dialect(operation):
            continue
        reference = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("schema", {})
        if "$ref" in reference:
            assert schemas[reference["$ref"].rpartition("/")[2]]["additionalProperties"] is False


def test_the_examples_of_the_document_are_accepted(client: Client, document: dict[str, Any]) -> None:
    fields = document["components"]["schemas"]["DiscountIn"]["properties"]
    body = {name: {**fields[name], **fields[name].get("anyOf", [{}])[0]}["examples"][0] for name in DISCOUNT}
    assert client.http.post("/discount", json=body).status_code == 201


# Whatever fits the document or just does not: no 5xx, no answer that the document does not know.


def things(client: Client, store: Store) -> dict[str, str]:
    """Create real things, by the names that operations give to their ids."""
    made = client.create(total_count=3, webhook_url="https://ikea.example/discounts")
    client.grant(made["id"])
    plan(store)
    return {
        "discount_id": made["id"],
        "webhook_id": made["webhook_id"],
        "delivery_id": deliveries.list_page(store, made["brand_id"], limit=1).items[0].id,
        "after": outbox.list_page(store, made["brand_id"], limit=1).items[0].id,
        "token": Signer(store, SECRET).mail_token("IKEA", "User 1"),
    }


def test_any_call_is_answered_as_the_document_says(
    app: Flask, client: Client, document: dict[str, Any], redis_server: RedisServer
) -> None:
    store = Store.at(redis_server.url, PATIENCE, 16)
    store.patience = 0.001
    called = set()
    for operation in described.operations(app):

        @settings(max_examples=6, deadline=None, suppress_health_check=list(HealthCheck))
        @given(case=operation.as_strategy(), real=st.booleans())
        def call(case: Any, real: bool) -> None:
            called.add(case.operation.label)
            places = [each for each in (case.path_parameters, case.query, case.body) if isinstance(each, dict)]
            named = {name for each in places for name in each} & NAMES
            if real and named:
                there = things(client, store)
                for each in places:
                    each.update({name: there[name] for name in named & set(each)})
            if (case.query or {}).get("wait"):
                case.query["wait"] = 0
            # JSON Schema cannot say all that is asked of a body (that a window ends after it starts).
            case.call_and_validate(excluded_checks=[CHECKS.get_one("positive_data_acceptance")])

        call()
    assert called == {f"{method} {path}" for method, path in operations(document)}
