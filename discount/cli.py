"""The command line: the same verbs as HTTP, straight on Redis. Tables for people, `--json` for programs."""

import os
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, Literal, cast

import click
import msgspec
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from discount import brands, discounts, embedded, exports, grants, logs, pools, sink, users
from discount.api.brands import BrandIn, BrandOut, KeyIn, KeyOut, NewKeyOut
from discount.api.codes import ExportedRow
from discount.api.discounts import create_from
from discount.api.inputs import read_fields
from discount.api.schemas import (
    DiscountIn,
    DiscountOut,
    DiscountQuery,
    GrantIn,
    GrantOut,
    GrantOutcome,
    ImportOut,
    moment_in,
)
from discount.api.tables import csv_pieces, ndjson_pieces
from discount.api.uploads import READERS
from discount.api.users import Forgotten
from discount.config import SettingsError, read_settings
from discount.embedded import NoRedisError
from discount.errors import Invalid, Refusal
from discount.launch import launch
from discount.model import KEY_SCOPES
from discount.store import LayoutError, Store
from discount.worker import service

_FORMATS = {"text": "text/plain", "csv": "text/csv", "json": "application/json"}
_as_json = click.option("--json", "as_json", is_flag=True, help="Print what HTTP would answer.")


@click.group()
def main() -> None:
    """Brands create discounts; users get a code out of one, once.

    Every command but `run` talks to the Redis of REDIS_URL, or to the one that `discount run` has in DATA (./var).
    """


@main.command()
def run() -> None:
    """Run the service here, with a Redis of its own unless REDIS_URL names one."""
    with _one_line():
        launch()


@main.command()
def worker() -> None:
    """Turn events into webhook calls and e-mails, and make them; any number of these may run."""
    with _one_line():
        settings = read_settings()
        logs.configure(settings)
        service.run(settings)


@main.command("sink")
@click.argument("directory", type=click.Path(file_okay=False))
@click.option("--host", default="127.0.0.1", show_default=True)
@click.option("--port", type=click.IntRange(0, 65535), default=1025, show_default=True)
@click.option("--fd", type=int, help="A socket that listens already.")
def catch_mails(directory: str, host: str, port: int, fd: int | None) -> None:
    """Take e-mails from anybody and write them into a directory, to be looked at."""
    with _one_line():
        sink.serve(Path(directory), host=host, port=port, fd=fd)


@main.command("mails")
@click.argument("directory", type=click.Path(file_okay=False), required=False)
@_as_json
def list_mails(directory: str | None, as_json: bool) -> None:
    """List the e-mails that the sink has caught, oldest first; without a directory, those of `discount run`."""
    with _one_line():
        found = sink.list_mails(Path(directory or Path(read_settings().data) / "mail"))
        if as_json:
            _print_json({"mails": found})
            return
        rows = ([_moment(each.received_at), each.to, each.subject, str(each.path)] for each in found)
        _print_table(("received", "to", "subject", "file"), rows)


@main.command()
@click.argument("brand_id", metavar="BRAND")
@click.argument("discount_code", metavar="NAME")
@click.option("--total", "total_count", metavar="N", help="How many codes there are in all.")
@click.option("--kind", type=click.Choice(["unique", "imported", "personal", "shared"]), default="unique")
@click.option("--pattern", help="Of unique codes; each # becomes a letter.")
@click.option("--alphabet", help="The letters of unique codes.")
@click.option("--prefix", help="What unique codes begin with.")
@click.option("--template", help="Of personal codes, e.g. '{brand}-thinks-{user}-is-awesome-{id}'.")
@click.option("--code", help="The shared code.")
@click.option("--starts-at", metavar="TIME", help="RFC 3339.")
@click.option("--expires-at", metavar="TIME", help="RFC 3339.")
@_as_json
def create(as_json: bool, **given: str | None) -> None:
    """Create a discount."""
    with _one_line():
        fields = {name: value for name, value in given.items() if value is not None}
        for name, value in fields.items():
            # What is not UTF-8 comes from the shell as surrogates.
            if not value.isascii() and value.encode("utf-8", "replace").decode() != value:
                raise Invalid(name, "is not UTF-8")
        names = ("kind", "pattern", "alphabet", "prefix", "template", "code")
        kind = {name: fields.pop(name) for name in names if name in fields}
        _show_discount(
            DiscountOut.of(*create_from(_store(), read_fields(fields | {"codes": kind}, DiscountIn))), as_json
        )


