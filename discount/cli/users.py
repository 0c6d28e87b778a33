"""Commands for users: their contacts, grants and redemptions, and forgetting them."""

from typing import Any

import click

from discount.api.routes import grants, redemptions
from discount.api.routes import users as routes
from discount.api.schemas.grants import UserQuery
from discount.api.schemas.redemptions import RedemptionsOfUserQuery
from discount.api.schemas.users import ContactIn, ContactQuery
from discount.cli.asking import ask, ask_list, paged
from discount.cli.commands import Command, CommandGroup
from discount.cli.fields import fields
from discount.cli.grants import print_grants
from discount.cli.output import json_option, print_answer, print_json
from discount.cli.redemptions import print_redemptions
from discount.domain.model import Caller

_BRAND = {"brand_id": ("--brand", "--brand-id")}
_FOR_BRAND = {"brand_id": "The brand that has the contact; by default the user's own contact."}
_FILTERS = {
    "brand_id": "Only this brand's.",
    "state": "Only those in this state.",
    "since": "Only those redeemed at this time or later.",
    "until": "Only those redeemed before this time.",
}
_CONTACT = {
    "email": "The user's e-mail address.",
    "name": "The user's name.",
    "unsubscribed": "Whether the user gets no e-mails from the brand.",
}


@click.group(cls=CommandGroup)
def user() -> None:
    """Set and show users' contacts, list what they hold, and forget users."""


@user.command("set", operations=("put_contact",), example="Ann --email ann@example.com --locale de --brand IKEA")
@click.argument("user_id", metavar="USER")
@fields(ContactIn, helps=_CONTACT)
@fields(ContactQuery, names=_BRAND, helps=_FOR_BRAND)
@json_option
def put_contact(as_json: bool, **given: Any) -> None:
    """Set a user's contact: for one brand, or for all brands that have no contact of the user."""
    print_answer(ask(routes, "put_contact", given), as_json)


@user.command("show", operations=("show_contact",), example="Ann --brand IKEA")
@click.argument("user_id", metavar="USER")
@fields(ContactQuery, names=_BRAND, helps=_FOR_BRAND)
@json_option
def show_contact(as_json: bool, **given: Any) -> None:
    """Show a user's contact."""
    print_answer(ask(routes, "show_contact", given), as_json)


@user.command("grants", operations=("list_grants_of_user",), example="Ann --brand IKEA")
@click.argument("user_id", metavar="USER")
@fields(UserQuery, exclude=("limit", "cursor"), names=_BRAND, helps=_FILTERS)
@paged
@json_option
def list_grants(as_json: bool, **given: Any) -> None:
    """List the codes that a user holds."""
    print_grants(ask_list(grants, "list_grants_of_user", "grants", given), as_json)


@user.command("redemptions", operations=("list_redemptions_of_user",), example="Ann --state redeemed")
@click.argument("user_id", metavar="USER")
@fields(RedemptionsOfUserQuery, exclude=("limit", "cursor"), names=_BRAND, helps=_FILTERS)
@paged
@json_option
def list_redemptions(as_json: bool, **given: Any) -> None:
    """List a user's redemptions, newest first."""
    print_redemptions(ask_list(redemptions, "list_redemptions_of_user", "redemptions", given), as_json)


@click.command(cls=Command, operations=("forget_user",), example="Ann --brand IKEA")
@click.argument("user_id", metavar="USER")
@click.option("--brand", "--brand-id", "brand_id", metavar="TEXT", help="Only this brand's data.")
@json_option
def forget(as_json: bool, brand_id: str | None, **given: Any) -> None:
    """Forget a user: remove the user from grants, redemptions and events. Counts stay as they are."""
    forgotten = ask(routes, "forget_user", given, caller=Caller(frozenset(), brand_id=brand_id))
    if as_json:
        print_json(forgotten)
        return
    click.echo(f"{forgotten.grants:,} grants, {forgotten.redemptions:,} redemptions, {forgotten.events:,} events")


user.add_command(forget)
