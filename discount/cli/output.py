"""What commands print: tables for people, and JSON for programs."""

import sys
from datetime import datetime
from typing import Any, Literal

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from discount.api.streaming import Stream

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


def print_answer(answer: Any, as_json: bool) -> None:
    """Print one thing: a line for each of its fields."""
    if as_json:
        print_json(answer)
        return
    print_table(("", ""), [[name, _plain(value)] for name, value in msgspec.to_builtins(answer).items()])


def print_page(page: Any, as_json: bool, head: tuple[str, ...], rows: Any) -> None:
    """Print a page of a list, and where the next one begins."""
    if as_json:
        print_json(page)
        return
    print_table(head, rows)
    if page.next is not None:
        click.echo(f"There are more: --cursor {page.next}", err=True)


def print_stream(stream: Stream) -> None:
    """Print what comes in pieces, as it comes."""
    for piece in stream.pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _plain(value: Any) -> str:
    """A value of JSON as people write it; nothing for null."""
    if isinstance(value, dict):
        told = ((name, _plain(each)) for name, each in value.items())
        return ", ".join(f"{name} {each}" for name, each in told if each)
    if isinstance(value, list):
        return "; ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
