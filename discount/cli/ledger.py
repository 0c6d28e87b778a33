"""Commands of the ledger."""

import os
import socket
import sys
import time
from typing import Any

import click

from discount.api.routes import history as routes
from discount.api.schemas.history import ExportQuery
from discount.api.schemas.reconciliation import reconciliation
from discount.api.schemas.restores import RestoreOut, add
from discount.cli.asking import ask
from discount.cli.commands import Command, CommandGroup
from discount.cli.context import find_settings, open_store
from discount.cli.fields import fields
from discount.cli.output import json_option, print_json, print_stream, print_table, thousands
from discount.config import Settings, SettingsError
from discount.ledger import results, schema
from discount.ledger.database import Database
from discount.ledger.differences import Result
from discount.ledger.leases import Leases
from discount.ledger.reconcile import Reconciler
from discount.ledger.replayed_entries import Replayed
from discount.ledger.restore import Restore
from discount.security.sealing import Sealer
from discount.security.signing import Signer
from discount.store.connection import Store

#: Seconds between two lines about a partition that takes long.
SECONDS = 5.0


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
@json_option
def restore(as_json: bool) -> None:
    """Rebuild an empty Redis from the ledger. It goes on if it was stopped. The exit code is 1 if something is refused.

    Workers that run meanwhile leave the partitions to it. What is restored, and what not, is on the page of the ledger.
    """
    settings = find_settings()
    store, database = open_store(settings), open_ledger(settings)
    schema.check(database)
    leases = Leases(store, f"restore-{socket.gethostname()}-{os.getpid()}")
    progress = _Progress()

    def go_on(partition: int, done: Replayed) -> None:
        leases.check(partition)
        progress.show(partition, done)

    sealer = Sealer(Signer(store, settings.secret))
    restoring = Restore(store, database, sealer, settings.event_days * 86_400, go_on)
    leases.take_all()
    restored = RestoreOut()
    try:
        # Not before: a Redis that is in use keeps its secret.
        wanted = restoring.begin()
        restoring.restore_secret()
        for partition in wanted:
            leases.check(partition)
            done = restoring.partition(partition)
            add(restored, done)
            if done.entries or done.copies:
                progress.end(partition, done)
    finally:
        leases.end()
    for each in restored.refused:
        click.echo(f"Not restored: {each}", err=True)
    if as_json:
        print_json(restored)
    sys.exit(1 if restored.refused else 0)


class _Progress:
    """Says on standard error what is done of a partition: at its end, and every few seconds."""

    def __init__(self) -> None:
        self._next = time.monotonic() + SECONDS

    def show(self, partition: int, done: Replayed) -> None:
        if time.monotonic() > self._next:
            self._next = time.monotonic() + SECONDS
            self.end(partition, done, "so far ")

    def end(self, partition: int, done: Replayed, when: str = "") -> None:
        counts = f"{thousands(done.entries)} events, {thousands(done.grants)} grants, {thousands(done.uses)} uses"
        more = f", {thousands(done.copies)} other keys" if done.copies else ""
        click.echo(f"Partition {partition:02x}: {when}{counts}{more}", err=True)


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
