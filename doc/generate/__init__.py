"""Parts of pages that are made from the code. A test asks that each page is what `make docs` writes."""

from collections.abc import Callable

from doc.generate import commands, events, limits, problems

#: By page: what renews it.
PAGES: dict[str, Callable[[str], str]] = {
    "command-line.md": commands.renew,
    "events.md": events.renew,
    "limits.md": limits.renew,
    "problems.md": problems.renew,
}
