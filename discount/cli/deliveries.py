"""Commands for deliveries: list, show and resend them."""

from typing import Any

import click

from discount.api.routes import deliveries as routes
from discount.api.schemas.deliveries import DeliveriesQuery, ResendIn, ResendOut
from discount.cli.asking import ask, ask_list, paged
from discount.cli.commands import CommandGroup
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_answer, print_json, print_page

_HELPS = {
    "type": "Only for events of this type.",
    "webhook_id": "Only to this webhook.",
    "since": "Only those planned at this time or later.",
    "state": "Only those in this state.",
    "kind": "Only webhook calls, or only e-mails.",
}
#: Deliveries that `resend-all` resends per request.
BATCH = "1000"


@click.group(cls=CommandGroup)
def delivery() -> None:
    """List, show and resend webhook calls and e-mails."""


@delivery.command("list", operations=("list_deliveries",), example="IKEA --state failed --since 2026-11-01T00:00:00Z")
@click.argument("brand_id", metavar="BRAND")
@fields(DeliveriesQuery, exclude=("brand_id", "limit", "cursor"), helps=_HELPS)
@paged
@json_option
def list_deliveries(as_json: bool, **given: Any) -> None:
    """List a brand's deliveries, newest first."""
    page = ask_list(routes, "list_deliveries", "deliveries", given)
    rows = ([each.id, each.kind, each.type, each.webhook_id or each.user_id or "the brand", each.state,
             str(each.attempts), each.status, minute(each.last_at)] for each in page.deliveries)  # fmt: skip
    print_page(page, as_json, ("id", "kind", "type", "to", "state", ">tries", "answer", "tried"), rows)


@delivery.command(operations=("show_delivery",), example="dlv-…")
@click.argument("delivery_id", metavar="ID")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show a delivery and the receiver's last answer."""
    print_answer(ask(routes, "show_delivery", given), as_json)


@delivery.command(operations=("resend_delivery",), example="dlv-…")
@click.argument("delivery_id", metavar="ID")
@json_option
def resend(as_json: bool, **given: Any) -> None:
    """Resend a delivery now, with all its attempts again. The event keeps its id."""
    print_answer(ask(routes, "resend_delivery", given), as_json)


@delivery.command("resend-all", operations=("resend_deliveries",), example="IKEA --webhook-id whk-…")
@click.argument("brand_id", metavar="BRAND")
@fields(ResendIn, exclude=("brand_id", "limit", "cursor"), helps=_HELPS)
@json_option
def resend_all(as_json: bool, **given: Any) -> None:
    """Resend all of a brand's deliveries that failed, or those in another state."""
    total, cursor = ResendOut(0, 0, None), None
    while True:
        batch = ask(routes, "resend_deliveries", {**given, "limit": BATCH, "cursor": cursor})
        total.resent_count += batch.resent_count
        total.refused_count += batch.refused_count
        cursor = batch.next
        if cursor is None:
            break
        click.echo(f"{total.resent_count:,} so far", err=True)
    if as_json:
        print_json(total)
        return
    click.echo(f"{total.resent_count:,} will be resent, {total.refused_count:,} cannot be resent")
