"""Routes of grants."""

from typing import Any, get_args

from discount import metrics
from discount.api.contract import Contract, ViewResult
from discount.api.identities import identity_in
from discount.api.schemas.common import BrandId, UserId, missing_out
from discount.api.schemas.customers import customer_in
from discount.api.schemas.grants import (
    GrantIn,
    GrantOut,
    GrantOutcome,
    GrantPage,
    GrantQuery,
    GrantsIn,
    GrantsOut,
    GrantsQuery,
    HeldCodeOut,
    HeldCodePage,
    NoGrant,
    RevocationOut,
    RevokeIn,
    UserQuery,
)
from discount.api.streaming import csv_response
from discount.domain import model
from discount.domain.errors import Forbidden, Refusal
from discount.domain.metadata import NO_METADATA, write
from discount.mails import check_address
from discount.security.signing import Signer
from discount.services import brand_grants, grant_lists, grant_records, grants, revocations, user_grants, wallets
from discount.services.pagination import Page
from discount.store.connection import Store
from discount.store.guards import Guard

#: Bytes; 10,000 user ids of 128 characters fit, even if each is escaped as \uXXXX.
BULK_BODY = 8 * 1024 * 1024
_NO_GRANT: tuple[str, ...] = get_args(NoGrant)


def add_routes(contract: Contract, store: Store, signatures: Signer) -> None:
    """Declare the operations of grants."""

    @contract.declare(
        "POST",
        "/discount/{discount_id}/grant",
        tag="grants",
        scopes=("grant",),
        users=True,
        fast_path=True,
        answers={201: GrantOut, 200: GrantOut},
        refusals=("not-found", "already-granted-elsewhere", *_NO_GRANT),
    )
    def grant_code(discount_id: str, body: GrantIn, caller: model.Caller, guard: Guard | None) -> ViewResult:
        """Grant a user a code: 201 the first time, then 200 with the same code."""
        email = email_in(body.email, caller)
        metadata = body.metadata or NO_METADATA
        return _answer(
            grants.grant(
                store,
                discount_id,
                body.user_id,
                email=email,
                metadata=metadata,
                customer=customer_in(body.customer, caller),
                identity=identity_in(body.identity, signatures),
                guard=guard,
            )
        )

    @contract.declare(
        "GET",
        "/discount/{discount_id}/grant",
        tag="grants",
        scopes=("read",),
        users=True,
        answers={200: GrantOut},
        refusals=("not-found", "not-granted"),
    )
    def show_grant(discount_id: str, query: GrantQuery) -> ViewResult:
        """Show the grant that a user holds."""
        return GrantOut.of(grant_records.held_grant(store, discount_id, query.user_id)), 200

    @contract.declare(
        "POST",
        "/discount/{discount_id}/grants",
        tag="grants",
        scopes=("grant",),
        max_body=BULK_BODY,
        answers={200: GrantsOut},
        refusals=("not-found",),
    )
    def grant_codes(discount_id: str, body: GrantsIn) -> ViewResult:
        """Grant up to 10,000 users a code each. Each user has an outcome."""
        outcomes = grants.grant_many(store, discount_id, body.user_ids, metadata=body.metadata or NO_METADATA)
        metrics.GRANTS.inc(sum(not isinstance(outcome, Refusal) and outcome.fresh for outcome in outcomes))
        rows = [GrantOutcome.of(*pair) for pair in zip(body.user_ids, outcomes, strict=True)]
        return GrantsOut(discount_id=discount_id, grants=rows), 200

    @contract.declare(
        "GET",
        "/discount/{discount_id}/grants",
        tag="grants",
        scopes=("read",),
        answers={200: GrantPage},
        produces=("text/csv",),
        refusals=("not-found",),
    )
    def list_grants(discount_id: str, query: GrantsQuery) -> ViewResult:
        """List the grants of a discount: pages of JSON, or all of them as CSV."""
        if query.format == "csv":
            rows = map(_row, grant_lists.list_all(store, discount_id, metadata=query.metadata))
            return csv_response(f"{discount_id}-grants", _COLUMNS, rows)
        page = grant_lists.list_page(store, discount_id, **_paging(query))
        return _page(page), 200

    @contract.declare(
        "POST",
        "/discount/{discount_id}/grant/revoke",
        tag="grants",
        scopes=("manage",),
        answers={200: RevocationOut},
        refusals=("not-found", "not-granted", "already-granted", *_NO_GRANT),
    )
    def revoke_code(discount_id: str, body: RevokeIn, author: model.Author) -> ViewResult:
        """Take a code back from a user: void it, return it to the pool, or pass it on. Uses already made stay."""
        return RevocationOut.of(
            revocations.revoke(
                store,
                discount_id,
                body.user_id,
                reason=body.reason,
                back=body.back,
                next_user_id=body.next_user_id,
                reissue=body.reissue,
                code=body.code,
                author=author,
            )
        ), 200

    @contract.declare(
        "POST",
        "/brand/{brand_id}/grant",
        tag="grants",
        scopes=("grant",),
        users=True,
        answers={201: GrantOut, 200: GrantOut},
        refusals=("not-found", "sold-out", "quota-reached"),
    )
    def grant_code_of_brand(brand_id: BrandId, body: GrantIn, caller: model.Caller) -> ViewResult:
        """Grant a user a usable code of a brand: one that the user holds, or one of an active discount."""
        email, metadata = email_in(body.email, caller), body.metadata or NO_METADATA
        return _answer(
            brand_grants.grant_of_brand(
                store,
                brand_id,
                body.user_id,
                email=email,
                metadata=metadata,
                customer=customer_in(body.customer, caller),
                identity=identity_in(body.identity, signatures),
            )
        )

    @contract.declare(
        "GET",
        "/user/{user_id}/grants",
        tag="grants",
        scopes=("read",),
        users=True,
        answers={200: HeldCodePage},
    )
    def list_grants_of_user(user_id: UserId, query: UserQuery) -> ViewResult:
        """List the codes that a user holds, with what each takes off, its state and its uses."""
        page = user_grants.list_of_user(store, user_id, brand_id=query.brand_id, **_paging(query))
        held = [HeldCodeOut.of_held(each) for each in wallets.describe(store, page.items)]
        return HeldCodePage(held, page.next, missing_out(page.missing)), 200


_COLUMNS = ("user_id", "code", "granted_at", "good_until", "void", "metadata")


def _row(each: model.Grant) -> tuple[str, ...]:
    until = "" if each.good_until is None else model.to_text(each.good_until)
    void, metadata = "true" if each.void else "false", write(each.metadata or NO_METADATA)
    return (each.user_id, each.code, model.to_text(each.granted_at), until, void, metadata)


def email_in(email: str | None, caller: model.Caller) -> str:
    """Return the user's e-mail address of a request; empty without one.

    Raises:
        Forbidden: only a brand may send it.
        Invalid: it is not an address.
    """
    if email is None:
        return ""
    if caller.user_id is not None:
        raise Forbidden("Only a brand may send `email`; a user's token sets it with PUT /user/{user_id}.")
    check_address(email, "/email")
    return email


def _answer(grant: model.Grant) -> ViewResult:
    if grant.fresh:
        metrics.GRANTS.inc()
        return GrantOut.of(grant), 201
    return GrantOut.of(grant), 200


def _paging(query: GrantsQuery | UserQuery) -> dict[str, Any]:
    return {"limit": query.limit, "cursor": query.cursor, "metadata": query.metadata}


def _page(page: Page[model.Grant]) -> GrantPage:
    return GrantPage(
        grants=[GrantOut.of(each) for each in page.items], next=page.next, missing=missing_out(page.missing)
    )
