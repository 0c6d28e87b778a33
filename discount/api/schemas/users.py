"""Shapes of users and their contacts."""

from typing import Annotated

from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import BrandId, Email, Shape, VisibleText
from discount.api.schemas.customers import Groups
from discount.domain.reasons import with_rule
from discount.services import users
from discount.services.contacts import Contact

Locale = Annotated[
    str,
    Meta(
        max_length=35,
        pattern=with_rule(
            r"^[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*$(?!\n)",
            "[^A-Za-z0-9_-]",
            "a language of BCP 47 is expected, such as de or de-AT",
        ),
        description="BCP 47. E-mails are in English if the language is missing or not supported.",
        examples=["de-AT"],
    ),
]


class Forgotten(Shape):
    """Counts of the entries that no longer name the user. The counts of discounts stay as they are."""

    user_id: str
    grants: int
    redemptions: int
    events: int

    @classmethod
    def of(cls, user_id: str, done: users.Forgotten) -> "Forgotten":
        return cls(user_id, done.grants, done.redemptions, done.events)


class ContactIn(Shape):
    """A user's contact. Without an e-mail address, no e-mails are sent.

    Only a brand may set `unsubscribed` and `groups`.
    """

    email: Email | None
    name: VisibleText | None = None
    locale: Locale | None = None
    unsubscribed: bool | None = None
    groups: Annotated[Groups, Meta(description="Groups of the user at the brand, for audiences.")] | None = None


class ContactOut(Shape):
    """A user's contact: a brand's entry or, without a brand, the user's own."""

    user_id: str
    brand_id: str | None
    email: str | None
    name: str | None
    locale: str | None
    unsubscribed: bool
    groups: list[str] | UnsetType = UNSET

    @classmethod
    def of(cls, contact: Contact, brand_id: str | None) -> "ContactOut":
        fields = (contact.email, contact.name or None, contact.locale or None)
        return cls(contact.user_id, brand_id, *fields, contact.unsubscribed, list(contact.groups) or UNSET)


class ContactQuery(Shape):
    brand_id: BrandId | None = None
