"""Random bodies at every operation: no incomplete body is accepted, and none costs too much CPU."""

import io
import json
import random
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest
from flask import Flask

from tests.api.client import (
    DISCOUNT,
    JSON,
    Client,
    check_problem,
)

FORM = "application/x-www-form-urlencoded"
SIZE = 64 * 1024
#: The most CPU that reading a body of that size may take.
SECONDS = 0.05


@dataclass(frozen=True)
class Place:
    """An operation that takes a body, and its media types."""

    method: str
    path: str
    media_types: tuple[str, ...]


def places(app: Flask) -> list[Place]:
    """Return every operation that takes a body; ids in its address do not exist."""
    document = app.test_client().get("/openapi.json").get_json()
    return [
        Place(
            method.upper(),
            path.replace("{", "x-").replace("}", ""),
            tuple(each + "; boundary=x" * each.startswith("multipart") for each in operation["requestBody"]["content"]),
        )
        for path, methods in document["paths"].items()
        for method, operation in methods.items()
        if "requestBody" in operation
    ]


def test_a_body_that_is_shorter_than_declared_is_refused_by_every_operation(app: Flask, client: Client) -> None:
    found = places(app)
    assert len(found) > 20
    discount_id = client.create(codes={"kind": "imported"}, total_count=None)["id"]
    for place in found:
        for media_type in place.media_types:
            bodies = {
                FORM: b"code=A&discount_percentage=1",
                "text/csv": b"code,user_id\nA1,A1\n",
                "text/plain": b"A1\n",
            }
            body = bodies.get(media_type, b'{"code": "A"}')
            declared = {"CONTENT_LENGTH": str(len(body) + 1)}
            before = client.state()
            answer = client.http.open(
                place.path.replace("x-discount_id", discount_id),
                method=place.method,
                data=body,
                content_type=media_type,
                headers={"brand_auth_token": "IKEA", "user_auth_token": "A"},
                environ_overrides=declared,
            )
            assert answer.status_code == 400, (place, media_type, answer.text)
            assert client.state() == before


def test_a_truncated_body_is_refused_with_its_received_length(client: Client) -> None:
    body = json.dumps(DISCOUNT).encode()
    declared = {"CONTENT_LENGTH": str(len(body) + 2)}
    answer = client.refused(
        "POST", "/discount", 400, "bad-request", data=body, content_type=JSON, environ_overrides=declared
    )
    assert answer["detail"] == f"The body ends after {len(body)} bytes; Content-Length says {len(body) + 2}."


