"""The calls in doc/waiting-lists.md get the answers shown below them."""

import json
from pathlib import Path

from tests.stack.test_discounts_page import CALL, ask, shows
from tests.support.service import Service

PAGE = (Path(__file__).parents[2] / "doc" / "waiting-lists.md").read_text(encoding="utf-8")


def test_every_call_of_the_page_about_waiting_is_answered_as_it_says(service: Service) -> None:
    calls = CALL.findall(PAGE)
    assert len(calls) == PAGE.count("\ncurl ") == 19
    discount_id = ""
    for command, status, shown in calls:
        body, found = ask(command.replace("http://localhost:8000", service.urls[0]).replace("dsc-…", discount_id))
        assert found == status, (command, body)
        answered = json.loads(body)
        assert shows(answered, json.loads(shown)), (command, body)
        discount_id = answered["id"] if status == "201" and "id" in answered else discount_id
