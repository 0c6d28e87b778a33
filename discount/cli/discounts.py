"""Commands of discounts, their codes and their grants."""

import os
import sys
from collections import Counter
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import BinaryIO, cast

import click
import msgspec
from rich.console import Console
from rich.progress import Progress

from discount import discounts, exports, grants, pools
from discount.api.codes import ExportedRow
from discount.api.discounts import create_from
from discount.api.inputs import UTF_8, read_fields
from discount.api.schemas import (
    DiscountIn,
    DiscountOut,
    DiscountQuery,
    GrantIn,
    GrantOut,
    GrantOutcome,
    ImportOut,
)
from discount.api.tables import csv_pieces, ndjson_pieces
from discount.api.uploads import READERS
from discount.cli.context import one_line, open_store
from discount.cli.output import json_option, print_json, print_table, thousands
from discount.errors import Invalid

_FORMATS = {"text": "text/plain", "csv": "text/csv", "json": "application/json"}


@click.command()
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
@json_option
def create(as_json: bool, **given: str | None) -> None:
    """Create a discount."""
    with one_line():
        fields = {name: value for name, value in given.items() if value is not None}
        for name, value in fields.items():
            # What is not UTF-8 comes from the shell as surrogates.
            if not value.isascii() and value.encode("utf-8", "replace").decode() != value:
                raise Invalid(name, "is not UTF-8")
        names = ("kind", "pattern", "alphabet", "prefix", "template", "code")
        kind = {name: fields.pop(name) for name in names if name in fields}
        _show_discount(
            DiscountOut.of(*create_from(open_store(), read_fields(fields | {"codes": kind}, DiscountIn))), as_json
        )


@click.command("list")
@click.option("--brand", "brand_id", help="Only this brand's.")
@click.option("--status", help="Only those that are active, scheduled, paused, expired, sold-out, empty or closed.")
@click.option("--limit", type=click.IntRange(1), default=100, show_default=True, help="The most to be shown.")
@json_option
def list_discounts(limit: int, as_json: bool, **given: str | None) -> None:
    """List discounts, newest first."""
    with one_line():
        query = read_fields({name: value for name, value in given.items() if value is not None}, DiscountQuery)
        store, found, cursor = open_store(), list[DiscountOut](), None
        while len(found) < limit:
            page = discounts.list_page(
                store, brand_id=query.brand_id, status=query.status, limit=min(1000, limit - len(found)), cursor=cursor
            )
            found += [DiscountOut.of(each, page.now) for each in page.discounts]
            cursor = page.next
            if cursor is None:
                break
        if as_json:
            print_json({"discounts": found, "next": cursor})
            return
        rows = ([*map(str, (each.id, each.brand_id, each.discount_code, each.codes.kind, each.status)),
                 thousands(each.granted_count), thousands(each.total_count)] for each in found)  # fmt: skip
        print_table(("id", "brand", "name", "codes", "status", ">granted", ">total"), rows)


@click.command()
@click.argument("discount_id", metavar="ID")
@json_option
def show(discount_id: str, as_json: bool) -> None:
    """Show a discount with its live counts."""
    with one_line():
        _show_discount(DiscountOut.of(*discounts.show(open_store(), discount_id)), as_json)


@click.command()
@click.argument("discount_id", metavar="ID")
@click.argument("user_ids", metavar="USER...", nargs=-1, required=True)
@json_option
def grant(discount_id: str, user_ids: tuple[str, ...], as_json: bool) -> None:
    """Hand each user a code, or show the one held already. Ends with 1 if a user got none."""
    with one_line():
        users = [read_fields({"user_id": user_id}, GrantIn).user_id for user_id in user_ids]
        store = open_store()
        if len(users) == 1:
            given = grants.grant(store, discount_id, users[0])
            print_json(GrantOut.of(given)) if as_json else click.echo(given.code)
            return
        outcomes = grants.grant_many(store, discount_id, users)
        told = [GrantOutcome.of(*each) for each in zip(users, outcomes, strict=True)]
        if as_json:
            print_json({"discount_id": discount_id, "grants": told})
        else:
            print_table(("user", "code"), ([each.user_id, each.code or f"({each.refusal})"] for each in told))
        if not all(each.granted for each in told):
            sys.exit(1)


@click.command("import")
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("rb"))
@click.option("--format", "kind", type=click.Choice(list(_FORMATS)), help="Told by the file's name, or text.")
@click.option("--column", default="code", show_default=True, help="The CSV column that has the codes.")
@json_option
def import_codes(discount_id: str, file: BinaryIO, kind: str | None, column: str, as_json: bool) -> None:
    """Add a brand's own codes from FILE (- is the standard input): one a line, a CSV column, or {"codes": [...]}."""
    with one_line():
        suffix = Path(file.name).suffix.lstrip(".")
        reader = READERS[_FORMATS[kind or (suffix if suffix in _FORMATS else "text")]]
        console = Console(stderr=True)
        with Progress(console=console, disable=as_json or not console.is_terminal) as progress:
            # A pipe has no size, and so no progress.
            size = os.fstat(file.fileno()).st_size
            watched = progress.wrap_file(file, size, description="Importing") if size else file
            report = pools.import_codes(
                open_store(), discount_id, reader(BufferedReader(cast("RawIOBase", watched)), column, UTF_8)
            )
        told = ImportOut.of(discount_id, report)
        if as_json:
            print_json(told)
            return
        click.echo(f"{told.added_count:,} added, {told.repeated_count:,} there already, {told.bad_count:,} bad")
        for each in told.lines:
            click.echo(f"line {each.line}: {each.reason}", err=True)


@click.command()
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("wb"), default="-")
@click.option("--format", "kind", type=click.Choice(["csv", "ndjson"]), default="csv", show_default=True)
def export(discount_id: str, file: BinaryIO, kind: str) -> None:
    """Give all codes out, waiting, unused and granted, to FILE or the standard output."""
    with one_line():
        rows = (ExportedRow.of(each) for each in exports.list_codes(open_store(), discount_id))
        if kind == "ndjson":
            pieces = ndjson_pieces(rows)
        else:
            pieces = csv_pieces(ExportedRow.__struct_fields__, map(msgspec.structs.astuple, rows))
        for piece in pieces:
            file.write(piece)


@click.command()
@click.option("--brand", "brand_id", help="Only this brand's.")
@json_option
def stats(brand_id: str | None, as_json: bool) -> None:
    """Count discounts by status, and their codes."""
    with one_line():
        store, cursor = open_store(), None
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
            print_json(
                {"discounts": statuses, "granted_count": codes["granted"], "remaining_count": codes["remaining"]}
            )
            return
        print_table(("discounts", ">"), ([status, thousands(count)] for status, count in sorted(statuses.items())))
        print_table(("codes", ">"), ([name, thousands(count)] for name, count in codes.items()))


def _show_discount(found: DiscountOut, as_json: bool) -> None:
    if as_json:
        print_json(found)
        return
    fields = msgspec.to_builtins(found)
    codes = ", ".join(f"{name} {value}" for name, value in fields.pop("codes").items())
    print_table(
        ("", ""), [[name, "" if value is None else str(value)] for name, value in fields.items()] + [["codes", codes]]
    )
