"""Commands for brands."""

from datetime import datetime
from typing import Any

import click
from msgspec.structs import replace

from discount.api.routes import brands as routes
from discount.api.routes import grants
from discount.api.schemas.brands import BrandChange, BrandIn
from discount.api.schemas.grants import GrantIn
from discount.cli.asking import ask, ask_list, paged
from discount.cli.commands import CommandGroup
from discount.cli.context import find_settings, open_store
from discount.cli.fields import fields, read
from discount.cli.ledger import open_ledger
from discount.cli.output import json_option, minute, print_answer, print_json, print_page
from discount.domain.digests import Digest
from discount.ledger.figures import Figures
from discount.services import brands
from discount.worker import digests

_HELPS = {
    "name": "The brand's display name; by default its id.",
    "email": "The brand's e-mail address.",
    "mails_off": "A type of e-mail not to send.",
    "digest__email": "The address of the daily digest; by default the brand's.",
    "quotas__discounts": "The most discounts of the brand, or `off` for no limit.",
    "quotas__codes": "The most codes of the brand, or `off` for no limit.",
    "quotas__grants_a_day": "The most grants of the brand per day, or `off` for no limit.",
    "quotas__emails_a_day": "The most e-mails of the brand per day, or `off` for no limit.",
    "quotas__stored_bytes": "The most bytes stored for the brand, or `off` for no limit.",
}


@click.group(cls=CommandGroup)
def brand() -> None:
    """Create, list, change and close brands."""


@brand.command("create", operations=("create_brand",), example="IKEA --email shop@ikea.example")
@click.argument("brand_id", metavar="BRAND")
@fields(BrandIn, exclude=("id",), helps=_HELPS)
@click.option("--no-key", is_flag=True, help="Create no key, and print the brand.")
@json_option
def create_brand(brand_id: str, no_key: bool, as_json: bool, **given: Any) -> None:
    """Create a brand with a first API key, and print the key. It cannot be shown again.

    If SECRET is not set, no key is created, and the brand is printed. An open service needs no keys.
    """
    created = ask(routes, "create_brand", given | {"id": brand_id})
    if no_key or not find_settings().secret:
        print_answer(created, as_json)
        return
    first_key = ask(routes, "create_key", {"brand_id": brand_id, "name": "first"})
    print_json(first_key) if as_json else click.echo(first_key.key)


@brand.command("list", operations=("list_brands",), example="--limit 1000")
@paged
@json_option
def list_brands(as_json: bool, **given: Any) -> None:
    """List brands, newest first."""
    page = ask_list(routes, "list_brands", "brands", given)
    rows = ([each.id, each.name, each.email or "", minute(each.closed_at)] for each in page.brands)
    print_page(page, as_json, ("id", "name", "e-mail", "closed"), rows)


@brand.command("show", operations=("show_brand",), example="IKEA")
@click.argument("brand_id", metavar="BRAND")
@json_option
def show_brand(as_json: bool, **given: Any) -> None:
    """Show a brand."""
    print_answer(ask(routes, "show_brand", given), as_json)


@brand.command("change", operations=("change_brand",), example="IKEA --email none --mails-off sold-out")
@click.argument("brand_id", metavar="BRAND")
@fields(BrandChange, helps=_HELPS)
@click.option("--no-digest", is_flag=True, help="Send no daily digest any more.")
@json_option
def change_brand(no_digest: bool, as_json: bool, **given: Any) -> None:
    """Change a brand's name, e-mail address, daily digest or quotas, or which e-mails it and its users get."""
    body = read(BrandChange, given)
    print_answer(ask(routes, "change_brand", given, body=replace(body, digest=None) if no_digest else body), as_json)


@brand.command("digest", example="IKEA --day 2026-11-25")
@click.argument("brand_id", metavar="BRAND")
@click.option("--day", type=click.DateTime(["%Y-%m-%d"]), metavar="DATE", help="The day; by default yesterday.")
@click.option("--html", is_flag=True, help="Print HTML.")
def preview_digest(brand_id: str, day: datetime | None, html: bool) -> None:
    """Print a brand's daily digest as it would be sent, without sending it.

    A brand that gets none is shown one in English.
    """
    settings = find_settings()
    store = open_store(settings)
    found = brands.show(store, brand_id)
    message = digests.write_preview(
        store,
        Figures(store, open_ledger(settings)),
        found,
        found.digest or Digest(timezone=found.timezone or brands.UTC),
        day.date() if day else None,
        sender=settings.mail_from,
    )
    body = message.get_body(("html" if html else "plain",))
    if not html:
        click.echo(f"To: {message['To']}\nSubject: {message['Subject']}\n")
    click.echo(body.get_content() if body else "", nl=False)


@brand.command("close", operations=("close_brand",), example="IKEA")
@click.argument("brand_id", metavar="BRAND")
@json_option
def close_brand(as_json: bool, **given: Any) -> None:
    """Close a brand for good: revoke its keys and close its discounts. Codes that users hold stay valid."""
    closed = ask(routes, "close_brand", given)
    print_json(closed) if as_json else click.echo(f"{closed.id} is closed")


@brand.command("grant", operations=("grant_code_of_brand",), example="IKEA 'User 1'")
@click.argument("brand_id", metavar="BRAND")
@click.argument("user_id", metavar="USER")
@fields(GrantIn, exclude=("user_id",), helps={"email": "The user's e-mail address."})
@json_option
def grant(as_json: bool, **given: Any) -> None:
    """Grant a user a code of any open discount of a brand, or show the code that the user already holds."""
    granted = ask(grants, "grant_code_of_brand", given)
    print_json(granted) if as_json else click.echo(granted.code)
