"""The curl calls of a page, sent to the service."""

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
    answers: list[tuple[int, Any]] = []
    discount_id = ""
    for words in calls:
        assert words[0] == "curl"
        method, url = words[1].removeprefix("-X"), words[2]
        kind = words[words.index("-H") + 1].removeprefix("Content-Type: ") if "-H" in words else None
        body = next((words[words.index(name) + 1] for name in ("-d", "--data-binary") if name in words), None)
        # An answer before it has the id.
        path = url.removeprefix("http://localhost:8000").replace("dsc-…", discount_id)
        answer = client.http.open(path, method=method, data=body, content_type=kind)
        answers.append((answer.status_code, answer.get_json()))
        discount_id = discount_id or str(answers[0][1].get("id"))
    return answers
