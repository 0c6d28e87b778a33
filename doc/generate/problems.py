"""The table of problems in doc/problems.md, made from the advice that the service gives."""

import re

from discount.api.problem_pages import ADVICE
from discount.api.problems import STATUS

_TABLE = re.compile(r"(?<=<!-- slugs -->\n).*(?=<!-- end of slugs -->)", re.DOTALL)


def describe() -> str:
    """Return the table: each slug with its status, when it is the answer, and what to do."""
    rows = [f"| `{slug}` | {STATUS[slug]} | {when} | {what} |" for slug, (when, what) in ADVICE.items()]
    return "\n".join(["| slug | status | when | what to do |", "|---|---|---|---|", *rows]) + "\n"


def renew(page: str) -> str:
    """Return the page with its table renewed."""
    return _TABLE.sub(lambda _: describe(), page)
