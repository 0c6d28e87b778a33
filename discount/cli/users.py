"""Commands of users: where one is reached, what one has, and how everything about one is forgotten."""

from typing import Any

import click

from discount.api.routes import grants, redemptions
from discount.api.routes import users as routes
from discount.api.schemas.grants import UserQuery
from discount.api.schemas.redemptions import RedemptionsOfUserQuery
from discount.api.schemas.users import ContactIn, ContactQuery
from discount.cli.asking import ask, ask_list, paged
from discount.cli.fields import fields
from discount.cli.grants import print_grants
from discount.cli.output import json_option, print_answer, print_json
from discount.cli.redemptions import print_redemptions
from discount.cli.verbs import Noun, Verb
from discount.domain.model import Caller

_BRAND = {"brand_id": ("--brand", "--brand-id")}
_KNOWN = {"brand_id": "As this brand knows it; without one, as the user says."}
_ONLY = {
    "brand_id": "Only of this brand.",
    "state": "Only those in this state.",
    "since": "At that time or later.",
    "until": "Before that time.",
}
_CONTACT = {
    "email": "Where the user is reached.",
    "name": "As the brand, or the user, says it.",
    "unsubscribed": "Whether the user wants no e-mails of the brand.",
}


@click.group(cls=Noun)
def user() -> None:
    """Say where users are reached, show what they have, forget them."""


@user.command("set", does=("put_contact",), example="Ann --email ann@example.com --locale de --brand IKEA")
@click.argument("user_id", metavar="USER")
@fields(ContactIn, helps=_CONTACT)
@fields(ContactQuery, names=_BRAND, helps=_KNOWN)
@json_option
def put_contact(as_json: bool, **given: Any) -> None:
    """Say where a user is reached: for one brand, or without one for all that know nothing better."""
    print_answer(ask(routes, "put_contact", given), as_json)


@user.command("show", does=("show_contact",), example="Ann --brand IKEA")
@click.argument("user_id", metavar="USER")
@fields(ContactQuery, names=_BRAND, helps=_KNOWN)
@json_option
def show_contact(as_json: bool, **given: Any) -> None:
    """Show where a user is reached."""
    print_answer(ask(routes, "show_contact", given), as_json)


@user.command("grants", does=("list_grants_of_user",), example="Ann --brand IKEA")
@click.argument("user_id", metavar="USER")
@fields(UserQuery, but=("limit", "cursor"), names=_BRAND, helps=_ONLY)
@paged
@json_option
def list_grants(as_json: bool, **given: Any) -> None:
    """List what a user holds."""
    print_grants(ask_list(grants, "list_grants_of_user", "grants", given), as_json)


@user.command("redemptions", does=("list_redemptions_of_user",), example="Ann --state redeemed")
@click.argument("user_id", metavar="USER")
@fields(RedemptionsOfUserQuery, but=("limit", "cursor"), names=_BRAND, helps=_ONLY)
@paged
@json_option
def list_redemptions(as_json: bool, **given: Any) -> None:
    """List a user's redemptions, newest first."""
    print_redemptions(ask_list(redemptions, "list_redemptions_of_user", "redemptions", given), as_json)


@click.command(cls=Verb, does=("forget_user",), example="Ann --brand IKEA")
@click.argument("user_id", metavar="USER")
@click.option("--brand", "--brand-id", "brand_id", metavar="TEXT", help="Only what this brand keeps.")
@json_option
def forget(as_json: bool, brand_id: str | None, **given: Any) -> None:
    """Forget a user: grants, redemptions and events become nobody's. Counts stay."""
    done = ask(routes, "forget_user", given, caller=Caller(frozenset(), brand_id=brand_id))
    if as_json:
        print_json(done)
        return
    click.echo(f"{done.grants:,} grants, {done.redemptions:,} redemptions, {done.events:,} events")


user.add_command(forget)