@main.command("list")
@click.option("--brand", "brand_id", help="Only this brand's.")
@click.option("--status", help="Only those that are active, scheduled, paused, expired, sold-out or closed.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The most to be shown.")
@_as_json
def list_discounts(limit: int, as_json: bool, **given: str | None) -> None:
    """List discounts, newest first."""
    with _one_line():
        query = read_fields({name: value for name, value in given.items() if value is not None}, DiscountQuery)
        store, found, cursor = _store(), list[DiscountOut](), None
        while len(found) < limit:
            page = discounts.list_page(
                store, brand_id=query.brand_id, status=query.status, limit=min(1000, limit - len(found)), cursor=cursor
            )
            found += [DiscountOut.of(each, page.now) for each in page.discounts]
            cursor = page.next
            if cursor is None:
                break
        if as_json:
            _print_json({"discounts": found, "next": cursor})
            return
        rows = ([*map(str, (each.id, each.brand_id, each.discount_code, each.codes.kind, each.status)),
                 _count(each.granted_count), _count(each.total_count)] for each in found)  # fmt: skip
        _print_table(("id", "brand", "name", "codes", "status", ">granted", ">total"), rows)


@main.command()
@click.argument("discount_id", metavar="ID")
@_as_json
def show(discount_id: str, as_json: bool) -> None:
    """Show a discount with its live counts."""
    with _one_line():
        _show_discount(DiscountOut.of(*discounts.show(_store(), discount_id)), as_json)


@main.command()
@click.argument("discount_id", metavar="ID")
@click.argument("user_ids", metavar="USER...", nargs=-1, required=True)
@_as_json
def grant(discount_id: str, user_ids: tuple[str, ...], as_json: bool) -> None:
    """Hand each user a code, or show the one held already. Ends with 1 if a user got none."""
    with _one_line():
        users = [read_fields({"user_id": user_id}, GrantIn).user_id for user_id in user_ids]
        store = _store()
        if len(users) == 1:
            given = grants.grant(store, discount_id, users[0])
            _print_json(GrantOut.of(given)) if as_json else click.echo(given.code)
            return
        outcomes = grants.grant_many(store, discount_id, users)
        told = [GrantOutcome.of(*each) for each in zip(users, outcomes, strict=True)]
        if as_json:
            _print_json({"discount_id": discount_id, "grants": told})
        else:
            _print_table(("user", "code"), ([each.user_id, each.code or f"({each.refusal})"] for each in told))
        if not all(each.granted for each in told):
            sys.exit(1)


@main.command("import")
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("rb"))
@click.option("--format", "kind", type=click.Choice(list(_FORMATS)), help="Told by the file's name, or text.")
@click.option("--column", default="code", show_default=True, help="The CSV column that has the codes.")
@_as_json
def import_codes(discount_id: str, file: BinaryIO, kind: str | None, column: str, as_json: bool) -> None:
    """Add a brand's own codes from FILE (- is the standard input): one a line, a CSV column, or {"codes": [...]}."""
    with _one_line():
        suffix = Path(file.name).suffix.lstrip(".")
        reader = READERS[_FORMATS[kind or (suffix if suffix in _FORMATS else "text")]]
        console = Console(stderr=True)
        with Progress(console=console, disable=as_json or not console.is_terminal) as progress:
            # A pipe has no size, and so no progress.
            size = os.fstat(file.fileno()).st_size
            watched = progress.wrap_file(file, size, description="Importing") if size else file
            report = pools.import_codes(
                _store(), discount_id, reader(BufferedReader(cast("RawIOBase", watched)), column)
            )
        told = ImportOut.of(discount_id, report)
        if as_json:
            _print_json(told)
            return
        click.echo(f"{told.added_count:,} added, {told.repeated_count:,} there already, {told.bad_count:,} bad")
        for each in told.lines:
            click.echo(f"line {each.line}: {each.reason}", err=True)


