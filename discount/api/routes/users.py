"""Routes of users: their contacts, unsubscribing from e-mails, and forgetting a user."""

from discount import mails
from discount.api import html
from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import (
    UserId,
)
from discount.api.schemas.users import ContactIn, ContactOut, ContactQuery, Forgotten
from discount.api.streaming import Stream
from discount.domain.errors import Forbidden, Invalid
from discount.domain.model import Author, Caller
from discount.security.signing import Signer
from discount.services import brands, contacts, users
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store, signatures: Signer) -> None:
    """Declare the operations of users."""

    @contract.declare(
        "PUT",
        "/user/{user_id}",
        tag="users",
        scopes=("grant",),
        users=True,
        answers={200: ContactOut},
        refusals=("address-taken",),
    )
    def put_contact(user_id: UserId, body: ContactIn, query: ContactQuery, caller: Caller) -> ViewResult:
        """Set a user's contact: a brand for itself, a user for all brands that have no contact of their own."""
        _check_brand(query, caller)
        if body.unsubscribed is not None and query.brand_id is None:
            raise Invalid("/unsubscribed", "applies to the e-mails of one brand; brand_id must name it")
        if body.groups is not None and query.brand_id is None:
            raise Invalid("/groups", "are those of one brand; brand_id must name it")
        if body.email is not None:
            mails.check_address(body.email, "/email")
        contact = contacts.put(
            store,
            user_id,
            brand_id=query.brand_id,
            email=body.email,
            name=body.name or "",
            locale=body.locale or "",
            unsubscribed=body.unsubscribed,
            groups=body.groups,
        )
        return ContactOut.of(contact, query.brand_id), 200

    @contract.declare(
        "GET",
        "/user/{user_id}",
        tag="users",
        scopes=("grant",),
        users=True,
        answers={200: ContactOut},
        refusals=("not-found",),
    )
    def show_contact(user_id: UserId, query: ContactQuery, caller: Caller) -> ViewResult:
        """Show a user's contact: the brand's entry or, without `brand_id`, the user's own."""
        _check_brand(query, caller)
        return ContactOut.of(contacts.show(store, user_id, brand_id=query.brand_id), query.brand_id), 200

    @contract.declare(
        "DELETE",
        "/user/{user_id}",
        tag="users",
        scopes=("admin", "manage"),
        answers={200: Forgotten},
    )
    def forget_user(user_id: UserId, caller: Caller, author: Author) -> ViewResult:
        """Forget a user: remove the user from grants, redemptions and events. A brand's key does so for that brand."""
        return Forgotten.of(user_id, users.forget(store, user_id, brand_id=caller.brand_id, author=author)), 200

    @contract.declare(
        "GET",
        "/unsubscribe/{token}",
        tag="users",
        answers={200: None},
        produces=("text/html",),
        refusals=("not-found",),
    )
    def ask_unsubscribe(token: str) -> ViewResult:
        """Ask for confirmation to unsubscribe. The link itself changes nothing: mail scanners follow links."""
        return _page(signatures.read_mail_token(token)[0], done=False)

    @contract.declare(
        "POST",
        "/unsubscribe/{token}",
        tag="users",
        answers={200: None},
        produces=("text/html",),
        refusals=("not-found",),
    )
    def unsubscribe(token: str) -> ViewResult:
        """Unsubscribe the user from the brand's e-mails (RFC 8058)."""
        brand_id, user_id = signatures.read_mail_token(token)
        contacts.unsubscribe(store, brand_id, user_id)
        return _page(brand_id, done=True)

    def _page(brand_id: str, *, done: bool) -> Stream:
        brand = brands.read(store, [brand_id])[brand_id]
        page = html.render("unsubscribe.html", name=brand.name if brand else brand_id, done=done)
        policy = "default-src 'none'; style-src 'unsafe-inline'; form-action 'self'; frame-ancestors 'none'"
        return Stream([page], "text/html; charset=utf-8", {"Content-Security-Policy": policy})


def _check_brand(query: ContactQuery, caller: Caller) -> None:
    if caller.user_id is not None and query.brand_id is not None:
        raise Forbidden("A user's token cannot use a brand's contacts; leave brand_id out.")
