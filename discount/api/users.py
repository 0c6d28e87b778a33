"""Routes of users: where one is reached, how one gets no more e-mails, and how everything about one is forgotten."""

from typing import Annotated

from flask import Response, render_template
from msgspec import Meta

from discount import brands, contacts, mails, users
from discount.api.contract import Contract, Outcome
from discount.api.schemas import BrandId, Email, Shape, UserId, VisibleText
from discount.contacts import Contact
from discount.errors import Forbidden, Invalid
from discount.model import Caller
from discount.reasons import told
from discount.signatures import Signatures
from discount.store import Store

Locale = Annotated[
    str,
    Meta(
        max_length=35,
        pattern=told(
            r"^[A-Za-z]{2,3}(?:[-_][A-Za-z0-9]{1,8})*$(?!\n)",
            "[^A-Za-z0-9_-]",
            "a language of BCP 47 is expected, such as de or de-AT",
        ),
        description="BCP 47; e-mails are in English where no other is known.",
        examples=["de-AT"],
    ),
]


class Forgotten(Shape):
    """What of a user was made nobody's. The counts of discounts stay as they are."""

    user_id: str
    grants: int
    redemptions: int
    events: int

    @classmethod
    def of(cls, user_id: str, done: users.Forgotten) -> "Forgotten":
        return cls(user_id, done.grants, done.redemptions, done.events)


class ContactIn(Shape):
    """Where a user is reached; without an e-mail, nowhere. `unsubscribed` is the brand's to say."""

    email: Email | None
    name: VisibleText | None = None
    locale: Locale | None = None
    unsubscribed: bool | None = None


class ContactOut(Shape):
    """Where a user is reached, as a brand knows it, or without a brand as the user says."""

    user_id: str
    brand_id: str | None
    email: str | None
    name: str | None
    locale: str | None
    unsubscribed: bool

    @classmethod
    def of(cls, contact: Contact, brand_id: str | None) -> "ContactOut":
        told = (contact.email, contact.name or None, contact.locale or None)
        return cls(contact.user_id, brand_id, *told, contact.unsubscribed)


class ContactQuery(Shape):
    brand_id: BrandId | None = None


_USER = {"user_id": UserId}


def add_routes(contract: Contract, store: Store, signatures: Signatures) -> None:
    """Declare the operations of users."""

    @contract.declare(
        "PUT",
        "/user/<user_id>",
        tag="users",
        scopes=("grant",),
        users=True,
        caller=True,
        path_types=_USER,
        body=ContactIn,
        query=ContactQuery,
        answers={200: ContactOut},
        refusals=("address-taken",),
    )
    def put_contact(user_id: str, body: ContactIn, query: ContactQuery, caller: Caller) -> Outcome:
        """Say where a user is reached: a brand for itself alone, a user for all brands that know nothing better."""
        _check_brand(query, caller)
        if body.unsubscribed is not None and query.brand_id is None:
            raise Invalid("/unsubscribed", "is of the e-mails of one brand; name it with brand_id")
        if body.email is not None:
            mails.check_address(body.email, "/email")
        known = contacts.put(
            store,
            user_id,
            brand_id=query.brand_id,
            email=body.email,
            name=body.name or "",
            locale=body.locale or "",
            unsubscribed=body.unsubscribed,
        )
        return ContactOut.of(known, query.brand_id), 200

    @contract.declare(
        "GET",
        "/user/<user_id>",
        tag="users",
        scopes=("grant",),
        users=True,
        caller=True,
        path_types=_USER,
        query=ContactQuery,
        answers={200: ContactOut},
        refusals=("not-found",),
    )
    def show_contact(user_id: str, query: ContactQuery, caller: Caller) -> Outcome:
        """Show where a user is reached: as a brand has said, or without a brand as the user has."""
        _check_brand(query, caller)
        return ContactOut.of(contacts.show(store, user_id, brand_id=query.brand_id), query.brand_id), 200

    @contract.declare(
        "DELETE",
        "/user/<user_id>",
        tag="users",
        scopes=("admin", "manage"),
        caller=True,
        path_types=_USER,
        answers={200: Forgotten},
    )
    def forget_user(user_id: str, caller: Caller) -> Outcome:
        """Forget a user: grants, redemptions and events become nobody's. A brand forgets what it keeps itself."""
        return Forgotten.of(user_id, users.forget(store, user_id, brand_id=caller.brand_id)), 200

    @contract.declare(
        "GET",
        "/unsubscribe/<token>",
        tag="users",
        answers={200: None},
        also=("text/html",),
        refusals=("not-found",),
    )
    def ask_unsubscribe(token: str) -> Outcome:
        """The page behind the link in an e-mail; a link alone changes nothing, for mail scanners follow links."""
        return _page(signatures.read_mail_token(token)[0], done=False)

    @contract.declare(
        "POST",
        "/unsubscribe/<token>",
        tag="users",
        answers={200: None},
        also=("text/html",),
        refusals=("not-found",),
    )
    def unsubscribe(token: str) -> Outcome:
        """No more e-mails of this brand to this user (RFC 8058)."""
        brand_id, user_id = signatures.read_mail_token(token)
        contacts.unsubscribe(store, brand_id, user_id)
        return _page(brand_id, done=True)

    def _page(brand_id: str, *, done: bool) -> Response:
        brand = brands.read(store, [brand_id])[brand_id]
        response = Response(render_template("unsubscribe.html", name=brand.name if brand else brand_id, done=done))
        response.headers["Content-Security-Policy"] = (
            "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
        )
        return response


def _check_brand(query: ContactQuery, caller: Caller) -> None:
    if caller.user_id is not None and query.brand_id is not None:
        raise Forbidden("What a brand knows is the brand's; leave brand_id out.")
