"""The service of waiting lists: users wait in order for codes that come back, are added or are released."""

from dataclasses import dataclass

from discount.domain.audience import Customer
from discount.domain.cursors import make_cursor, read_cursor
from discount.domain.errors import NotFound, NotWaiting, Unavailable
from discount.domain.identity import Identity
from discount.domain.model import COMMAND, Author
from discount.services import admissions, code_pools, discounts, identities, next_waits
from discount.services.pagination import Page
from discount.store import autopipeline, keys
from discount.store.connection import Store

#: Scripts that one call of `serve` runs at most; the worker calls again.
ROUNDS = 20
#: How often the script is run with which a user leaves, while the user claims identities.
TRIES = 5
#: Outcomes of the script after which it is run again at once.
_AGAIN = ("more", "changed", "refill", "clash")


@dataclass(frozen=True, slots=True)
class Wait:
    """A user's place on a waiting list, from 1, and the time since when. `fresh`: this call began the wait."""

    discount_id: str
    user_id: str
    place: int
    since: int
    fresh: bool = False


def wait(
    store: Store,
    discount_id: str,
    user_id: str,
    *,
    email: str = "",
    customer: Customer | None = None,
    identity: Identity | None = None,
) -> Wait:
    """Put a user on the waiting list of a discount, or return the place that the user has.

    A discount that is paused or has not started has a list, too.

    Args:
        email: the user's address at the brand from now on; empty changes nothing.
        customer: what the caller says of the user, for the discount's audience.
        identity: signs that two users are one person, for `per_identity`.

    Raises:
        NotFound, Closed, Expired, QuotaReached
        NotInAudience, AlreadyGrantedElsewhere, IdentityMissing: the user may be granted no code.
        AlreadyGranted: the user holds a code.
        Revoked: the user's code was taken back, and the user may be granted no other one.
        CodesLeft: no user waits, and there is a code to grant.
    """
    parsed = discounts.parse_id(store, discount_id)
    partition = parsed.partition
    bucket = keys.grant_bucket(user_id, parsed.buckets)
    names = [
        keys.usage(partition),
        keys.discount(partition, discount_id),
        keys.grants(partition, discount_id, bucket),
        keys.users(partition, user_id),
        *next_waits.list_keys(parsed),
        keys.events(partition),
    ]
    arguments = [*store.quotas.arguments, discount_id, user_id, email]
    definition = store.definitions.get(discount_id)
    admission = definition and admissions.foresee(parsed, definition, user_id, identity)
    judged, places = admission or ("", ())
    answer = store.run("wait", [*names, *places], [*arguments, judged])
    if answer.status == "asks":
        # The user is judged once, before the wait; a hand-out judges no one again.
        judged, places = admissions.admit(store, parsed, user_id, customer, identity)
        answer = store.run("wait", [*names, *places], [*arguments, judged])
    return Wait(discount_id, user_id, int(answer["place"]), int(answer["since"]), answer.status == "waits")


def show(store: Store, discount_id: str, user_id: str) -> Wait:
    """Return a user's place on the waiting list of a discount.

    Raises:
        NotFound, NotWaiting
    """
    parsed = discounts.parse_id(store, discount_id)
    listed = next_waits.list_keys(parsed)[0]
    brand, rank, since = store.commands(
        [
            ("HGET", keys.discount(parsed.partition, discount_id), "brand"),
            ("ZRANK", listed, user_id),
            ("ZSCORE", listed, user_id),
        ]
    )
    if brand is None:
        raise NotFound(f"There is no discount {discount_id}.")
    if rank is None or since is None:
        raise NotWaiting()
    return Wait(discount_id, user_id, int(rank) + 1, int(float(since)))


def leave(store: Store, discount_id: str, user_id: str, *, author: Author = COMMAND) -> None:
    """Take a user off the waiting list of a discount, and give back the identity that was claimed for the wait.

    Raises:
        NotFound, NotWaiting
    """
    parsed = discounts.parse_id(store, discount_id)
    has_identity = discounts.get_definition(store, discount_id).per_identity is not None
    bucket = keys.grant_bucket(user_id, parsed.buckets)
    names = [
        keys.usage(parsed.partition),
        keys.discount(parsed.partition, discount_id),
        *next_waits.list_keys(parsed),
        keys.events(parsed.partition),
    ]
    for _ in range(TRIES):
        claimant, claimed, places = "", "", list[str]()
        if has_identity:
            claimant, claimed, places = identities.claimed_by(store, parsed, user_id)
            of_user = keys.grants, keys.uses
            places = [*(each(parsed.partition, discount_id, bucket) for each in of_user), *places]
        arguments = [discount_id, user_id, author.by, author.request_id, claimant, claimed]
        if store.run("leave", [*names, *places], arguments).status == "left":
            return
    raise Unavailable("The user is claiming identities again and again.")


def list_page(store: Store, discount_id: str, *, limit: int = 100, cursor: str | None = None) -> Page[Wait]:
    """Return a page of the users who wait, in their order. A user who waits throughout is listed exactly once.

    Raises:
        NotFound
        Invalid: this service did not make the cursor.
    """
    parsed = discounts.parse_id(store, discount_id)
    listed = next_waits.list_keys(parsed)[0]
    after = read_cursor(cursor)[0] if cursor else 0
    brand, before, rows = store.commands(
        [
            ("HGET", keys.discount(parsed.partition, discount_id), "brand"),
            ("ZCOUNT", listed, "-inf", after),
            ("ZRANGE", listed, f"({after}", "+inf", "BYSCORE", "LIMIT", 0, limit + 1, "WITHSCORES"),
        ]
    )
    if brand is None:
        raise NotFound(f"There is no discount {discount_id}.")
    pairs = rows if rows and isinstance(rows[0], list) else list(zip(rows[::2], rows[1::2], strict=True))
    found = [
        Wait(discount_id, user_id, place, int(float(since)))
        for place, (user_id, since) in enumerate(pairs, int(before) + 1)
    ]
    following = make_cursor(found[limit - 1].since, "") if len(found) > limit else None
    return Page(found[:limit], following)


def serve(store: Store, discount_id: str) -> int:
    """Grant codes to users who wait for one, as far as there are codes and in a bounded number of steps.

    Returns:
        How many users got one.

    Raises:
        NotFound
    """
    autopipeline.leave()
    parsed = discounts.parse_id(store, discount_id)
    definition = discounts.get_definition(store, discount_id)
    partition, served = parsed.partition, 0
    for _ in range(ROUNDS):
        if definition.codes.kind == "unique":
            code_pools.refill(store, discount_id, next_waits.AT_ONCE)
        waits = next_waits.read(store, parsed, definition)
        names = [
            *next_waits.list_keys(parsed),
            keys.usage(partition),
            keys.discount(partition, discount_id),
            keys.codes(partition, discount_id),
            keys.buckets(partition, discount_id),
            keys.events(partition),
            *waits.user_keys,
        ]
        answer = store.run("serve", names, [waits.text, *store.quotas.grant_arguments])
        served += int(answer["served"])
        if answer["outcome"] not in _AGAIN:
            break
    return served
