"""Commands for webhooks."""

from typing import Any

import click

from discount.api.routes import webhooks as routes
from discount.api.schemas.webhooks import WebhookChange, WebhookIn
from discount.cli.asking import ask, key_option
from discount.cli.commands import CommandGroup
from discount.cli.fields import fields
from discount.cli.output import json_option, print_answer, print_json, print_table

_HELPS = {
    "discount_id": "Send only this discount's events.",
    "types": "A type of event to send; all types by default.",
    "on": "Switch the webhook on or off.",
}


@click.group(cls=CommandGroup)
def webhook() -> None:
    """Create, change, test and remove webhooks."""


@webhook.command(operations=("create_webhook",), example="IKEA https://ikea.example/discounts --types code.granted")
@click.argument("brand_id", metavar="BRAND")
@click.argument("url", metavar="URL")
@fields(WebhookIn, exclude=("brand_id", "url"), helps=_HELPS)
@key_option
@json_option
def create(as_json: bool, **given: Any) -> None:
    """Create a webhook for a brand or one of its discounts. Its secret cannot be shown again.

    The secret is made from the SECRET of the service, so SECRET must be set to the same value here.
    """
    print_answer(ask(routes, "create_webhook", given), as_json)


@webhook.command("list", operations=("list_webhooks",), example="IKEA")
@click.argument("brand_id", metavar="BRAND")
@json_option
def list_webhooks(as_json: bool, **given: Any) -> None:
    """List the webhooks that a brand has for all its discounts. `discount show` names a discount's own webhook."""
    listed = ask(routes, "list_webhooks", given)
    if as_json:
        print_json(listed)
        return
    rows = ([each.id, each.url, " ".join(each.types), "on" if each.on else each.off_reason] for each in listed.webhooks)
    print_table(("id", "url", "types", "state"), rows)


@webhook.command(operations=("show_webhook",), example="whk-…")
@click.argument("webhook_id", metavar="ID")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show a webhook and whether it is on, failing or off."""
    print_answer(ask(routes, "show_webhook", given), as_json)


@webhook.command(operations=("change_webhook",), example="whk-… --on")
@click.argument("webhook_id", metavar="ID")
@fields(WebhookChange, names={"on": ("--on/--off",)}, helps=_HELPS)
@json_option
def change(as_json: bool, **given: Any) -> None:
    """Change a webhook's URL or types of events, or switch it on or off."""
    print_answer(ask(routes, "change_webhook", given), as_json)


@webhook.command(operations=("remove_webhook",), example="whk-…")
@click.argument("webhook_id", metavar="ID")
def remove(**given: Any) -> None:
    """Remove a webhook."""
    ask(routes, "remove_webhook", given)


@webhook.command(operations=("rotate_secret",), example="whk-…")
@click.argument("webhook_id", metavar="ID")
@json_option
def secret(as_json: bool, **given: Any) -> None:
    """Give a webhook a new secret. It cannot be shown again. For a day the old secret signs, too."""
    print_answer(ask(routes, "rotate_secret", given), as_json)


@webhook.command(operations=("test_webhook",), example="whk-…")
@click.argument("webhook_id", metavar="ID")
@json_option
def test(as_json: bool, **given: Any) -> None:
    """Send a webhook an event of type `webhook.test`. `discount delivery show` shows its outcome."""
    print_answer(ask(routes, "test_webhook", given), as_json)
