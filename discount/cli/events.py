"""Commands that list and follow events."""

from contextlib import suppress
from typing import Any

import click
import msgspec

from discount.api.routes import events as routes
from discount.api.schemas.events import EventsQuery
from discount.cli.asking import ask
from discount.cli.commands import CommandGroup
from discount.cli.fields import fields
from discount.cli.output import json_option, print_json

_HELPS = {"types": "Types of events, separated by commas; all types by default."}
#: Seconds for which one request waits for the next event.
WAIT = "25"


@click.group(cls=CommandGroup)
def event() -> None:
    """List and follow events."""


@event.command("list", operations=("list_events",), example="IKEA --types code.granted,code.redeemed")
@click.argument("brand_id", metavar="BRAND")
@fields(EventsQuery, exclude=("brand_id", "limit"), helps=_HELPS)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The most rows to show.")
@json_option
def list_events(as_json: bool, **given: Any) -> None:
    """List a brand's events, oldest first; with --after those after an event."""
    page = ask(routes, "list_events", {**given, "limit": str(given["limit"])})
    if as_json:
        print_json(page)
        return
    for event in page.events:
        _print(event)
    if page.next is not None:
        click.echo(f"Continue with: --after {page.next}", err=True)


@event.command(example="IKEA --types code.granted")
@click.argument("brand_id", metavar="BRAND")
@fields(EventsQuery, exclude=("brand_id", "limit", "wait"), helps=_HELPS)
@click.option("--json", "as_json", is_flag=True, help="Print one event per line, as the HTTP API returns it.")
def follow(as_json: bool, **given: Any) -> None:
    """Print a brand's events as they happen, until interrupted (Ctrl-C)."""
    with suppress(KeyboardInterrupt):
        while True:
            page = ask(routes, "list_events", {**given, "limit": "1000", "wait": WAIT})
            for event in page.events:
                print_json(event) if as_json else _print(event)
            given["after"] = page.next


def _print(event: Any) -> None:
    fields = msgspec.to_builtins(event)
    data = ", ".join(f"{name} {value}" for name, value in fields["data"].items() if value is not None)
    click.echo(f"{fields['time']}  {fields['id']}  {fields['type']}  {data}")
