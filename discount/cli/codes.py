"""Commands that import and export codes."""

import os
from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import click
from rich.console import Console
from rich.progress import Progress

from discount.api.inputs import UTF_8, Upload
from discount.api.routes import codes as routes
from discount.api.schemas.codes import ExportQuery, ImportQuery
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
    console = Console(stderr=True)
    with Progress(console=console, disable=as_json or not console.is_terminal) as progress:
        # The size of a pipe is 0, so there is no progress to show.
        size = os.fstat(file.fileno()).st_size
        watched = progress.wrap_file(file, size, description="Importing") if size else file
        upload = Upload(media_type, BufferedReader(cast("RawIOBase", watched)), UTF_8)
        report = ask(routes, "import_codes", given, upload=upload)
    if as_json:
        print_json(report)
        return
    click.echo(f"{report.added_count:,} added, {report.repeated_count:,} already known, {report.bad_count:,} invalid")
    for line in report.lines:
        click.echo(f"line {line.line}: {line.reason}", err=True)


@click.command(cls=Command, operations=("export_codes",), example="dsc-… all.csv")
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("wb", lazy=True), default="-")
@fields(ExportQuery, helps={"format": "The file's format."})
def export(file: BinaryIO, **given: Any) -> None:
    """Write all codes, granted or not, to FILE or the standard output."""
    for piece in ask(routes, "export_codes", given).pieces:
        file.write(piece)
