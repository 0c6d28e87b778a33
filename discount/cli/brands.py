"""Commands of brands."""

from typing import Any

import click

from discount.api.routes import brands as routes
from discount.api.routes import grants
from discount.api.schemas.brands import BrandChange, BrandIn
from discount.api.schemas.grants import GrantIn
from discount.cli.asking import ask, ask_list, paged
from discount.cli.context import find_settings
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_answer, print_json, print_page
from discount.cli.verbs import Noun

_HELPS = {
    "name": "As people know it; the id if left out.",
    "email": "Where the brand is reached.",
    "mails_off": "An e-mail that is not to be sent.",
}


@click.group(cls=Noun)
def brand() -> None:
    """Make, list, change and close brands."""


@brand.command("create", does=("create_brand",), example="IKEA --email shop@ikea.example")
@click.argument("brand_id", metavar="BRAND")
@fields(BrandIn, but=("id",), helps=_HELPS)
@click.option("--no-key", is_flag=True, help="Make no key, and print the brand.")
@json_option
def create_brand(brand_id: str, no_key: bool, as_json: bool, **given: Any) -> None:
    """Make a brand with a first API key, and print the key: it is shown this once.

    Where no SECRET is set, as in an open service, which needs no keys, the brand alone is made and printed.
    """
    made = ask(routes, "create_brand", given | {"id": brand_id})
    if no_key or not find_settings().secret:
        print_answer(made, as_json)
        return
    first = ask(routes, "create_key", {"brand_id": brand_id, "name": "first"})
    print_json(first) if as_json else click.echo(first.key)


@brand.command("list", does=("list_brands",), example="--limit 1000")
@paged
@json_option
def list_brands(as_json: bool, **given: Any) -> None:
    """List brands, newest first."""
    page = ask_list(routes, "list_brands", "brands", given)
    rows = ([each.id, each.name, each.email or "", minute(each.closed_at)] for each in page.brands)
    print_page(page, as_json, ("id", "name", "e-mail", "closed"), rows)


@brand.command("show", does=("show_brand",), example="IKEA")
@click.argument("brand_id", metavar="BRAND")
@json_option
def show_brand(as_json: bool, **given: Any) -> None:
    """Show a brand."""
    print_answer(ask(routes, "show_brand", given), as_json)


@brand.command("change", does=("change_brand",), example="IKEA --email none --mails-off sold-out")
@click.argument("brand_id", metavar="BRAND")
@fields(BrandChange, helps=_HELPS)
@json_option
def change_brand(as_json: bool, **given: Any) -> None:
    """Change a brand's name or e-mail, or which e-mails are sent to it and to its users."""
    print_answer(ask(routes, "change_brand", given), as_json)


@brand.command("close", does=("close_brand",), example="IKEA")
@click.argument("brand_id", metavar="BRAND")
@json_option
def close_brand(as_json: bool, **given: Any) -> None:
    """Close a brand for good: revoke its keys, close its discounts. Codes that users hold stay good."""
    closed = ask(routes, "close_brand", given)
    print_json(closed) if as_json else click.echo(f"{closed.id} is closed")


@brand.command("grant", does=("grant_code_of_brand",), example="IKEA 'User 1'")
@click.argument("brand_id", metavar="BRAND")
@click.argument("user_id", metavar="USER")
@fields(GrantIn, but=("user_id",), helps={"email": "Where the brand reaches the user."})
@json_option
def grant(as_json: bool, **given: Any) -> None:
    """Hand a user a code of any open discount of a brand, or show the one held already."""
    granted = ask(grants, "grant_code_of_brand", given)
    print_json(granted) if as_json else click.echo(granted.code)
