"""The curl calls of a page, sent to the service."""

import json
import re
import shlex
from pathlib import Path
from typing import Any

from tests.api.client import Client

DOC = Path(__file__).parents[2] / "doc"


def send_calls(client: Client, page: str) -> list[tuple[int, Any]]:
    """Send the calls in the first block of a page from top to bottom; return the status and the body of each answer."""
    block = re.findall(r"```\n(.*?)```", (DOC / page).read_text(encoding="utf-8"), re.DOTALL)[0]
    calls = [shlex.split(each) for each in re.split(r"^(?=curl)", block, flags=re.MULTILINE) if each]
    answers = []
    for words in calls:
        assert words[0] == "curl"
        method, url = words[1].removeprefix("-X"), words[2]
        body = json.loads(words[words.index("-d") + 1]) if "-d" in words else None
        answer = client.http.open(url.removeprefix("http://localhost:8000"), method=method, json=body)
        answers.append((answer.status_code, answer.get_json()))
    return answers
