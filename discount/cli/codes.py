"""Commands that import codes, move them in and export them."""

import os
from collections.abc import Sequence
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import click
from rich.console import Console
from rich.progress import Progress

from discount.api.inputs import UTF_8, Upload
from discount.api.routes import codes as routes
from discount.api.schemas.codes import ExportQuery, ImportedLine, ImportQuery
from discount.api.schemas.moved_codes import MoveQuery
from discount.cli.asking import ask
from discount.cli.commands import Command
from discount.cli.fields import fields
from discount.cli.output import json_option, print_json

_FORMATS = {"text": "text/plain", "csv": "text/csv", "json": "application/json"}


@click.command("import", cls=Command, operations=("import_codes",), example="dsc-… codes.csv --column code")
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("rb"))
@click.option("--format", "kind", type=click.Choice(list(_FORMATS)), help="By default the file's suffix, or text.")
@fields(ImportQuery)
@json_option
def import_codes(file: BinaryIO, kind: str | None, as_json: bool, **given: Any) -> None:
    """Import a brand's own codes from FILE: one per line, a CSV column, or {"codes": [...]}; - is stdin."""
    suffix = Path(file.name).suffix.lstrip(".")
    media_type = _FORMATS[kind or (suffix if suffix in _FORMATS else "text")]
    report = _upload(file, media_type, "import_codes", given, hides_progress=as_json)
    if as_json:
        print_json(report)
        return
    click.echo(f"{report.added_count:,} added, {report.repeated_count:,} already known, {report.bad_count:,} invalid")
    _name(report.lines)


@click.command("move-in", cls=Command, operations=("move_in",), example="dsc-… codes.csv")
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("rb"))
@fields(MoveQuery)
@json_option
def move_in(file: BinaryIO, as_json: bool, **given: Any) -> None:
    """Move codes in from another service, with their users and uses so far, from the CSV in FILE; - is stdin."""
    report = _upload(file, "text/csv", "move_in", given, hides_progress=as_json)
    if as_json:
        print_json(report)
        return
    click.echo(
        f"{report.granted_count:,} granted, {report.waiting_count:,} waiting, {report.used_count:,} uses,"
        f" {report.repeated_count:,} already known, {report.bad_count:,} refused"
    )
    _name(report.lines)


def _upload(file: BinaryIO, media_type: str, operation: str, given: dict[str, Any], *, hides_progress: bool) -> Any:
    """Return the answer of an operation that reads a file, and show meanwhile how much of it was read."""
    console = Console(stderr=True)
    with Progress(console=console, disable=hides_progress or not console.is_terminal) as progress:
        # The size of a pipe is 0, so there is no progress to show.
        size = os.fstat(file.fileno()).st_size
        watched = progress.wrap_file(file, size, description="Importing") if size else file
        upload = Upload(media_type, BufferedReader(cast("RawIOBase", watched)), UTF_8)
        return ask(routes, operation, given, upload=upload)


def _name(lines: Sequence[ImportedLine]) -> None:
    for line in lines:
        click.echo(f"line {line.line}: {line.reason}", err=True)


@click.command(cls=Command, operations=("export_codes",), example="dsc-… all.csv")
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("wb", lazy=True), default="-")
@fields(ExportQuery, helps={"format": "The file's format."})
def export(file: BinaryIO, **given: Any) -> None:
    """Write all codes, granted or not, to FILE or the standard output."""
    for piece in ask(routes, "export_codes", given).pieces:
        file.write(piece)
