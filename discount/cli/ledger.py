"""Commands of the ledger."""

import sys
import time
from typing import Any

import click

from discount.api.routes import history as routes
from discount.api.schemas.history import ExportQuery
from discount.api.schemas.reconciliation import reconciliation
from discount.cli.asking import ask
from discount.cli.commands import Command, CommandGroup
from discount.cli.context import find_settings, open_store
from discount.cli.fields import fields
from discount.cli.output import json_option, print_json, print_stream, print_table, thousands
from discount.config import Settings, SettingsError
from discount.ledger import results, schema
from discount.ledger.database import Database
from discount.ledger.differences import Result
from discount.ledger.reconcile import Reconciler
from discount.ledger.restore import Restore
from discount.security.sealing import Sealer
from discount.security.signing import Signer
from discount.store.connection import Store


@click.group(cls=CommandGroup)
def ledger() -> None:
    """Look after the ledger, the database that keeps the history."""


@ledger.command("upgrade")
def upgrade_ledger() -> None:
    """Make the tables of the ledger, or bring them to the schema of this version. It does nothing if they have it."""
    schema.upgrade(open_ledger(find_settings()))
    click.echo("The ledger has the schema of this version.", err=True)


@ledger.command("export", operations=("export_table",), example="IKEA grants --format ndjson")
@click.argument("brand_id", metavar="BRAND")
@click.argument("table", metavar="TABLE")
@fields(ExportQuery)
def export_table(**given: Any) -> None:
    """Print a brand's rows of one table as a file.

    TABLE is discounts, changes, imports, grants, redemptions, events or figures.
    """
    print_stream(ask(routes, "export_table", given))


@click.command(cls=Command, example="--repair")
@click.argument("discount_id", metavar="ID", required=False)
@click.option("--repair", is_flag=True, help="Repair what differs, where one side is certain to be right.")
@json_option
def reconcile(as_json: bool, discount_id: str | None, repair: bool) -> None:
    """Compare Redis with the ledger: one discount, or all. The exit code is 1 if anything differs.

    Grants may go on meanwhile. What is compared, and what can be repaired, is on the page of the ledger.
    """
    settings = find_settings()
    store, database = open_store(settings), open_ledger(settings)
    schema.check(database)
    found = _reconcile(store, Reconciler(store, database, time.sleep, repairs=repair), discount_id)
    if found.repaired:
        # A repair may bring to light what was hidden behind it.
        repaired = [each for each in found.differences if each.repaired]
        again = _reconcile(store, Reconciler(store, database, time.sleep), discount_id)
        again.repaired, again.differences = found.repaired, [*repaired, *again.differences]
        found = again
    if as_json:
        print_json(reconciliation(found))
    else:
        _print(found)
    sys.exit(1 if found.count else 0)


@click.command(cls=Command, example="")
def restore() -> None:
    """Rebuild an empty Redis from the ledger: discounts, codes, grants and uses. It goes on if it was interrupted.

    Brands, keys, contacts and webhooks are not in the ledger. What is restored, and what not, is on its page.
    """
    settings = find_settings()
    store, database = open_store(settings), open_ledger(settings)
    schema.check(database)
    restoring = Restore(store, database, Sealer(Signer(store, settings.secret)), settings.event_days * 86_400)
    restoring.restore_secret()
    refused: list[str] = []
    for partition in range(store.partitions):
        done = restoring.partition(partition)
        refused += done.refused
        if done.entries:
            counts = f"{thousands(done.entries)} events, {thousands(done.grants)} grants, {thousands(done.uses)} uses"
            click.echo(f"Partition {partition:02x}: {counts}", err=True)
    for each in refused:
        click.echo(f"Not restored: {each}", err=True)
    sys.exit(1 if refused else 0)


def _reconcile(store: Store, reconciler: Reconciler, discount_id: str | None) -> Result:
    if discount_id is not None:
        return reconciler.discount(discount_id)
    found: dict[int, Result] = {}
    for partition in range(store.partitions):
        found[partition] = reconciler.partition(partition)
        results.save(store, partition, found[partition])
    return results.joined(found)


def _print(found: Result) -> None:
    if found.differences:
        print_table(
            ("discount", "check", "subject", "Redis", "ledger", ""),
            (
                (each.discount_id, each.check, each.subject, each.redis, each.ledger, "repaired" * each.repaired)
                for each in found.differences
            ),
        )
    compared = f"{thousands(found.discounts)} discounts, {thousands(found.grants)} grants"
    unknown = f"; {thousands(found.unknown)} discounts are older than the ledger" if found.unknown else ""
    click.echo(f"Compared {compared}{unknown}. Differences: {thousands(found.count)}.", err=True)


def open_ledger(settings: Settings) -> Database:
    """Return the ledger of the settings.

    Raises:
        SettingsError: there is none.
        LedgerError: its URL cannot be used.
    """
    if not settings.ledger_url:
        raise SettingsError("LEDGER_URL: set the database of the ledger, such as sqlite:///var/ledger.db")
    return Database(settings.ledger_url)
