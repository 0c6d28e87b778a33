"""Commands for the API keys of brands."""

from typing import Any

import click

from discount.api.routes import brands as routes
from discount.api.schemas.brands import KeyIn
from discount.cli.asking import ask
from discount.cli.commands import CommandGroup
from discount.cli.context import find_settings
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_json, print_table
from discount.config import SettingsError

_NAMES = {"scopes": ("--scope", "--scopes")}
_HELPS = {
    "scopes": "A scope of the key; all scopes by default.",
    "expires_at": "The time until which the key is valid; RFC 3339.",
}


@click.group(cls=CommandGroup)
def key() -> None:
    """Create, list and revoke the API keys of brands."""


@key.command("create", operations=("create_key",), example="IKEA till --scope redeem --scope read")
@click.argument("brand_id", metavar="BRAND")
@click.argument("name", metavar="NAME")
@fields(KeyIn, exclude=("name",), names=_NAMES, helps=_HELPS)
@json_option
def create_key(as_json: bool, **given: Any) -> None:
    """Create an API key and print it. It cannot be shown again."""
    if not find_settings().secret:
        raise SettingsError(
            "SECRET: keys are hashed with the SECRET of the service, and it is not set here."
            " An open service needs no keys"
        )
    created = ask(routes, "create_key", given)
    print_json(created) if as_json else click.echo(created.key)


@key.command("list", operations=("list_keys",), example="IKEA")
@click.argument("brand_id", metavar="BRAND")
@json_option
def list_keys(as_json: bool, **given: Any) -> None:
    """List a brand's API keys, without their secrets."""
    listed = ask(routes, "list_keys", given)
    if as_json:
        print_json(listed)
        return
    rows = (
        [each.id, each.name, " ".join(each.scopes), minute(each.expires_at), minute(each.used_at)]
        for each in listed.keys
    )
    print_table(("id", "name", "scopes", "expires", "used"), rows)


@key.command("revoke", operations=("revoke_key",), example="IKEA 0c3k9x2m7q1z")
@click.argument("brand_id", metavar="BRAND")
@click.argument("key_id", metavar="ID")
def revoke_key(**given: Any) -> None:
    """Revoke an API key, with immediate effect on every replica."""
    ask(routes, "revoke_key", given)
