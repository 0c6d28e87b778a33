"""Parts of pages that are made from the code. A test checks that each page is what `make docs` writes."""

from collections.abc import Callable

from doc.generate import commands, events, floors, limits, problems, settings

#: The function that renews each page.
PAGES: dict[str, Callable[[str], str]] = {
    "architecture.md": floors.renew,
    "command-line.md": commands.renew,
    "events.md": events.renew,
    "limits.md": limits.renew,
    "problems.md": problems.renew,
    "settings.md": settings.renew,
}
