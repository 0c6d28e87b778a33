"""Commands of brands, of their API keys, and of users who are to be forgotten."""

from typing import Any

import click

from discount import brands, signatures, users
from discount.api.brands import BrandIn, BrandOut, KeyIn, KeyOut, NewKeyOut
from discount.api.inputs import read_fields
from discount.api.schemas import (
    moment_in,
)
from discount.api.users import Forgotten
from discount.cli.context import one_line, open_store
from discount.cli.output import json_option, minute, print_json, print_table
from discount.config import SettingsError, read_settings
from discount.model import KEY_SCOPES


@click.group()
def brand() -> None:
    """Make, list and close brands."""


@brand.command("create")
@click.argument("brand_id", metavar="BRAND")
@click.option("--name", help="As people know it; the id if left out.")
@click.option("--email")
@json_option
def create_brand(brand_id: str, as_json: bool, **given: str | None) -> None:
    """Make a brand with a first API key, and print the key: it is shown this once."""
    with one_line():
        fields = {name: value for name, value in given.items() if value is not None}
        asked, secret = read_fields(fields | {"id": brand_id}, BrandIn), _secret()
        made = brands.create(open_store(secret), asked.id, asked.name or asked.id, asked.email)
        _make_key(secret, made.id, {"name": "first"}, as_json)


@brand.command("list")
@json_option
def list_brands(as_json: bool) -> None:
    """List brands, newest first."""
    with one_line():
        store, found, cursor = open_store(), list[BrandOut](), None
        while True:
            page = brands.list_page(store, limit=1000, cursor=cursor)
            found += [BrandOut.of(each) for each in page.brands]
            cursor = page.next
            if cursor is None:
                break
        if as_json:
            print_json({"brands": found})
            return
        rows = ([each.id, each.name, each.email or "", minute(each.closed_at)] for each in found)
        print_table(("id", "name", "e-mail", "closed"), rows)


@brand.command("close")
@click.argument("brand_id", metavar="BRAND")
@json_option
def close_brand(brand_id: str, as_json: bool) -> None:
    """Close a brand for good: revoke its keys, close its discounts. Codes that users hold stay good."""
    with one_line():
        closed = BrandOut.of(brands.close(open_store(), brand_id))
        print_json(closed) if as_json else click.echo(f"{closed.id} is closed")


@click.group()
def key() -> None:
    """Make, list and revoke the API keys of brands."""


@key.command("create")
@click.argument("brand_id", metavar="BRAND")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="manage, grant, redeem or read; all of them if left out.")
@click.option("--expires-at", metavar="TIME", help="RFC 3339.")
@json_option
def create_key(brand_id: str, name: str, scopes: tuple[str, ...], expires_at: str | None, as_json: bool) -> None:
    """Make an API key and print it: it is shown this once."""
    with one_line():
        fields = {"name": name, "scopes": list(scopes) or None, "expires_at": expires_at}
        _make_key(_secret(), brand_id, fields, as_json)


@key.command("list")
@click.argument("brand_id", metavar="BRAND")
@json_option
def list_keys(brand_id: str, as_json: bool) -> None:
    """List a brand's API keys, without their secrets."""
    with one_line():
        found = [KeyOut.of(each) for each in brands.list_keys(open_store(), brand_id)]
        if as_json:
            print_json({"keys": found})
            return
        rows = (
            [each.id, each.name, " ".join(each.scopes), minute(each.expires_at), minute(each.used_at)] for each in found
        )
        print_table(("id", "name", "scopes", "expires", "used"), rows)


@key.command("revoke")
@click.argument("brand_id", metavar="BRAND")
@click.argument("key_id", metavar="ID")
def revoke_key(brand_id: str, key_id: str) -> None:
    """Take an API key away, on every replica at once."""
    with one_line():
        brands.revoke_key(open_store(), brand_id, key_id)


@click.command()
@click.argument("user_id", metavar="USER")
@click.option("--brand", "brand_id", help="Only what this brand keeps.")
@json_option
def forget(user_id: str, brand_id: str | None, as_json: bool) -> None:
    """Forget a user: grants, redemptions and events become nobody's. Counts stay."""
    with one_line():
        done = Forgotten.of(user_id, users.forget(open_store(), user_id, brand_id=brand_id))
        if as_json:
            print_json(done)
            return
        click.echo(f"{done.grants:,} grants, {done.redemptions:,} redemptions, {done.events:,} events")


@click.group()
def secret() -> None:
    """Change what API keys are hashed with, and what webhook secrets and links in e-mails are made from."""


@secret.command("replace")
@click.confirmation_option(
    prompt="Every API key and every link in an e-mail stops working, and every webhook gets another secret. Replace it?"
)
def replace_secret() -> None:
    """Use the data with the SECRET that is set now. Stop every app and worker before."""
    with one_line():
        signatures.replace_secret(open_store(), _secret())
        click.echo("replaced: start the service, and make new API keys")


def _secret() -> str:
    secret = read_settings().secret
    if not secret:
        raise SettingsError("SECRET: the service hashes keys with it; set the same here")
    return secret


def _make_key(secret: str, brand_id: str, fields: dict[str, Any], as_json: bool) -> None:
    asked = read_fields(fields, KeyIn)
    made, text = brands.create_key(
        open_store(secret),
        secret,
        brand_id,
        asked.name,
        scopes=asked.scopes or KEY_SCOPES,
        expires_at=moment_in(asked.expires_at, "expires_at"),
    )
    print_json(NewKeyOut.of(made, key=text)) if as_json else click.echo(text)
