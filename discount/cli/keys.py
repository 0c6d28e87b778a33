"""Commands of the API keys of brands."""

from typing import Any

import click

from discount.api.routes import brands as routes
from discount.api.schemas.brands import KeyIn
from discount.cli.asking import ask
from discount.cli.context import find_settings
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_json, print_table
from discount.cli.verbs import Noun
from discount.config import SettingsError

_NAMES = {"scopes": ("--scope", "--scopes")}
_HELPS = {"scopes": "What it is good for; everything, if none is said.", "expires_at": "Until when; RFC 3339."}


@click.group(cls=Noun)
def key() -> None:
    """Make, list and revoke the API keys of brands."""


@key.command("create", does=("create_key",), example="IKEA till --scope redeem --scope read")
@click.argument("brand_id", metavar="BRAND")
@click.argument("name", metavar="NAME")
@fields(KeyIn, but=("name",), names=_NAMES, helps=_HELPS)
@json_option
def create_key(as_json: bool, **given: Any) -> None:
    """Make an API key and print it: it is shown this once."""
    if not find_settings().secret:
        raise SettingsError(
            "SECRET: keys are hashed with the SECRET of the service, and none is set here."
            " A service that is open asks nobody for a key"
        )
    made = ask(routes, "create_key", given)
    print_json(made) if as_json else click.echo(made.key)


@key.command("list", does=("list_keys",), example="IKEA")
@click.argument("brand_id", metavar="BRAND")
@json_option
def list_keys(as_json: bool, **given: Any) -> None:
    """List a brand's API keys, without their secrets."""
    found = ask(routes, "list_keys", given)
    if as_json:
        print_json(found)
        return
    rows = (
        [each.id, each.name, " ".join(each.scopes), minute(each.expires_at), minute(each.used_at)]
        for each in found.keys
    )
    print_table(("id", "name", "scopes", "expires", "used"), rows)


@key.command("revoke", does=("revoke_key",), example="IKEA 0c3k9x2m7q1z")
@click.argument("brand_id", metavar="BRAND")
@click.argument("key_id", metavar="ID")
def revoke_key(**given: Any) -> None:
    """Take an API key away, on every replica at once."""
    ask(routes, "revoke_key", given)
