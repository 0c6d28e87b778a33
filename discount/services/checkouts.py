"""Checkouts: the request to validate or redeem a code, and all that is worked out from it, once."""

from collections.abc import Sequence
from functools import lru_cache

from msgspec import Struct

from discount.domain import code_sequence, rules
from discount.domain.audience import Customer
from discount.domain.errors import NotFound, NotGranted, Refusal
from discount.domain.identity import Identity
from discount.domain.ids import DiscountId, make_redemption_id, short_of
from discount.domain.model import Definition
from discount.domain.rules import Order
from discount.services import audiences, discounts, revocations, user_grants
from discount.store import keys
from discount.store.connection import Store
from discount.store.guards import Guard

#: Wrong codes that one user may try within GUESS_SECONDS.
USER_GUESSES = 10
#: Wrong codes that one address may try within GUESS_SECONDS.
ADDRESS_GUESSES = 1000
GUESS_SECONDS = 900


class Checkout(Struct, frozen=True):
    """A user at a checkout with a code. Either `brand_id` or `discount_id` may be None.

    Args:
        address: the client's address, whose wrong codes are counted besides the user's; empty counts none.
        customer: what the caller says of the user, for the discount's audience.
        by_user: the user asks, not the shop: order ids and idempotency keys of the two are kept apart.
    """

    user_id: str
    code: str
    order: Order
    brand_id: str | None = None
    discount_id: str | None = None
    address: str = ""
    by_user: bool = False
    customer: Customer | None = None
    identity: Identity | None = None

    @property
    def namespace(self) -> str | None:
        """The user under whom the order's id and the idempotency key are kept; None keeps them under the brand."""
        return self.user_id if self.by_user else None


class CheckoutFacts(Struct, frozen=True):
    """The facts that follow from a checkout and its brand.

    Args:
        code: the canonical form of the code.
        guess_keys: keys of the counts of wrong codes.
        guess_limits: their arguments: seconds, the user's limit, the address's limit.
    """

    brand_id: str
    partition: int
    code: str
    redemption_id: str
    guess_keys: tuple[str, str]
    guess_limits: tuple[int, int, int | str]


class PreparedCheckout(Struct, frozen=True):
    """A checkout, its discount, and what follows from both.

    Args:
        discount_amount: what the rule takes off the order, in minor units.
        off_lines: the same for each line of the order; empty without lines.
        refusals: why the rule does not apply to the order, if it does not.
        outside: why the user is not in the discount's audience, if it is judged here.
    """

    checkout: Checkout
    facts: CheckoutFacts
    discount: DiscountId
    definition: Definition
    discount_amount: int
    refusals: list[Refusal]
    outside: list[Refusal]
    off_lines: Sequence[int] = ()


def prepare(store: Store, checkout: Checkout, guard: Guard | None) -> PreparedCheckout:
    """Find the discount of a checkout's code, and work out everything that does not change until the answer.

    Raises:
        NotFound: there is no such discount, or it is another brand's.
        NotGranted: the brand has no such shared code and the user holds no such code of it.
        TooManyGuesses
    """
    if checkout.discount_id is not None:
        discount_id = checkout.discount_id
        discount = discounts.parse_id(store, discount_id)
        definition = discounts.get_definition(store, discount_id)
        if checkout.brand_id not in (None, definition.brand_id):
            raise NotFound("There is no such discount.")
        facts = facts_of(store, checkout, definition.brand_id)
    else:
        assert checkout.brand_id is not None  # noqa: S101 - the caller gives one of the two
        facts = facts_of(store, checkout, checkout.brand_id)
        discount_id = _find_discount(store, checkout, facts, guard)
        discount = discounts.parse_id(store, discount_id)
        definition = discounts.get_definition(store, discount_id)
    (outside,) = user_refusals(store, checkout, [definition])
    return judge(checkout, facts, discount, definition, outside)


def judge(
    checkout: Checkout, facts: CheckoutFacts, discount: DiscountId, definition: Definition, outside: list[Refusal]
) -> PreparedCheckout:
    """Return a checkout with what its discount takes off, and why its rule refuses the order.

    Args:
        outside: why the user is not in the audience.
    """
    rule, order = definition.rule, checkout.order
    off_lines = rules.taken_off_lines(rule, order.lines, [each.amount for each in order.lines]) if order.lines else ()
    return PreparedCheckout(
        checkout,
        facts,
        discount,
        definition,
        sum(off_lines) if order.lines else rules.taken_off(rule, order.amount),
        rules.refusals_of(rule, order),
        outside,
        off_lines,
    )


