"""Commands that grant codes to users and list the grants."""

import sys
from collections.abc import Iterator, Mapping
from itertools import chain, islice
from typing import Any, TextIO

import click
import msgspec

from discount.api.inputs import read_part
from discount.api.routes import grants as routes
from discount.api.schemas.common import UserId
from discount.api.schemas.grants import GrantOutcome, GrantsIn, GrantsQuery, RevokeIn
from discount.api.streaming import json_pieces
from discount.cli.asking import ask, ask_list, paged
from discount.cli.commands import Command
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_answer, print_json, print_page, print_stream, print_table
from discount.domain.errors import Invalid

#: Users per request. The outcome of each request is printed before the next ids are read.
BATCH = 1000
_REVOKE_HELPS = {
    "reason": "Why; it becomes part of the event.",
    "back": "void ends the code, pool lets another user be granted it, next passes it on.",
    "next_user_id": "The user who gets the code.",
    "reissue": "The user may be granted another code.",
    "code": "Take back this code only.",
}


@click.command(cls=Command, operations=("grant_code", "grant_codes"), example="dsc-… 'User 1'")
@click.argument("discount_id", metavar="ID")
@click.argument("user_ids", metavar="USER...", nargs=-1)
@click.option("--email", metavar="TEXT", help="The user's e-mail address; only with one USER.")
@fields(GrantsIn, exclude=("user_ids",))
@click.option("--users", type=click.File("r"), metavar="FILE", help="A file with one user's id per line; - for stdin.")
@json_option
def grant(discount_id: str, user_ids: tuple[str, ...], users: TextIO | None, as_json: bool, **given: Any) -> None:
    """Grant each user a code, or show the code that the user already holds. The exit code is 1 if a user got none."""
    given["discount_id"], email = discount_id, given.pop("email")
    if users is None and len(user_ids) == 1:
        granted = ask(routes, "grant_code", given | {"email": email, "user_id": user_ids[0]})
        print_json(granted) if as_json else click.echo(granted.code)
        return
    if email is not None:
        raise Invalid("email", "needs exactly one user")
    if users is None and not user_ids:
        raise click.UsageError("Missing argument 'USER...' or option --users.")
    for user_id in user_ids:
        _check(user_id)
    outcomes = _grant(given, chain(user_ids, _lines(users) if users is not None else ()))
    refused = _print_json(discount_id, outcomes) if as_json else _print_table(outcomes)
    if refused:
        sys.exit(1)


@click.command(cls=Command, operations=("show_grant",), example="dsc-… 'User 1'")
@click.argument("discount_id", metavar="ID")
@click.argument("user_id", metavar="USER")
@json_option
def held(as_json: bool, **given: Any) -> None:
    """Show a user's grant without granting anything."""
    print_answer(ask(routes, "show_grant", given), as_json)


@click.command(cls=Command, operations=("revoke_code",), example="dsc-… 'User 1' --back next --next-user-id 'User 2'")
@click.argument("discount_id", metavar="ID")
@click.argument("user_id", metavar="USER")
@fields(RevokeIn, exclude=("user_id",), helps=_REVOKE_HELPS)
@json_option
def revoke(as_json: bool, **given: Any) -> None:
    """Take a code back from a user. Uses already made stay."""
    print_answer(ask(routes, "revoke_code", given), as_json)


@click.command("grants", cls=Command, operations=("list_grants",), example="dsc-… --format csv")
@click.argument("discount_id", metavar="ID")
@fields(GrantsQuery, exclude=("limit", "cursor"))
@paged
@json_option
def list_grants(as_json: bool, **given: Any) -> None:
    """List a discount's grants: a table, or all of them as CSV."""
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


def _grant(given: Mapping[str, Any], user_ids: Iterator[str]) -> Iterator[list[GrantOutcome]]:
    """Grant in batches and yield the outcomes of each."""
    while batch := tuple(islice(user_ids, BATCH)):
        for user_id in batch:
            _check(user_id)
        yield ask(routes, "grant_codes", {**given, "user_ids": batch}).grants


def _print_json(discount_id: str, outcomes: Iterator[list[GrantOutcome]]) -> int:
    """Print one JSON object piece by piece, and return how many users got no code."""
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
    """Print a table for each batch, and return how many users got no code."""
    refused = 0
    for batch in outcomes:
        print_table(("user", "code"), ([each.user_id, each.code or f"({each.refusal})"] for each in batch))
        refused += sum(not each.granted for each in batch)
    return refused
