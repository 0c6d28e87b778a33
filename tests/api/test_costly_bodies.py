"""A body of 64 KB costs little CPU, whatever it contains, at every operation that takes one."""

import json
import random
import time
from collections.abc import Callable

import pytest
from flask import Flask

from discount.api.contract import Contract
from discount.api.inputs import SMALL_BODY
from tests.api.client import JSON, Client

#: The most CPU that a call may take, in seconds; the least of some tries, as the machine may be busy.
MOST = 0.05
TRIES = 5


def _fitted(one: Callable[[int], str], before: str, after: str, between: str = ",") -> bytes:
    """Return as many parts as fit between a beginning and an end."""
    parts: list[str] = []
    size = len(before) + len(after)
    while size + len(part := one(len(parts))) + len(between) <= SMALL_BODY:
        parts.append(part)
        size += len(part) + len(between)
    return (before + between.join(parts) + after).encode("latin-1")


def bodies(seed: int) -> dict[str, bytes]:
    """Return bodies of 64 KB that could be slow to parse, chosen by the seed."""
    chance = random.Random(seed)

    def value(depth: int = 0) -> object:
        kinds = [
            None,
            True,
            chance.random() * 10**300,
            chance.randrange(10**18),
            "\\" * 9,
            '"',
            "é" * chance.randrange(99),
        ]
        if depth < 6 and chance.random() < 0.6:
            several = [value(depth + 1) for _ in range(chance.randrange(6))]
            return several if chance.random() < 0.5 else {f"k{number}": each for number, each in enumerate(several)}
        return chance.choice(kinds)

    return {
        "bytes": chance.randbytes(SMALL_BODY),
        "values": _fitted(lambda n: f'"{n}":{json.dumps(value())}', "{", "}"),
        "names": _fitted(lambda n: f'"{n}":0', "{", ',"last":0,"last":0}'),
        "one name": _fitted(lambda _: '"brand_id":0', "{", "}"),
        "depth": _fitted(lambda _: "[", '{"a":', "", ""),
        "escapes": _fitted(lambda _: "\\u00e9", '{"brand_id":"', '"}', ""),
        "backslashes": _fitted(lambda _: "\\\\", '{"user_id":"', '"}', ""),
        "a number": _fitted(lambda _: "9", '{"amount":', "}", ""),
        "blanks": _fitted(lambda _: " ", "{", "}", ""),
        "numbers": _fitted(lambda n: f"{n}e9", '{"user_ids":[', "]}"),
    }


@pytest.mark.parametrize("seed", range(2))
def test_no_body_of_64_kilobytes_costs_much(app: Flask, client: Client, seed: int) -> None:
    contract: Contract = app.extensions["contract"]
    dear = {}
    for operation in (each for each in contract.operations if each.body):
        for name, body in bodies(seed).items():
            path = operation.path.replace("{", "").replace("}", "")
            least = MOST + 1
            for _ in range(TRIES):
                started = time.process_time()
                answer = client.http.open(path, method=operation.method, data=body, content_type=JSON)
                least = min(least, time.process_time() - started)
                assert 400 <= answer.status_code < 500, answer.text
                if least < MOST:
                    break
            if least >= MOST:
                dear[f"{operation.name}: {name}"] = least
    assert dear == {}