@main.command()
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("wb"), default="-")
@click.option("--format", "kind", type=click.Choice(["csv", "ndjson"]), default="csv", show_default=True)
def export(discount_id: str, file: BinaryIO, kind: str) -> None:
    """Give all codes out, waiting and granted, to FILE or the standard output."""
    with _one_line():
        rows = (ExportedRow.of(each) for each in exports.list_codes(_store(), discount_id))
        if kind == "ndjson":
            pieces = ndjson_pieces(rows)
        else:
            pieces = csv_pieces(ExportedRow.__struct_fields__, map(msgspec.structs.astuple, rows))
        for piece in pieces:
            file.write(piece)


@main.command()
@click.option("--brand", "brand_id", help="Only this brand's.")
@_as_json
def stats(brand_id: str | None, as_json: bool) -> None:
    """Count discounts by status, and their codes."""
    with _one_line():
        store, cursor = _store(), None
        statuses, codes = Counter[str](), Counter(granted=0, remaining=0)
        while True:
            page = discounts.list_page(store, brand_id=brand_id, limit=1000, cursor=cursor)
            for each in page.discounts:
                statuses[each.status(page.now)] += 1
                codes["granted"] += each.granted_count
                codes["remaining"] += each.remaining_count or 0
            cursor = page.next
            if cursor is None:
                break
        if as_json:
            _print_json(
                {"discounts": statuses, "granted_count": codes["granted"], "remaining_count": codes["remaining"]}
            )
            return
        _print_table(("discounts", ">"), ([status, _count(count)] for status, count in sorted(statuses.items())))
        _print_table(("codes", ">"), ([name, _count(count)] for name, count in codes.items()))


@main.group()
def brand() -> None:
    """Make, list and close brands."""


@brand.command("create")
@click.argument("brand_id", metavar="BRAND")
@click.option("--name", help="As people know it; the id if left out.")
@click.option("--email")
@_as_json
def create_brand(brand_id: str, as_json: bool, **given: str | None) -> None:
    """Make a brand with a first API key, and print the key: it is shown this once."""
    with _one_line():
        fields = {name: value for name, value in given.items() if value is not None}
        asked, secret = read_fields(fields | {"id": brand_id}, BrandIn), _secret()
        made = brands.create(_store(), asked.id, asked.name or asked.id, asked.email)
        _make_key(secret, made.id, {"name": "first"}, as_json)


@brand.command("list")
@_as_json
def list_brands(as_json: bool) -> None:
    """List brands, newest first."""
    with _one_line():
        store, found, cursor = _store(), list[BrandOut](), None
        while True:
            page = brands.list_page(store, limit=1000, cursor=cursor)
            found += [BrandOut.of(each) for each in page.brands]
            cursor = page.next
            if cursor is None:
                break
        if as_json:
            _print_json({"brands": found})
            return
        rows = ([each.id, each.name, each.email or "", _moment(each.closed_at)] for each in found)
        _print_table(("id", "name", "e-mail", "closed"), rows)


@brand.command("close")
@click.argument("brand_id", metavar="BRAND")
@_as_json
def close_brand(brand_id: str, as_json: bool) -> None:
    """Close a brand for good: revoke its keys, close its discounts. Codes that users hold stay good."""
    with _one_line():
        closed = BrandOut.of(brands.close(_store(), brand_id))
        _print_json(closed) if as_json else click.echo(f"{closed.id} is closed")


@main.group()
def key() -> None:
    """Make, list and revoke the API keys of brands."""


@key.command("create")
@click.argument("brand_id", metavar="BRAND")
@click.argument("name")
@click.option("--scope", "scopes", multiple=True, help="manage, grant, redeem or read; all of them if left out.")
@click.option("--expires-at", metavar="TIME", help="RFC 3339.")
@_as_json
def create_key(brand_id: str, name: str, scopes: tuple[str, ...], expires_at: str | None, as_json: bool) -> None:
    """Make an API key and print it: it is shown this once."""
    with _one_line():
        fields = {"name": name, "scopes": list(scopes) or None, "expires_at": expires_at}
        _make_key(_secret(), brand_id, fields, as_json)