def test_a_connection_lost_during_a_body_is_not_a_server_error(client: Client) -> None:
    class Broken(io.RawIOBase):
        def read(self, _size: int = -1) -> bytes:
            raise ConnectionResetError

    for call in (
        {"CONTENT_LENGTH": "100"},
        {"CONTENT_LENGTH": "", "HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True},
    ):
        answer = client.http.post("/discount", content_type=JSON, environ_overrides={"wsgi.input": Broken(), **call})
        check_problem(answer, 400, "bad-request")


# What a body costs


def _names(twice: bool) -> bytes:
    names = [f'"{number:x}":0' for number in range(7000)]
    return ("{" + ",".join(names + names[-1:] * twice) + "}").encode()


def _mixed(seed: int) -> bytes:
    """Return random JSON of a size, with escapes, so that all of it must be parsed."""
    rnd = random.Random(seed)

    def some(depth: int) -> Any:
        kind = rnd.randrange(8 if depth < 6 else 5)
        if kind == 0:
            return rnd.randrange(-(10 ** rnd.randrange(30)), 10 ** rnd.randrange(30) + 1)
        if kind == 1:
            return rnd.random() * 10.0 ** rnd.randrange(-300, 300)
        if kind in (2, 3):
            return "".join(rnd.choice('abc"\\\u00e4\n\u2028\U0001f600') for _ in range(rnd.randrange(20)))
        if kind == 4:
            return rnd.choice([None, True, False])
        if kind == 5:
            return [some(depth + 1) for _ in range(rnd.randrange(8))]
        return {f"{rnd.randrange(99)}": some(depth + 1) for _ in range(rnd.randrange(8))}

    whole: dict[str, Any] = {}
    size = 0
    while size < SIZE - 8192:
        name, value = f"n{len(whole)}", some(0)
        if len(piece := json.dumps(value)) < 4096:
            whole[name] = value
            size += len(piece) + len(name) + 6
    return json.dumps(whole).encode()[:SIZE]


def _fields(value: str) -> bytes:
    """Return the fields that operations know, each with a value of the wrong type."""
    names = ["user_id", "code", "discount_code", "brand_id", "brand", "id", "name", "email", "types", "amount", "rule"]
    return ("{" + ",".join(f'"{name}":{value}' for name in names) + "}").encode()


# What operations that do not mind unknown fields need to go on.
_ENOUGH = (
    b'{"id":"\\u0041","discount":1,"validity":"2280-01-01T00:00:00Z","brand":"B","discount_code":"A","user":"u",'
    b'"code":"A","discount_percentage":1,"expiry_date":"2280-01-01","user_id":"u","coupon_code":"A",'
)
_BODIES: dict[str, bytes] = {
    "all that is needed, and a number": _ENOUGH + b'"x":' + b"9" * 60_000 + b"}",
    "all that is needed, and names": _ENOUGH + _names(False)[1:],
    "all that is needed, and names, one twice": _ENOUGH + _names(True)[1:],
    "all that is needed, and depth": _ENOUGH + b'"x":' + b"[" * 20_000 + b"]" * 20_000 + b"}",
    "all that is needed, and half a surrogate twice": _ENOUGH + b'"\\ud800":1,"\\ud800":1}',
    "names": _names(False),
    "names, one twice": _names(True),
    "an escape and names": b'{"\\u0061":1,' + _names(True)[1:],
    "an escape and a number": b'{"x":"\\u0061","y":' + b"9" * 60_000 + b"}",
    "a fraction": b'{"x":"\\u0061","discount":0.' + b"9" * 60_000 + b"}",
    "an exponent": b'{"amount":1e' + b"9" * 60_000 + b"}",
    "a decimal as text": b'{"discount":"' + b"9" * 60_000 + b'"}',
    "a number for each field": _fields("9" * 5_000),
    "a text for each field": _fields('"' + "\u00e4" * 2_500 + '"'),
    "a list for each field": _fields("[" + ",".join(["{}"] * 1_500) + "]"),
    "escapes": b'{"code":"' + b"\\u0061" * 10_000 + b'"}',
    "backslashes": b'{"code":"' + b"\\\\" * 30_000 + b'"}',
    "surrogates": b'{"code":"' + b"\\ud83d\\ude00" * 5_000 + b'"}',
    "half a surrogate at the end": b'{"code":"' + b"\\ud83d\\ude00" * 5_000 + b'\\ud83d"}',
    "lists in lists": b'{"x":' + b"[" * 30_000 + b"]" * 30_000 + b"}",
    "objects in objects": b'{"x":' * 10_000,
    "empty objects": b'{"\\u0061":[' + b"{}," * 20_000 + b"{}]}",
    "users": b'{"user_ids":[' + b'"a",' * 15_000 + b'"a/"]}',
    "blanks": b" " * 65_000 + b"{}",
    "quotes": b'"' * 65_000,
    "zeros": bytes(65_000),
    "letters": b"a" * 65_000,
    "lines": b"A1\n" * 20_000,
    "rows": b'code\n"A1"\n' + b'""""\n' * 12_000,
    "form fields": b"&".join(b"f%d=1" % number for number in range(7_000)),
    "form signs": b"code=" + b"%" * 30_000 + b"%41" * 11_000,
    "form ampersands": b"&" * 65_000,
    "a form of parts": b"--x\r\n" * 13_000,
    "a form of one part": b'--x\r\nContent-Disposition: form-data; name="code"\r\n\r\n' + b"\r\n--" * 16_000,
    "random bytes": random.Random(1).randbytes(SIZE),
    **{f"anything {seed}": _mixed(seed) for seed in range(4)},
}


def _cost(call: Callable[[], Any]) -> float:
    """Return the CPU seconds of this process, the best of some tries, so that other threads do not count."""
    best = float("inf")
    for _ in range(5):
        started = time.process_time()
        call()
        best = min(best, time.process_time() - started)
        if best < SECONDS:
            break
    return best


@pytest.mark.skipif("coverage" in sys.modules, reason="under coverage, most of the time is that of coverage")
@pytest.mark.parametrize("what", list(_BODIES))
def test_no_body_of_64_kilobytes_costs_more_than_50_milliseconds(app: Flask, client: Client, what: str) -> None:
    body = _BODIES[what]
    assert len(body) <= SIZE
    for place in places(app):
        for media_type in place.media_types:
            statuses: set[int] = set()

            def call(place: Place = place, media_type: str = media_type, statuses: set[int] = statuses) -> None:
                answer = client.http.open(place.path, method=place.method, data=body, content_type=media_type)
                statuses.add(answer.status_code)

            assert _cost(call) < SECONDS, (place, media_type)
            assert max(statuses) < 500, (place, media_type, statuses)
