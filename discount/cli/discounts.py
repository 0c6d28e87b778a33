"""Commands of discounts: `discount create` and what follows in a discount's life."""

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
from discount.cli.context import open_store
from discount.cli.fields import fields
from discount.cli.output import json_option, print_answer, print_json, print_page, print_table, thousands
from discount.cli.verbs import Verb
from discount.services.discounts import list_all
from discount.store.connection import Store

_TOTAL = {"total_count": ("--total", "--total-count")}
_HELPS = {
    "starts_at": "From when on codes are granted and good; RFC 3339.",
    "expires_at": "Until when codes are granted and good; RFC 3339.",
    "valid_for": "For how long a code is good after its grant; ISO 8601, as P14D.",
    "codes__prefix": "What unique codes begin with.",
    "codes__code": "The shared code.",
    "codes__pattern": "Of unique codes; each # becomes a letter of the alphabet.",
    "codes__alphabet": "The letters of unique codes.",
    "codes__template": "Of personal codes, as '{brand}-thinks-{user}-is-awesome-{id}'.",
    "currency": "ISO 4217, of all amounts.",
    "minimum_amount": "What an order must reach, in minor units.",
    "maximum_discount": "The most that comes off, in minor units.",
    "paused": "Grant and redeem nothing for now, or go on.",
    "limits__total": "How often codes may be redeemed in all.",
    "limits__per_user": "How often by one user; 1 unless it is said.",
    "limits__per_user_per_day": "How often by one user in a day.",
    "limits__per_user_per_week": "How often by one user in a week.",
    "webhook_url": "Where the brand is told of this discount's events.",
    "webhook_types": "Types of events to be told; all of them without any.",
}


@click.command(cls=Verb, does=("create_discount",), example="IKEA 'Christmas 2020 discount' --total 100")
@click.argument("brand_id", metavar="BRAND")
@click.argument("discount_code", metavar="NAME")
@fields(DiscountIn, but=("brand_id", "discount_code"), names=_TOTAL, helps=_HELPS)
@key_option
@json_option
def create(as_json: bool, **given: Any) -> None:
    """Create a discount with its codes, and a webhook of its own, if it is to have one."""
    print_answer(ask(routes, "create_discount", given), as_json)


@click.command("list", cls=Verb, does=("list_discounts",), example="--brand IKEA --status active")
@fields(
    DiscountQuery,
    but=("limit", "cursor"),
    names={"brand_id": ("--brand", "--brand-id")},
    helps={"brand_id": "Only this brand's.", "status": "Only those that are so."},
)
@paged
@json_option
def list_discounts(as_json: bool, **given: Any) -> None:
    """List discounts, newest first."""
    page = ask_list(routes, "list_discounts", "discounts", given)
    rows = ([each.id, each.brand_id, each.discount_code, each.codes.kind, each.status,
             thousands(each.granted_count), thousands(each.total_count)] for each in page.discounts)  # fmt: skip
    print_page(page, as_json, ("id", "brand", "name", "codes", "status", ">granted", ">total"), rows)


@click.command(cls=Verb, does=("show_discount",), example="dsc-…")
@click.argument("discount_id", metavar="ID")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show a discount with its live counts."""
    print_answer(ask(routes, "show_discount", given), as_json)


@click.command(cls=Verb, does=("change_discount",), example="dsc-… --total 200 --limits-per-user 2 --expires-at none")
@click.argument("discount_id", metavar="ID")
@fields(DiscountChange, names=_TOTAL, helps=_HELPS | {"discount_code": "Its name."})
@json_option
def change(as_json: bool, **given: Any) -> None:
    """Pause, resume, rename, extend or resize a discount, or change its limits. What is left out stays."""
    print_answer(ask(routes, "change_discount", given), as_json)


@click.command(cls=Verb, does=("close_discount",), example="dsc-… --granted-codes void")
@click.argument("discount_id", metavar="ID")
@fields(CloseQuery)
@json_option
def close(as_json: bool, **given: Any) -> None:
    """Close a discount for good. Codes that users hold stay good, unless they are to be void."""
    print_answer(ask(routes, "close_discount", given), as_json)


@click.command(cls=Verb, example="--brand IKEA")
@click.option("--brand", "--brand-id", "brand_id", metavar="TEXT", help="Only this brand's.")
@json_option
def stats(brand_id: str | None, as_json: bool) -> None:
    """Count discounts by status, and their codes."""
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
