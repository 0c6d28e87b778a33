"""What commands print: tables for people, and JSON for programs."""

import sys
from datetime import datetime
from typing import Any, Literal

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

json_option = click.option("--json", "as_json", is_flag=True, help="Print what HTTP would answer.")


def print_json(value: Any) -> None:
    """Print what HTTP would answer."""
    click.echo(msgspec.json.encode(value))


def minute(moment: datetime | None) -> str:
    """A moment for people, to the minute; nothing for none."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def thousands(number: int | None) -> str:
    """A number for people; nothing for none."""
    return "" if number is None else f"{number:,}"


def print_table(head: tuple[str, ...], rows: Any) -> None:
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
