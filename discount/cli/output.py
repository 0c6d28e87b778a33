"""Output of the commands: tables for people, and JSON for programs."""

import sys
from datetime import datetime
from typing import Any, Literal

import click
import msgspec
from rich.console import Console
from rich.table import Table
from rich.text import Text

from discount.api.streaming import Stream

json_option = click.option("--json", "as_json", is_flag=True, help="Print the JSON that the HTTP API returns.")


def print_json(value: Any) -> None:
    """Print the JSON that the HTTP API returns."""
    click.echo(msgspec.json.encode(value))


def minute(moment: datetime | None) -> str:
    """Format a time to the minute; return an empty string for None."""
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def thousands(number: int | None) -> str:
    """Format a number with thousands separators; return an empty string for None."""
    return "" if number is None else f"{number:,}"


def amount(value: int, currency: str, decimals: int) -> str:
    """Format an amount in minor units: 105000 with two decimals is 1,050.00 EUR."""
    whole, rest = divmod(abs(value), 10**decimals)
    point = f".{rest:0{decimals}d}" if decimals else ""
    return f"{'-' if value < 0 else ''}{whole:,}{point} {currency}"


def print_table(head: tuple[str, ...], rows: Any) -> None:
    """Print a table. A column whose head starts with `>` is aligned to the right."""
    table = Table(box=None, show_header=any(head), pad_edge=False)
    for index, name in enumerate(head):
        justify: Literal["right", "left"] = "right" if name.startswith(">") else "left"
        table.add_column(name.lstrip(">"), justify=justify, overflow="fold", no_wrap=index == 0)
    for row in rows:
        # `Text` keeps rich from reading a brand's text as markup.
        table.add_row(*(Text(click.unstyle(cell)) for cell in row))
    # In a file or a pipe no row is wrapped.
    Console(highlight=False, width=None if sys.stdout.isatty() else 10_000).print(table)


def print_answer(answer: Any, as_json: bool) -> None:
    """Print one resource, a line per field."""
    if as_json:
        print_json(answer)
        return
    print_table(("", ""), [[name, _plain(value)] for name, value in msgspec.to_builtins(answer).items()])


def print_page(page: Any, as_json: bool, head: tuple[str, ...], rows: Any) -> None:
    """Print a page of a list, and on standard error how to get the next one."""
    if as_json:
        print_json(page)
        return
    print_table(head, rows)
    if missing := getattr(page, "missing", None):
        click.echo(f"Left out, because Redis cannot be reached there: partitions {', '.join(missing)}", err=True)
    if page.next is not None:
        click.echo(f"For more rows: --cursor {page.next}", err=True)


def print_stream(stream: Stream) -> None:
    """Print a stream piece by piece."""
    for piece in stream.pieces:
        sys.stdout.buffer.write(piece)
    sys.stdout.buffer.flush()


def _plain(value: Any) -> str:
    """Format a JSON value for people; return an empty string for null."""
    if isinstance(value, dict):
        parts = ((name, _plain(item)) for name, item in value.items())
        return ", ".join(f"{name} {text}" for name, text in parts if text)
    if isinstance(value, list):
        return "; ".join(map(_plain, value))
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "" if value is None else str(value)
