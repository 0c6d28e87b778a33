"""The calls in doc/discounts.md get the answers shown below them."""

import json
import re
import subprocess
from pathlib import Path
from typing import Any

from tests.support.needs import need
from tests.support.redis_server import RedisServer
from tests.support.service import Service

PAGE = (Path(__file__).parents[2] / "doc" / "discounts.md").read_text(encoding="utf-8")
CALL = re.compile(r"^(curl (?:.|\n)*?)\n# → (\d+) (.*)$", re.MULTILINE)


def shows(answered: Any, shown: Any) -> bool:
    """Return whether an answer has the parts that the page shows; `…` stands for any text."""
    if isinstance(answered, dict) and isinstance(shown, dict):
        return all(name in answered and shows(answered[name], shown[name]) for name in shown)
    if isinstance(answered, list) and isinstance(shown, list):
        return len(answered) == len(shown) and all(map(shows, answered, shown))
    if isinstance(answered, str) and isinstance(shown, str):
        return re.fullmatch(re.escape(shown).replace("…", ".+"), answered) is not None
    return bool(answered == shown)


def ask(command: str) -> tuple[str, str]:
    """Make a call of the page, and return its status and body."""
    need("curl")
    done = subprocess.run(
        ["bash", "-c", command + " -sS --max-time 60 --write-out '\\n%{http_code}'"],
        capture_output=True,
        text=True,
        check=True,
    )
    body, _, status = done.stdout.rpartition("\n")
    return body, status


def test_every_call_of_the_page_is_answered_as_it_says(service: Service, redis_server: RedisServer) -> None:
    redis: Any = redis_server.client()
    # All but what the processes compared at their start.
    for key in redis.keys("*"):
        if not key.endswith(":installation"):
            redis.delete(key)
    calls = CALL.findall(PAGE)
    assert len(calls) == PAGE.count("\ncurl ") == 25
    discount_id, cursor = "", ""
    for command, status, shown in calls:
        asked = command.replace("http://localhost:8000", service.urls[0])
        body, found = ask(asked.replace("dsc-…", discount_id).replace("cursor=…", f"cursor={cursor}"))
        assert found == status, (command, body)
        if not shown.startswith("{"):
            assert body.splitlines()[0] == shown
            continue
        answered = json.loads(body)
        assert shows(answered, json.loads(shown)), (command, body)
        discount_id = answered["id"] if status == "201" and "id" in answered else discount_id
        cursor = answered.get("next") or cursor


def test_the_page_explains_each_status(service: Service) -> None:
    body, _ = ask(f"curl '{service.urls[0]}/openapi.json'")
    status = json.loads(body)["components"]["schemas"]["DiscountOut"]["properties"]["status"]
    assert sorted(re.findall(r"^\| `([a-z-]+)`", PAGE, re.MULTILINE)) == sorted(status["enum"])
