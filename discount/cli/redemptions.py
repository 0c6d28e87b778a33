"""Commands for redemptions: validate and redeem codes, and follow up on their uses."""

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
from discount.cli.commands import CommandGroup
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_answer, print_page, print_stream, thousands

_NAMES = {"brand_id": ("--brand", "--brand-id"), "order__lines": ("--order-line",)}
_HELPS = {
    "discount_id": "The discount. Either it or the brand is needed.",
    "order__id": "The shop's id of the order.",
    "order__lines": 'A line of the order, such as \'{"id": "1", "amount": 500, "sku": "CHAIR-17"}\'.',
    "order__amount": "The amount of the order, in minor units: 1050 is 10.50 EUR.",
    "hold_seconds": "Hold the use for this many seconds instead of making it final.",
    "state": "Only those in this state.",
    "since": "Only those redeemed at this time or later.",
    "until": "Only those redeemed before this time.",
    "reason": "The reason for the rollback.",
}
_CHECKOUT = "'User 1' 'em5f sfzw ueqa' --brand IKEA --order-id A-17 --order-amount 10001 --order-currency EUR"


@click.group(cls=CommandGroup)
def redemption() -> None:
    """Validate and redeem codes; hold, confirm and roll back redemptions."""


@redemption.command(operations=("validate_code",), example=_CHECKOUT)
@click.argument("user_id", metavar="USER")
@click.argument("codes", metavar="[CODE]...", nargs=-1)
@fields(ValidationIn, exclude=("user_id", "code", "codes"), names=_NAMES, helps=_HELPS)
@json_option
def validate(as_json: bool, codes: tuple[str, ...], **given: Any) -> None:
    """Show what codes take off an order, or all reasons why they are not valid. Without one, show all that fit.

    The exit code is 1 if a code is not valid, or none fits.
    """
    verdict = ask(routes, "validate_code", given | _codes(codes))
    print_answer(verdict, as_json)
    if not all(each.valid for each in getattr(verdict, "codes", [verdict])) or getattr(verdict, "codes", None) == []:
        sys.exit(1)


@redemption.command(operations=("redeem_code",), example=_CHECKOUT)
@click.argument("user_id", metavar="USER")
@click.argument("codes", metavar="CODE...", nargs=-1, required=True)
@fields(RedemptionIn, exclude=("user_id", "code", "codes"), names=_NAMES, helps=_HELPS)
@key_option
@json_option
def redeem(as_json: bool, codes: tuple[str, ...], **given: Any) -> None:
    """Redeem codes for an order, or hold them with --hold-seconds. Repeating an order returns the first answer."""
    print_answer(ask(routes, "redeem_code", given | _codes(codes)), as_json)


@redemption.command(operations=("show_redemption",), example="rdm-…")
@click.argument("redemption_id", metavar="ID")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show a redemption and its state."""
    print_answer(ask(routes, "show_redemption", given), as_json)


@redemption.command(operations=("confirm_redemption",), example="rdm-…")
@click.argument("redemption_id", metavar="ID")
@json_option
def confirm(as_json: bool, **given: Any) -> None:
    """Make a held redemption final."""
    print_answer(ask(routes, "confirm_redemption", given), as_json)


@redemption.command(operations=("roll_back_redemption",), example="rdm-… --reason returned")
@click.argument("redemption_id", metavar="ID")
@fields(RollbackIn, helps=_HELPS)
@json_option
def rollback(as_json: bool, **given: Any) -> None:
    """Undo a redemption or release a hold. The limits get the use back, unless the discount has --no-returns-use."""
    print_answer(ask(routes, "roll_back_redemption", given), as_json)


@redemption.command(
    "list", operations=("list_redemptions",), example="dsc-… --state redeemed --since 2026-11-01T00:00:00Z"
)
@click.argument("discount_id", metavar="DISCOUNT")
@fields(RedemptionsQuery, exclude=("limit", "cursor"), helps=_HELPS)
@paged
@json_option
def list_redemptions(as_json: bool, **given: Any) -> None:
    """List a discount's redemptions, newest first: a table, or everything as CSV."""
    if given["format"] == "csv":
        print_stream(ask(routes, "list_redemptions", {**given, "limit": None}))
        return
    print_redemptions(ask_list(routes, "list_redemptions", "redemptions", given), as_json)


def _codes(codes: tuple[str, ...]) -> dict[str, Any]:
    """Return the field of a checkout for its codes."""
    if not codes:
        return {}
    return {"code": codes[0]} if len(codes) == 1 else {"codes": codes}


def print_redemptions(page: Any, as_json: bool) -> None:
    """Print a page of redemptions."""
    rows = ([each.id, each.user_id, each.code, each.state, each.order.id, thousands(each.order.amount),
             thousands(each.discount_amount), each.order.currency, minute(each.redeemed_at)]
            for each in page.redemptions)  # fmt: skip
    head = ("id", "user", "code", "state", "order", ">amount", ">off", "currency", "redeemed")
    print_page(page, as_json, head, rows)
