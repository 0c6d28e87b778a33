"""Commands that show the past: who holds a code, figures over time, and changes."""

from collections.abc import Mapping
from typing import Any

import click

from discount.api.routes import history as routes
from discount.api.schemas.history import ChangesQuery, FiguresQuery, ForecastOut, OwnerOut, TotalOut
from discount.cli.asking import ask
from discount.cli.commands import Command
from discount.cli.fields import fields
from discount.cli.output import amount, json_option, minute, print_json, print_table, thousands


@click.command("find", cls=Command, operations=("find_code",), example="IKEA EM5F-SFZW-UEQA")
@click.argument("brand_id", metavar="BRAND")
@click.argument("code", metavar="CODE")
@json_option
def find_code(as_json: bool, **given: Any) -> None:
    """Find a code of a brand: its discount, who was granted it, and what happened since."""
    found = ask(routes, "find_code", given)
    if as_json:
        print_json(found)
        return
    for each in found.unheld:
        click.echo(f"Nobody holds it. It is a code of {_owner(each)}.")
    for holder in found.holders:
        owner = holder.discount_id if holder.discount is None else _owner(holder.discount)
        click.echo(f"{holder.code}: {_STATES[holder.state]} {holder.user_id}, of {owner}.")
        sent = [
            (minute(each.last_at or each.created_at), f"{each.kind} {each.type}", f"{each.state} {each.status}".strip())
            for each in holder.deliveries
        ]
        print_table(("", "", ""), [*((minute(each.time), each.type, "") for each in holder.history), *sent])


_STATES = {
    "granted": "held by",
    "void": "taken back, void, from",
    "pool": "taken back into the pool from",
    "next": "passed on from",
}


def _owner(owner: OwnerOut) -> str:
    return f"{owner.discount_code} ({owner.id}, {owner.kind}, {owner.status})"


@click.command(
    cls=Command, operations=("show_figures_of_discount", "show_figures_of_brand"), example="dsc-… --step hour"
)
@click.argument("discount_id", metavar="ID", required=False)
@click.option("--brand", "brand_id", metavar="BRAND", help="All discounts of a brand, instead of one discount.")
@fields(FiguresQuery)
@json_option
def figures(as_json: bool, discount_id: str | None, brand_id: str | None, **given: Any) -> None:
    """Show the figures of a discount, or of all discounts of a brand, over time."""
    if (discount_id is None) == (brand_id is None):
        raise click.UsageError("Give either ID or --brand.")
    if brand_id is not None:
        found = ask(routes, "show_figures_of_brand", given | {"brand_id": brand_id})
    else:
        found = ask(routes, "show_figures_of_discount", given | {"discount_id": discount_id})
    if as_json:
        print_json(found)
        return
    rows = [(minute(each.at), *_numbers(each, found.decimals)) for each in found.figures]
    print_table(
        ("from", ">granted", ">again", ">redeemed", ">rolled back", ">refused", "taken off"),
        [*rows, ("total", *_numbers(found.total, found.decimals))],
    )
    forecasts = found.forecasts if brand_id is not None else [found.forecast] if found.forecast else []
    for each in forecasts:
        ends = "not before its end" if each.runs_out_at is None else f"at {minute(each.runs_out_at)}"
        left = f"{each.remaining_count:,} codes left"
        click.echo(f"{each.discount_code} ({each.discount_id}) runs out {ends}: {left}, {_pace(each)}")


def _numbers(sums: TotalOut, decimals: Mapping[str, int]) -> tuple[str, ...]:
    refused = sum(sums.refused_grants.values()) + sum(sums.refused_redemptions.values())
    counts = (sums.granted, sums.repeated, sums.redeemed, sums.rolled_back, refused)
    off = (amount(value, currency, decimals[currency]) for currency, value in sums.discount_amounts.items())
    return *map(thousands, counts), ", ".join(off)


def _pace(forecast: ForecastOut) -> str:
    return f"{forecast.granted:,} granted since {minute(forecast.since)}"


@click.command(cls=Command, operations=("list_changes",), example="IKEA --limit 20")
@click.argument("brand_id", metavar="BRAND")
@fields(ChangesQuery, exclude=("brand_id",))
@json_option
def changes(as_json: bool, **given: Any) -> None:
    """List what was changed about a brand's discounts and by whom, newest first."""
    page = ask(routes, "list_changes", given)
    if as_json:
        print_json(page)
        return
    print_table(
        ("time", "discount", "change", "by", "before", "after"),
        (
            (minute(each.time), each.discount_id, each.type, each.by, _settings(each.before), _settings(each.after))
            for each in page.changes
        ),
    )
    if page.next is not None:
        click.echo(f"Continue with: --after {page.next}", err=True)


def _settings(values: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in values.items())
