"""Commands of codes: a brand's own in, all of them out."""

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
from discount.cli.fields import fields
from discount.cli.output import json_option, print_json
from discount.cli.verbs import Verb

_FORMATS = {"text": "text/plain", "csv": "text/csv", "json": "application/json"}


@click.command("import", cls=Verb, does=("import_codes",), example="dsc-… codes.csv --column code")
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("rb"))
@click.option("--format", "kind", type=click.Choice(list(_FORMATS)), help="Told by the file's name, or text.")
@fields(ImportQuery)
@json_option
def import_codes(file: BinaryIO, kind: str | None, as_json: bool, **given: Any) -> None:
    """Add a brand's own codes from FILE (- is the standard input): one a line, a CSV column, or {"codes": [...]}."""
    suffix = Path(file.name).suffix.lstrip(".")
    media_type = _FORMATS[kind or (suffix if suffix in _FORMATS else "text")]
    console = Console(stderr=True)
    with Progress(console=console, disable=as_json or not console.is_terminal) as progress:
        # A pipe has no size, and so no progress.
        size = os.fstat(file.fileno()).st_size
        watched = progress.wrap_file(file, size, description="Importing") if size else file
        upload = Upload(media_type, BufferedReader(cast("RawIOBase", watched)), UTF_8)
        told = ask(routes, "import_codes", given, upload=upload)
    if as_json:
        print_json(told)
        return
    click.echo(f"{told.added_count:,} added, {told.repeated_count:,} there already, {told.bad_count:,} bad")
    for each in told.lines:
        click.echo(f"line {each.line}: {each.reason}", err=True)


@click.command(cls=Verb, does=("export_codes",), example="dsc-… all.csv")
@click.argument("discount_id", metavar="ID")
@click.argument("file", type=click.File("wb", lazy=True), default="-")
@fields(ExportQuery, helps={"format": "How the file is written."})
def export(file: BinaryIO, **given: Any) -> None:
    """Give all codes out, waiting, unused and granted, to FILE or the standard output."""
    for piece in ask(routes, "export_codes", given).pieces:
        file.write(piece)
