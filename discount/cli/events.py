"""Commands of events: what has happened, in order."""

from contextlib import suppress
from typing import Any

import click
import msgspec

from discount.api.routes import events as routes
from discount.api.schemas.events import EventsQuery
from discount.cli.asking import ask
from discount.cli.fields import fields
from discount.cli.output import json_option, print_json
from discount.cli.verbs import Noun

_HELPS = {"types": "Some types, with commas between; all of them if left out."}
#: Seconds for which one look waits for the next event.
LOOK = "25"


@click.group(cls=Noun)
def event() -> None:
    """Replay and follow what has happened."""


@event.command("list", does=("list_events",), example="IKEA --types code.granted,code.redeemed")
@click.argument("brand_id", metavar="BRAND")
@fields(EventsQuery, but=("brand_id", "limit"), helps=_HELPS)
@click.option("--limit", type=click.IntRange(1, 1000), default=100, show_default=True, help="The most to be shown.")
@json_option
def list_events(as_json: bool, **given: Any) -> None:
    """Replay a brand's events in order, those after an event if one is named."""
    page = ask(routes, "list_events", {**given, "limit": str(given["limit"])})
    if as_json:
        print_json(page)
        return
    for each in page.events:
        _print(each)
    if page.next is not None:
        click.echo(f"To go on: --after {page.next}", err=True)


@event.command(example="IKEA --types code.granted")
@click.argument("brand_id", metavar="BRAND")
@fields(EventsQuery, but=("brand_id", "limit", "wait"), helps=_HELPS)
@click.option("--json", "as_json", is_flag=True, help="Print an event of HTTP a line.")
def follow(as_json: bool, **given: Any) -> None:
    """Print a brand's events as they happen, until it is stopped (Ctrl-C)."""
    with suppress(KeyboardInterrupt):
        while True:
            page = ask(routes, "list_events", {**given, "limit": "1000", "wait": LOOK})
            for each in page.events:
                print_json(each) if as_json else _print(each)
            given["after"] = page.next


def _print(event: Any) -> None:
    told = msgspec.to_builtins(event)
    data = ", ".join(f"{name} {value}" for name, value in told["data"].items() if value is not None)
    click.echo(f"{told['time']}  {told['id']}  {told['type']}  {data}")
