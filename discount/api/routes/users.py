"""Routes of users: where one is reached, how one gets no more e-mails, and how everything about one is forgotten."""

from discount import mails
from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import (
    UserId,
)
from discount.api.schemas.users import ContactIn, ContactOut, ContactQuery, Forgotten
from discount.api.streaming import Stream
from discount.domain.errors import Forbidden, Invalid
from discount.domain.model import Caller
from discount.security.signing import Signer
from discount.services import brands, contacts, users
from discount.store.connection import Store

_USER = {"user_id": UserId}


def add_routes(contract: Contract, store: Store, signatures: Signer) -> None:
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
    def put_contact(user_id: str, body: ContactIn, query: ContactQuery, caller: Caller) -> ViewResult:
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
    def show_contact(user_id: str, query: ContactQuery, caller: Caller) -> ViewResult:
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
    def forget_user(user_id: str, caller: Caller) -> ViewResult:
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
    def ask_unsubscribe(token: str) -> ViewResult:
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
    def unsubscribe(token: str) -> ViewResult:
        """No more e-mails of this brand to this user (RFC 8058)."""
        brand_id, user_id = signatures.read_mail_token(token)
        contacts.unsubscribe(store, brand_id, user_id)
        return _page(brand_id, done=True)

    def _page(brand_id: str, *, done: bool) -> Stream:
        from flask import render_template  # noqa: PLC0415 - see the contract

        brand = brands.read(store, [brand_id])[brand_id]
        page = render_template("unsubscribe.html", name=brand.name if brand else brand_id, done=done)
        policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
        return Stream([page.encode()], "text/html; charset=utf-8", {"Content-Security-Policy": policy})


def _check_brand(query: ContactQuery, caller: Caller) -> None:
    if caller.user_id is not None and query.brand_id is not None:
        raise Forbidden("What a brand knows is the brand's; leave brand_id out.")