@key.command("list")
@click.argument("brand_id", metavar="BRAND")
@_as_json
def list_keys(brand_id: str, as_json: bool) -> None:
    """List a brand's API keys, without their secrets."""
    with _one_line():
        found = [KeyOut.of(each) for each in brands.list_keys(_store(), brand_id)]
        if as_json:
            _print_json({"keys": found})
            return
        rows = (
            [each.id, each.name, " ".join(each.scopes), _moment(each.expires_at), _moment(each.used_at)]
            for each in found
        )
        _print_table(("id", "name", "scopes", "expires", "used"), rows)


@key.command("revoke")
@click.argument("brand_id", metavar="BRAND")
@click.argument("key_id", metavar="ID")
def revoke_key(brand_id: str, key_id: str) -> None:
    """Take an API key away, on every replica at once."""
    with _one_line():
        brands.revoke_key(_store(), brand_id, key_id)


@main.command()
@click.argument("user_id", metavar="USER")
@click.option("--brand", "brand_id", help="Only what this brand keeps.")
@_as_json
def forget(user_id: str, brand_id: str | None, as_json: bool) -> None:
    """Forget a user: grants, redemptions and events become nobody's. Counts stay."""
    with _one_line():
        done = Forgotten.of(user_id, users.forget(_store(), user_id, brand_id=brand_id))
        if as_json:
            _print_json(done)
            return
        click.echo(f"{done.grants:,} grants, {done.redemptions:,} redemptions, {done.events:,} events")


def _secret() -> str:
    secret = read_settings().secret
    if not secret:
        raise SettingsError("SECRET: the service hashes keys with it; set the same here")
    return secret


def _make_key(secret: str, brand_id: str, fields: dict[str, Any], as_json: bool) -> None:
    asked = read_fields(fields, KeyIn)
    made, text = brands.create_key(
        _store(),
        secret,
        brand_id,
        asked.name,
        scopes=asked.scopes or KEY_SCOPES,
        expires_at=moment_in(asked.expires_at, "expires_at"),
    )
    _print_json(NewKeyOut.of(made, key=text)) if as_json else click.echo(text)


@contextmanager
def _one_line() -> Iterator[None]:
    """Whatever is wrong is told in one line, and the exit code is 1."""
    try:
        yield
    except Refusal as error:
        sys.exit(f"discount: {error.word}: {error.detail}")
    except (SettingsError, NoRedisError, LayoutError) as error:
        sys.exit(f"discount: {error}")


def _store() -> Store:
    settings = read_settings()
    url = settings.redis_url
    if not os.environ.get("REDIS_URL"):
        url = embedded.address_of(Path(settings.data)) or url
    try:
        return Store.at(url, settings.redis_timeout, settings.partitions)
    except ValueError as error:
        raise SettingsError(f"REDIS_URL: {error}") from None


def _show_discount(found: DiscountOut, as_json: bool) -> None:
    if as_json:
        _print_json(found)
        return
    fields = msgspec.to_builtins(found)
    codes = ", ".join(f"{name} {value}" for name, value in fields.pop("codes").items())
    _print_table(
        ("", ""), [[name, "" if value is None else str(value)] for name, value in fields.items()] + [["codes", codes]]
    )


def _print_json(value: Any) -> None:
    click.echo(msgspec.json.encode(value))


def _moment(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _count(number: int | None) -> str:
    return "" if number is None else f"{number:,}"


def _print_table(head: tuple[str, ...], rows: Any) -> None:
    """A table as wide as it needs; a head with `>` is of numbers."""
    table = Table(box=None, show_header=any(head), pad_edge=False)
    for place, name in enumerate(head):
        justify: Literal["right", "left"] = "right" if name.startswith(">") else "left"
        table.add_column(name.lstrip(">"), justify=justify, overflow="fold", no_wrap=place == 0)
    for row in rows:
        # What a brand wrote is text, not the library's markup.
        table.add_row(*(Text(click.unstyle(cell)) for cell in row))
    # Nobody reads a file or a pipe in columns of 80.
    Console(highlight=False, width=None if sys.stdout.isatty() else 10_000).print(table)