def user_refusals(store: Store, checkout: Checkout, definitions: Sequence[Definition]) -> list[list[Refusal]]:
    """Return for each discount of a brand why the user is not in its audience, if that is judged here."""
    found = [each.audience if each.audience and each.audience.at != "grant" else None for each in definitions]
    asked = [(checkout.user_id, each) for each in found if each is not None]
    if not asked:
        return [[] for _ in definitions]
    judged = iter(audiences.judge(store, definitions[0].brand_id, asked, checkout.customer))
    return [[] if each is None else next(judged) for each in found]


def wrong_code() -> NotGranted:
    """Return the refusal of a wrong code. It hides whether the code is unknown, another user's or nearly right."""
    return NotGranted("The user holds no such code here; check the spelling.")


def facts_of(store: Store, checkout: Checkout, brand_id: str) -> CheckoutFacts:
    """Return the facts of a checkout at a brand."""
    partition = keys.partition_of(brand_id, store.partitions)
    return CheckoutFacts(
        brand_id=brand_id,
        partition=partition,
        code=code_sequence.canonical(checkout.code),
        redemption_id=make_redemption_id(partition, brand_id, checkout.order.id, checkout.namespace),
        guess_keys=(
            keys.guesses(partition, brand_id, "user", checkout.user_id),
            _guesses_of_address(partition, brand_id, checkout.address),
        ),
        guess_limits=(GUESS_SECONDS, USER_GUESSES, ADDRESS_GUESSES if checkout.address else ""),
    )


# Cached: a shop calls from few addresses.
@lru_cache(maxsize=1024)
def _guesses_of_address(partition: int, brand_id: str, address: str) -> str:
    return keys.guesses(partition, brand_id, "address", address)


def _find_discount(store: Store, checkout: Checkout, facts: CheckoutFacts, guard: Guard | None) -> str:
    """Return the id of the brand's discount that the code belongs to; count a wrong code."""
    partition, brand_id, user_id = facts.partition, facts.brand_id, checkout.user_id
    shared, held, guessed, *known = store.commands(
        [
            ("HGET", keys.shared(partition, brand_id), facts.code),
            (
                *("HMGET", keys.users(partition, user_id), *user_grants.code_fields(user_id, brand_id, facts.code)),
                user_grants.traces_field(user_id),
            ),
            ("MGET", *facts.guess_keys),
            *(("LPOS", name, short_of(facts.redemption_id)) for name in keys.records(facts.redemption_id)),
        ]
    )
    if known == [None] * 3 and _guessed_too_often(guessed, facts.guess_limits):
        # Refuse before anything more is looked up. An order that was redeemed still gets its first answer.
        store.run("guess", facts.guess_keys, [*facts.guess_limits, ""], guard)
    *held, traces = held
    numbers = user_grants.numbers_of_code(held)
    grants = user_grants.held_in(store, partition, numbers, user_id, brand_id)
    matching = (each.discount_id for _, each in grants if code_sequence.canonical(each.code) == facts.code)
    # A shared code may have moved on from a discount that is over: the brand's index names the present one.
    found = next((each for each in matching if discounts.get_definition(store, each).codes.kind != "shared"), shared)
    if found is None:
        found = _find_revoked(store, facts, user_id, traces)
    if found is None:
        store.run("guess", facts.guess_keys, [*facts.guess_limits, "1"], guard)
        raise wrong_code()
    return found


def _find_revoked(store: Store, facts: CheckoutFacts, user_id: str, traces: str | None) -> str | None:
    """Return the id of the brand's discount whose code was taken back from the user."""
    if not traces:
        return None
    taken_back = revocations.list_of_user(store, facts.partition, user_id, facts.brand_id)
    return next((each.discount_id for each in taken_back if code_sequence.canonical(each.code) == facts.code), None)


def _guessed_too_often(counts: Sequence[str | None], limits: Sequence[str | int]) -> bool:
    return any(most != "" and int(count or 0) >= int(most) for count, most in zip(counts, limits[1:], strict=True))
