"""The table of problems in doc/problems.md, made from the advice that the service gives."""

import re

from discount.api.problem_pages import ADVICE
from discount.api.problems import STATUS

_TABLE = re.compile(r"(?<=<!-- words -->\n).*(?=<!-- end of words -->)", re.DOTALL)


def describe() -> str:
    """The table: each word with its status, when it is told, and what to do."""
    rows = [f"| `{word}` | {STATUS[word]} | {when} | {what} |" for word, (when, what) in ADVICE.items()]
    return "\n".join(["| word | status | when | what to do |", "|---|---|---|---|", *rows]) + "\n"


def renew(page: str) -> str:
    """A page with its table as it is."""
    return _TABLE.sub(lambda _: describe(), page)
