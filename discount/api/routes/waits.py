"""Routes of waiting lists."""

from discount.api.contract import Contract, ViewResult
from discount.api.identities import identity_in
from discount.api.routes.grants import email_in
from discount.api.schemas.common import ListQuery
from discount.api.schemas.customers import customer_in
from discount.api.schemas.waits import WaitIn, WaitOut, WaitPage, WaitQuery
from discount.domain import model
from discount.security.signing import Signer
from discount.services import waiting_lists
from discount.store.connection import Store


def add_routes(contract: Contract, store: Store, signatures: Signer) -> None:
    """Declare the operations of waiting lists."""

    @contract.declare(
        "POST",
        "/discount/{discount_id}/wait",
        tag="waiting lists",
        scopes=("grant",),
        users=True,
        answers={201: WaitOut, 200: WaitOut},
        refusals=(
            "not-found",
            "closed",
            "expired",
            "already-granted",
            "revoked",
            "codes-left",
            "quota-reached",
            "not-in-audience",
            "already-granted-elsewhere",
            "identity-missing",
        ),
    )
    def begin_wait(discount_id: str, body: WaitIn, caller: model.Caller) -> ViewResult:
        """Put a user on the waiting list of a discount: 201 the first time, then 200 with the place by now."""
        email, customer = email_in(body.email, caller), customer_in(body.customer, caller)
        identity = identity_in(body.identity, signatures)
        wait = waiting_lists.wait(store, discount_id, body.user_id, email=email, customer=customer, identity=identity)
        return WaitOut.of(wait), 201 if wait.fresh else 200

    @contract.declare(
        "GET",
        "/discount/{discount_id}/wait",
        tag="waiting lists",
        scopes=("read",),
        users=True,
        answers={200: WaitOut},
        refusals=("not-found", "not-waiting"),
    )
    def show_wait(discount_id: str, query: WaitQuery) -> ViewResult:
        """Show a user's place on the waiting list of a discount."""
        return WaitOut.of(waiting_lists.show(store, discount_id, query.user_id)), 200

    @contract.declare(
        "DELETE",
        "/discount/{discount_id}/wait",
        tag="waiting lists",
        scopes=("grant",),
        users=True,
        answers={204: None},
        refusals=("not-found", "not-waiting"),
    )
    def end_wait(discount_id: str, query: WaitQuery, author: model.Author) -> ViewResult:
        """Take a user off the waiting list of a discount."""
        waiting_lists.leave(store, discount_id, query.user_id, author=author)
        return None, 204

    @contract.declare(
        "GET",
        "/discount/{discount_id}/waits",
        tag="waiting lists",
        scopes=("read",),
        answers={200: WaitPage},
        refusals=("not-found",),
    )
    def list_waits(discount_id: str, query: ListQuery) -> ViewResult:
        """List the users who wait for a code of a discount, the next one first."""
        page = waiting_lists.list_page(store, discount_id, limit=query.limit, cursor=query.cursor)
        return WaitPage([WaitOut.of(each) for each in page.items], page.next), 200
