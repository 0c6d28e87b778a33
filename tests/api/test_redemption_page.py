"""The calls in the page on redemptions work from top to bottom."""

import json
import re
import shlex
from pathlib import Path

from tests.api.client import Client

PAGE = (Path(__file__).parents[2] / "doc" / "redemption.md").read_text(encoding="utf-8")


def test_the_calls_of_the_page_work_from_top_to_bottom(client: Client) -> None:
    block = re.findall(r"```\n(.*?)```", PAGE, re.DOTALL)[0]
    calls = [shlex.split(each) for each in re.split(r"^(?=curl)", block, flags=re.MULTILINE) if each]
    answers = []
    for words in calls:
        assert words[0] == "curl"
        method, url = words[1].removeprefix("-X"), words[2]
        body = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
        answers.append(client.http.open(url.removeprefix("http://localhost:8000"), method=method, json=body))
    assert [each.status_code for each in answers] == [201, 201, 200, 201, 200, 200]
    _, granted, validated, redeemed, undone, shown = (each.get_json() for each in answers)
    assert granted["code"] == redeemed["code"] == "SPRING-26"
    assert (validated["valid"], validated["discount_amount"]) == (True, 1250)
    assert (redeemed["discount_amount"], redeemed["left"]["total"]) == (1250, 49)
    assert undone == shown
    assert (shown["state"], shown["reason"], shown["left"]["total"]) == ("rolled-back", "The order was cancelled.", 50)
