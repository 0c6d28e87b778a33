"""Commands of grants: codes handed to users."""

import sys
from collections.abc import Iterator
from itertools import chain, islice
from typing import Any, TextIO

import click
import msgspec

from discount.api.inputs import read_part
from discount.api.routes import grants as routes
from discount.api.schemas.common import UserId
from discount.api.schemas.grants import GrantOutcome, GrantsQuery
from discount.api.streaming import json_pieces
from discount.cli.asking import ask, ask_list, paged
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_answer, print_json, print_page, print_stream, print_table
from discount.cli.verbs import Verb
from discount.domain.errors import Invalid

#: Users that are asked for at once; what they got is printed before the next ones are read.
SLICE = 1000


@click.command(cls=Verb, does=("grant_code", "grant_codes"), example="dsc-… 'User 1'")
@click.argument("discount_id", metavar="ID")
@click.argument("user_ids", metavar="USER...", nargs=-1)
@click.option("--email", metavar="TEXT", help="Where the brand reaches the user; for one user alone.")
@click.option("--users", type=click.File("r"), metavar="FILE", help="A user's id a line; - is the standard input.")
@json_option
def grant(discount_id: str, user_ids: tuple[str, ...], email: str | None, users: TextIO | None, as_json: bool) -> None:
    """Hand each user a code, or show the one held already. Ends with 1 if a user got none."""
    given = {"discount_id": discount_id, "email": email}
    if users is None and len(user_ids) == 1:
        granted = ask(routes, "grant_code", given | {"user_id": user_ids[0]})
        print_json(granted) if as_json else click.echo(granted.code)
        return
    if email is not None:
        raise Invalid("email", "is of one user, and several are named")
    if users is None and not user_ids:
        raise click.UsageError("Missing argument 'USER...', or --users.")
    for each in user_ids:
        _check(each)
    outcomes = _grant(discount_id, chain(user_ids, _lines(users) if users is not None else ()))
    refused = _print_json(discount_id, outcomes) if as_json else _print_table(outcomes)
    if refused:
        sys.exit(1)


@click.command(cls=Verb, does=("show_grant",), example="dsc-… 'User 1'")
@click.argument("discount_id", metavar="ID")
@click.argument("user_id", metavar="USER")
@json_option
def held(as_json: bool, **given: Any) -> None:
    """Show the grant that a user holds, and hand out nothing."""
    print_answer(ask(routes, "show_grant", given), as_json)


@click.command("grants", cls=Verb, does=("list_grants",), example="dsc-… --format csv")
@click.argument("discount_id", metavar="ID")
@fields(GrantsQuery, but=("limit", "cursor"))
@paged
@json_option
def list_grants(as_json: bool, **given: Any) -> None:
    """List who holds what: a table, or everything as CSV."""
    if given["format"] == "csv":
        print_stream(ask(routes, "list_grants", {**given, "limit": None}))
        return
    print_grants(ask_list(routes, "list_grants", "grants", given), as_json)


def print_grants(page: Any, as_json: bool) -> None:
    """Print a page of grants."""
    rows = ([each.discount_id, each.user_id, each.code, minute(each.granted_at)] for each in page.grants)
    print_page(page, as_json, ("discount", "user", "code", "granted"), rows)


def _lines(file: TextIO) -> Iterator[str]:
    return (line.rstrip("\r\n") for line in file if line.strip())


def _check(user_id: str) -> None:
    try:
        read_part(user_id, UserId, "user_ids")
    except Invalid as error:
        raise Invalid("user_ids", f"{error.facts['errors'][0]['detail']}: {user_id}") from None


def _grant(discount_id: str, everybody: Iterator[str]) -> Iterator[list[GrantOutcome]]:
    """What each got, some at a time, as the ids are read."""
    while some := list(islice(everybody, SLICE)):
        for each in some:
            _check(each)
        yield ask(routes, "grant_codes", {"discount_id": discount_id, "user_ids": tuple(some)}).grants


def _print_json(discount_id: str, outcomes: Iterator[list[GrantOutcome]]) -> int:
    """Print one object, however long, as it comes; how many got none."""
    refused = 0

    def rows() -> Iterator[GrantOutcome]:
        nonlocal refused
        for each in chain.from_iterable(outcomes):
            refused += not each.granted
            yield each

    before = b'{"discount_id":' + msgspec.json.encode(discount_id) + b',"grants":['
    for piece in json_pieces(rows(), before, b"]}"):
        click.echo(piece, nl=False)
    click.echo()
    return refused


def _print_table(outcomes: Iterator[list[GrantOutcome]]) -> int:
    """Print a table for each slice; how many got none."""
    refused = 0
    for some in outcomes:
        print_table(("user", "code"), ([each.user_id, each.code or f"({each.refusal})"] for each in some))
        refused += sum(not each.granted for each in some)
    return refused
