"""Commands for waiting lists: put users on a list, show their places, take them off."""

from typing import Any

import click

from discount.api.routes import waits as routes
from discount.api.schemas.waits import WaitIn
from discount.cli.asking import ask, ask_list, paged
from discount.cli.commands import CommandGroup
from discount.cli.fields import fields
from discount.cli.output import json_option, minute, print_answer, print_page, thousands


@click.group(cls=CommandGroup)
def wait() -> None:
    """Let users wait for codes of a discount."""


@wait.command(operations=("begin_wait",), example="dsc-… 'User 1' --email ann@example.com")
@click.argument("discount_id", metavar="ID")
@click.argument("user_id", metavar="USER")
@fields(WaitIn, exclude=("user_id",), helps={"email": "The user's e-mail address at the brand from now on."})
@json_option
def begin(as_json: bool, **given: Any) -> None:
    """Put a user on the waiting list of a discount, or show the place that the user has."""
    print_answer(ask(routes, "begin_wait", given), as_json)


@wait.command(operations=("show_wait",), example="dsc-… 'User 1'")
@click.argument("discount_id", metavar="ID")
@click.argument("user_id", metavar="USER")
@json_option
def show(as_json: bool, **given: Any) -> None:
    """Show a user's place on the waiting list of a discount."""
    print_answer(ask(routes, "show_wait", given), as_json)


@wait.command(operations=("end_wait",), example="dsc-… 'User 1'")
@click.argument("discount_id", metavar="ID")
@click.argument("user_id", metavar="USER")
def end(**given: Any) -> None:
    """Take a user off the waiting list of a discount."""
    ask(routes, "end_wait", given)


@wait.command("list", operations=("list_waits",), example="dsc-…")
@click.argument("discount_id", metavar="ID")
@paged
@json_option
def list_waits(as_json: bool, **given: Any) -> None:
    """List the users who wait for a code of a discount, the next one first."""
    page = ask_list(routes, "list_waits", "waits", given)
    rows = ([thousands(each.place), each.user_id, minute(each.waits_since)] for each in page.waits)
    print_page(page, as_json, (">place", "user", "since"), rows)
