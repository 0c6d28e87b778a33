"""Commands of webhooks: where a brand is told of what happens."""

from typing import Any

import click

from discount.api.routes import webhooks as routes
from discount.api.schemas.webhooks import WebhookChange, WebhookIn
from discount.cli.asking import ask, key_option
from discount.cli.fields import fields
from discount.cli.output import json_option, print_answer, print_json, print_table
from discount.cli.verbs import Noun

_HELPS = {
    "discount_id": "Of this discount alone, as its own webhook.",
    "types": "A type of events to be told; all of them without any.",
    "on": "Call it again, or no more.",
}


@click.group(cls=Noun)
def webhook() -> None:
    """Make, change, test and remove webhooks."""


@webhook.command(does=("create_webhook",), example="IKEA https://ikea.example/discounts --types code.granted")
@click.argument("brand_id", metavar="BRAND")
@click.argument("url", metavar="URL")
@fields(WebhookIn, but=("brand_id", "url"), helps=_HELPS)
@key_option
@json_option
def create(as_json: bool, **given: Any) -> None:
    """Make a webhook of a brand, or of one of its discounts; its secret is shown this once.

    The secret comes of the SECRET of the service: set the same one here.
    """
    print_answer(ask(routes, "create_webhook", given), as_json)


@webhook.command("list", does=("list_webhooks",), example="IKEA")
@click.argument("brand_id", metavar="BRAND")
@json_option
def list_webhooks(as_json: bool, **given: Any) -> None:
    """List the webhooks that a brand has for all of its discounts; a discount's own is named by the discount."""
    found = ask(routes, "list_webhooks", given)
    if as_json:
        print_json(found)
        return
    rows = ([each.id, each.url, " ".join(each.types), "on" if each.on else each.off_reason] for each in found.webhooks)
    print_table(("id", "url", "types", "state"), rows)


@webhook.command(does=("show_webhook",), example="whk-…")
@click.argument("webhook_id", metavar="ID")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show a webhook, and how it goes."""
    print_answer(ask(routes, "show_webhook", given), as_json)


@webhook.command(does=("change_webhook",), example="whk-… --on")
@click.argument("webhook_id", metavar="ID")
@fields(WebhookChange, names={"on": ("--on/--off",)}, helps=_HELPS)
@json_option
def change(as_json: bool, **given: Any) -> None:
    """Change where a webhook goes or what it tells, or switch it on or off."""
    print_answer(ask(routes, "change_webhook", given), as_json)


@webhook.command(does=("remove_webhook",), example="whk-…")
@click.argument("webhook_id", metavar="ID")
def remove(**given: Any) -> None:
    """Take a webhook away."""
    ask(routes, "remove_webhook", given)


@webhook.command(does=("rotate_secret",), example="whk-…")
@click.argument("webhook_id", metavar="ID")
@json_option
def secret(as_json: bool, **given: Any) -> None:
    """Give a webhook a new secret, shown this once; for a day the one before signs too."""
    print_answer(ask(routes, "rotate_secret", given), as_json)


@webhook.command(does=("test_webhook",), example="whk-…")
@click.argument("webhook_id", metavar="ID")
@json_option
def test(as_json: bool, **given: Any) -> None:
    """Send a webhook an event of type `webhook.test`; `delivery show` tells how that went."""
    print_answer(ask(routes, "test_webhook", given), as_json)
