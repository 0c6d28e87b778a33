"""Commands of redemptions: codes at a checkout."""

import sys
from typing import Any

import click

from discount.api.routes import redemptions as routes
from discount.api.schemas.redemptions import (
    RedemptionIn,
    RedemptionsQuery,
    RollbackIn,
    ValidationIn,
)
from discount.cli.asking import ask, ask_list, key_option, paged
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_answer, print_page, print_stream, thousands
from discount.cli.verbs import Noun

_NAMES = {"brand_id": ("--brand", "--brand-id")}
_HELPS = {
    "discount_id": "The discount; with it or the brand, or both.",
    "order__id": "The order, by the shop's own id.",
    "order__amount": "What is to be paid, in minor units: 1050 is 10.50 EUR.",
    "hold_seconds": "Reserve the use for so many seconds only.",
    "state": "Only those in this state.",
    "since": "Redeemed at that time or later.",
    "until": "Redeemed before that time.",
    "reason": "Why the use is undone.",
}
_CHECKOUT = "'User 1' 'em5f sfzw ueqa' --brand IKEA --order-id A-17 --order-amount 10001 --order-currency EUR"


@click.group(cls=Noun)
def redemption() -> None:
    """Validate and redeem codes, hold, confirm and roll back uses."""


@redemption.command(does=("validate_code",), example=_CHECKOUT)
@click.argument("user_id", metavar="USER")
@click.argument("code", metavar="CODE")
@fields(ValidationIn, but=("user_id", "code"), names=_NAMES, helps=_HELPS)
@json_option
def validate(as_json: bool, **given: Any) -> None:
    """Tell what a code would take off an order, and all that stands in the way. Ends with 1 if something does."""
    told = ask(routes, "validate_code", given)
    print_answer(told, as_json)
    if not told.valid:
        sys.exit(1)


@redemption.command(does=("redeem_code",), example=_CHECKOUT)
@click.argument("user_id", metavar="USER")
@click.argument("code", metavar="CODE")
@fields(RedemptionIn, but=("user_id", "code"), names=_NAMES, helps=_HELPS)
@key_option
@json_option
def redeem(as_json: bool, **given: Any) -> None:
    """Use a code for an order, or hold it with --hold-seconds. The same order again gets the first answer."""
    print_answer(ask(routes, "redeem_code", given), as_json)


@redemption.command(does=("show_redemption",), example="rdm-…")
@click.argument("redemption_id", metavar="ID")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show a redemption with its state."""
    print_answer(ask(routes, "show_redemption", given), as_json)


@redemption.command(does=("confirm_redemption",), example="rdm-…")
@click.argument("redemption_id", metavar="ID")
@json_option
def confirm(as_json: bool, **given: Any) -> None:
    """Make a held use final."""
    print_answer(ask(routes, "confirm_redemption", given), as_json)


@redemption.command(does=("roll_back_redemption",), example="rdm-… --reason returned")
@click.argument("redemption_id", metavar="ID")
@fields(RollbackIn, helps=_HELPS)
@json_option
def rollback(as_json: bool, **given: Any) -> None:
    """Undo a use or give a hold up: it comes back to the limits, once."""
    print_answer(ask(routes, "roll_back_redemption", given), as_json)


@redemption.command("list", does=("list_redemptions",), example="dsc-… --state redeemed --since 2026-11-01T00:00:00Z")
@click.argument("discount_id", metavar="DISCOUNT")
@fields(RedemptionsQuery, but=("limit", "cursor"), helps=_HELPS)
@paged
@json_option
def list_redemptions(as_json: bool, **given: Any) -> None:
    """List a discount's redemptions, newest first: a table, or everything as CSV."""
    if given["format"] == "csv":
        print_stream(ask(routes, "list_redemptions", {**given, "limit": None}))
        return
    print_redemptions(ask_list(routes, "list_redemptions", "redemptions", given), as_json)


def print_redemptions(page: Any, as_json: bool) -> None:
    """Print a page of redemptions."""
    rows = ([each.id, each.user_id, each.code, each.state, each.order.id, thousands(each.order.amount),
             thousands(each.discount_amount), each.order.currency, minute(each.redeemed_at)]
            for each in page.redemptions)  # fmt: skip
    head = ("id", "user", "code", "state", "order", ">amount", ">off", "currency", "redeemed")
    print_page(page, as_json, head, rows)
