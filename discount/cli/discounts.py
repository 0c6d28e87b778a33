"""Commands for discounts: create, list, show, change, close and count them."""

from collections import Counter
from typing import Any

import click

from discount.api.routes import discounts as routes
from discount.api.schemas.discounts import (
    CloseQuery,
    DiscountChange,
    DiscountIn,
    DiscountQuery,
)
from discount.cli.asking import ask, ask_list, key_option, paged
from discount.cli.commands import Command
from discount.cli.context import open_store
from discount.cli.fields import fields, read
from discount.cli.output import json_option, print_answer, print_json, print_page, print_table, thousands
from discount.services.discount_lists import list_all
from discount.store.connection import Store

_TOTAL = {"total_count": ("--total", "--total-count")}
_HELPS = {
    "starts_at": "The time from which codes are granted and valid; RFC 3339.",
    "expires_at": "The time until which codes are granted and valid; RFC 3339.",
    "valid_for": "How long a code is valid after its grant; ISO 8601, such as P14D.",
    "claim_within": "How long after its grant an unused code goes to the next user or to the pool; ISO 8601.",
    "release__at": "The time from which codes are released at a pace; RFC 3339.",
    "release__per_minute": "How many codes are released in a minute.",
    "codes__prefix": "The beginning of unique codes.",
    "codes__code": "The shared code.",
    "codes__pattern": "The pattern of unique codes; each # becomes a character of the alphabet.",
    "codes__alphabet": "The characters of unique codes.",
    "codes__template": "The template of personal codes, such as '{brand}-thinks-{user}-is-awesome-{id}'.",
    "currency": "The currency of all amounts; ISO 4217.",
    "minimum_amount": "The least amount of an order, in minor units.",
    "maximum_discount": "The most that is taken off, in minor units.",
    "applies_to__skus": "Only lines with this SKU; * at the end stands for any ending.",
    "applies_to__categories": "Only lines of this category; * at the end stands for any ending.",
    "except__skus": "No lines with this SKU; * at the end stands for any ending.",
    "except__categories": "No lines of this category; * at the end stands for any ending.",
    "minimum_quantity": "The least pieces of what the discount is for.",
    "per": "Whether the rule takes off all its lines together, or off each of them.",
    "cheapest_lines": "Only so many of the lines, those with the lowest amounts.",
    "dearest_lines": "Only so many of the lines, those with the highest amounts.",
    "paused": "Stop granting and redeeming codes, or resume.",
    "limits__total": "How often codes may be redeemed in all.",
    "limits__per_user": "How often one user may redeem; 1 by default.",
    "limits__per_user_per_day": "How often one user may redeem in a day.",
    "limits__per_user_per_week": "How often one user may redeem in a week.",
    "limits__per_user_per_month": "How often one user may redeem in a month.",
    "limits__per_day": "How often codes may be redeemed in a day, by all users together.",
    "limits__per_week": "How often codes may be redeemed in a week, by all users together.",
    "limits__per_month": "How often codes may be redeemed in a month, by all users together.",
    "limits__windows": 'A rolling window, such as \'{"period": "PT24H", "per_user": 2}\'.',
    "limits__amount": "The most that may come off in all, by currency, in minor units: EUR=100000.",
    "limits__budget_caps": "Let the use that would pass the budget take what is left of it, or refuse it.",
    "opens": 'Hours in which codes can be redeemed: \'{"from": "17:00", "to": "19:00", "days": ["fri"]}\'.',
    "audience__groups": "A group whose users may use the discount.",
    "audience__lists": "A list of users who may use it, besides those in the groups.",
    "audience__first_order": "Only for users without an earlier order.",
    "audience__orders_at_least": "Only for users with so many earlier orders.",
    "audience__spent_at_least": "Only for users who have spent so much, in minor units.",
    "audience__at": "When the audience is judged; both by default.",
    "webhook_url": "The URL that is called for this discount's events.",
    "webhook_types": "A type of event to send; all types by default.",
}


@click.command(cls=Command, operations=("create_discount",), example="IKEA 'Christmas 2020 discount' --total 100")
@click.argument("brand_id", metavar="BRAND")
@click.argument("discount_code", metavar="NAME")
@fields(DiscountIn, exclude=("brand_id", "discount_code"), names=_TOTAL, helps=_HELPS)
@key_option
@json_option
def create(as_json: bool, **given: Any) -> None:
    """Create a discount with its codes and, with --webhook-url, its own webhook."""
    print_answer(ask(routes, "create_discount", given), as_json)


@click.command("list", cls=Command, operations=("list_discounts",), example="--brand IKEA --status active")
@fields(
    DiscountQuery,
    exclude=("limit", "cursor"),
    names={"brand_id": ("--brand", "--brand-id")},
    helps={"brand_id": "Only this brand's.", "status": "Only those with this status."},
)
@paged
@json_option
def list_discounts(as_json: bool, **given: Any) -> None:
    """List discounts, newest first."""
    page = ask_list(routes, "list_discounts", "discounts", given)
    rows = ([each.id, each.brand_id, each.discount_code, each.codes.kind, each.status,
             thousands(each.granted_count), thousands(each.total_count)] for each in page.discounts)  # fmt: skip
    print_page(page, as_json, ("id", "brand", "name", "codes", "status", ">granted", ">total"), rows)


@click.command(cls=Command, operations=("show_discount",), example="dsc-…")
@click.argument("discount_id", metavar="ID")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show a discount with its current counts."""
    print_answer(ask(routes, "show_discount", given), as_json)


@click.command(
    cls=Command, operations=("change_discount",), example="dsc-… --total 200 --limits-per-user 2 --expires-at none"
)
@click.argument("discount_id", metavar="ID")
@fields(DiscountChange, names=_TOTAL, helps=_HELPS | {"discount_code": "The discount's name."})
@click.option("--no-release", is_flag=True, help="Release all codes at once.")
@json_option
def change(as_json: bool, no_release: bool, **given: Any) -> None:
    """Pause, resume, rename, extend or resize a discount, or change its limits. Other fields stay as they are."""
    body = read(DiscountChange, given)
    body.release = None if no_release else body.release
    print_answer(ask(routes, "change_discount", given, body=body), as_json)


@click.command(cls=Command, operations=("close_discount",), example="dsc-… --granted-codes void")
@click.argument("discount_id", metavar="ID")
@fields(CloseQuery)
@json_option
def close(as_json: bool, **given: Any) -> None:
    """Close a discount for good. Codes that users hold stay valid, unless --granted-codes is void."""
    print_answer(ask(routes, "close_discount", given), as_json)


@click.command(cls=Command, example="--brand IKEA")
@click.option("--brand", "--brand-id", "brand_id", metavar="TEXT", help="Only this brand's.")
@json_option
def stats(brand_id: str | None, as_json: bool) -> None:
    """Count the discounts in each status, and their granted and remaining codes."""
    store = open_store()
    statuses, codes = _count(store, brand_id)
    if as_json:
        print_json({"discounts": statuses, "granted_count": codes["granted"], "remaining_count": codes["remaining"]})
        return
    print_table(("discounts", ">"), ([status, thousands(count)] for status, count in sorted(statuses.items())))
    print_table(("codes", ">"), ([name, thousands(count)] for name, count in codes.items()))


def _count(store: Store, brand_id: str | None) -> tuple[Counter[str], Counter[str]]:
    now = store.now()
    statuses, codes = Counter[str](), Counter(granted=0, remaining=0)
    for each in list_all(store, brand_id=brand_id):
        statuses[each.status(now)] += 1
        codes["granted"] += each.granted_count
        codes["remaining"] += each.remaining_count or 0
    return statuses, codes
