"""The calls in doc/dialects.md get the answers shown below them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from discount.config import DIALECTS
from tests.support.needs import need
from tests.support.redis_server import RedisServer
from tests.support.service import Service

PAGE = (Path(__file__).parents[2] / "doc" / "dialects.md").read_text(encoding="utf-8")
CALL = re.compile(r"^(curl (?:.*\\\n)*.*)\n# → (\d+) (.*)$", re.MULTILINE)


def same(answered: Any, shown: Any) -> bool:
    """Return whether an answer is as on the page; `…` stands for any text."""
    if isinstance(answered, dict) and isinstance(shown, dict):
        return list(answered) == list(shown) and all(same(answered[name], shown[name]) for name in shown)
    if isinstance(answered, list) and isinstance(shown, list):
        return len(answered) == len(shown) and all(map(same, answered, shown))
    return (shown == "…" and isinstance(answered, str)) or answered == shown


def test_every_call_of_the_page_is_answered_as_it_says(service: Service, redis_server: RedisServer) -> None:
    need("curl")
    redis_server.client().flushall()
    calls = CALL.findall(PAGE)
    assert len(calls) == PAGE.count("\ncurl ") == 32
    for command, status, body in calls:
        asked = command.replace("http://localhost:8000", service.urls[0])
        done = subprocess.run(
            ["bash", "-c", f"{asked} --silent --show-error --max-time 60 --write-out '\\n%{{http_code}}'"],
            capture_output=True,
            text=True,
            check=True,
        )
        answered, _, found = done.stdout.rpartition("\n")
        assert (found, same(json.loads(answered), json.loads(body))) == (status, True), (command, done.stdout)


def test_the_page_names_every_dialect_and_every_address(service: Service) -> None:
    assert set(re.findall(r"^## \d\. .*\(`([a-z-]+)`\)$", PAGE, re.MULTILINE)) == set(DIALECTS)
    shown = subprocess.run(
        [need("curl"), "--silent", f"{service.urls[0]}/openapi.json"], capture_output=True, text=True, check=True
    )
    for path, methods in json.loads(shown.stdout)["paths"].items():
        for method, operation in methods.items():
            if operation["tags"][0].startswith("dialect: "):
                address = re.sub(r"{\w+_id}", lambda found: "{" + found[0][1:-4] + "}", path)
                address = address.replace("discountcode/{code}", "discountcode/{id}")
                assert f"`{method.upper()} {address}`" in PAGE
