"""Commands of the ledger."""

import click

from discount.cli.commands import CommandGroup
from discount.cli.context import find_settings
from discount.config import Settings, SettingsError
from discount.ledger import schema
from discount.ledger.database import Database


@click.group(cls=CommandGroup)
def ledger() -> None:
    """Look after the ledger, the database that keeps the history."""


@ledger.command("upgrade")
def upgrade_ledger() -> None:
    """Make the tables of the ledger, or bring them to the schema of this version. It does nothing if they have it."""
    schema.upgrade(open_ledger(find_settings()))
    click.echo("The ledger has the schema of this version.", err=True)


def open_ledger(settings: Settings) -> Database:
    """Return the ledger of the settings.

    Raises:
        SettingsError: there is none.
        LedgerError: its URL cannot be used.
    """
    if not settings.ledger_url:
        raise SettingsError("LEDGER_URL: set the database of the ledger, such as sqlite:///var/ledger.db")
    return Database(settings.ledger_url)
