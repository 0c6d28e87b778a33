"""Commands for lists of users: fill, show and delete them."""

from io import BufferedReader, RawIOBase
from pathlib import Path
from typing import Any, BinaryIO, cast

import click

from discount.api.inputs import UTF_8, Upload
from discount.api.routes import user_lists as routes
from discount.api.schemas.user_lists import UploadQuery
from discount.cli.asking import ask
from discount.cli.commands import CommandGroup
from discount.cli.fields import fields
from discount.cli.output import json_option, print_answer, print_page, thousands

_FORMATS = {"text": "text/plain", "csv": "text/csv"}


@click.group("list-of-users", cls=CommandGroup)
def user_list() -> None:
    """Fill, show and delete the lists of users that audiences name."""


@user_list.command(operations=("add_to_list",), example="IKEA newsletter users.csv --column user_id")
@click.argument("brand_id", metavar="BRAND")
@click.argument("name", metavar="NAME")
@click.argument("file", type=click.File("rb"))
@click.option("--format", "kind", type=click.Choice(list(_FORMATS)), help="By default the file's suffix, or text.")
@fields(UploadQuery)
@json_option
def add(file: BinaryIO, kind: str | None, as_json: bool, **given: Any) -> None:
    """Put the users in FILE on a list: one on each line, or a CSV column; - is stdin."""
    suffix = Path(file.name).suffix.lstrip(".")
    media_type = _FORMATS[kind or (suffix if suffix in _FORMATS else "text")]
    upload = Upload(media_type, BufferedReader(cast("RawIOBase", file)), UTF_8)
    print_answer(ask(routes, "add_to_list", given, upload=upload), as_json)


@user_list.command("list", operations=("list_lists",), example="IKEA")
@click.argument("brand_id", metavar="BRAND")
@json_option
def list_lists(as_json: bool, **given: Any) -> None:
    """List a brand's lists of users."""
    found = ask(routes, "list_lists", given)
    print_page(found, as_json, ("name", ">users"), ([each.name, thousands(each.users_count)] for each in found.lists))


@user_list.command(operations=("show_list",), example="IKEA newsletter")
@click.argument("brand_id", metavar="BRAND")
@click.argument("name", metavar="NAME")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show how many users a list has."""
    print_answer(ask(routes, "show_list", given), as_json)


@user_list.command(operations=("drop_list",), example="IKEA newsletter")
@click.argument("brand_id", metavar="BRAND")
@click.argument("name", metavar="NAME")
@json_option
def delete(as_json: bool, **given: Any) -> None:
    """Delete a list."""
    print_answer(ask(routes, "drop_list", given), as_json)
