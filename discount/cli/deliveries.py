"""Commands of deliveries: what was sent to whom, how it went, once more."""

from typing import Any

import click

from discount.api.routes import deliveries as routes
from discount.api.schemas.deliveries import DeliveriesQuery, ResendIn, ResendOut
from discount.cli.asking import ask, ask_list, paged
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_answer, print_json, print_page
from discount.cli.verbs import Noun

_HELPS = {
    "type": "Of this type of event.",
    "webhook_id": "To this webhook.",
    "since": "Planned at that time or later.",
    "state": "Those in this state.",
    "kind": "Webhook calls, or e-mails.",
}
#: Deliveries that are made again in one step.
STEP = "1000"


@click.group(cls=Noun)
def delivery() -> None:
    """List and show webhook calls and e-mails, and make them again."""


@delivery.command("list", does=("list_deliveries",), example="IKEA --state failed --since 2026-11-01T00:00:00Z")
@click.argument("brand_id", metavar="BRAND")
@fields(DeliveriesQuery, but=("brand_id", "limit", "cursor"), helps=_HELPS)
@paged
@json_option
def list_deliveries(as_json: bool, **given: Any) -> None:
    """List a brand's deliveries, newest first."""
    page = ask_list(routes, "list_deliveries", "deliveries", given)
    rows = ([each.id, each.kind, each.type, each.webhook_id or each.user_id or "the brand", each.state,
             str(each.attempts), each.status, minute(each.last_at)] for each in page.deliveries)  # fmt: skip
    print_page(page, as_json, ("id", "kind", "type", "to", "state", ">tries", "answer", "tried"), rows)


@delivery.command(does=("show_delivery",), example="dlv-…")
@click.argument("delivery_id", metavar="ID")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show a delivery, and what the other side said last."""
    print_answer(ask(routes, "show_delivery", given), as_json)


@delivery.command(does=("resend_delivery",), example="dlv-…")
@click.argument("delivery_id", metavar="ID")
@json_option
def resend(as_json: bool, **given: Any) -> None:
    """Make a delivery once more, now and with all its tries; the event's id stays the same."""
    print_answer(ask(routes, "resend_delivery", given), as_json)


@delivery.command("resend-all", does=("resend_deliveries",), example="IKEA --webhook-id whk-…")
@click.argument("brand_id", metavar="BRAND")
@fields(ResendIn, but=("brand_id", "limit", "cursor"), helps=_HELPS)
@json_option
def resend_all(as_json: bool, **given: Any) -> None:
    """Make all of a brand's deliveries once more that failed, or are in another state."""
    done, cursor = ResendOut(0, 0, None), None
    while True:
        some = ask(routes, "resend_deliveries", {**given, "limit": STEP, "cursor": cursor})
        done.resent_count += some.resent_count
        done.refused_count += some.refused_count
        cursor = some.next
        if cursor is None:
            break
        click.echo(f"{done.resent_count:,} so far", err=True)
    if as_json:
        print_json(done)
        return
    click.echo(f"{done.resent_count:,} wait again, {done.refused_count:,} could not be sent again")
