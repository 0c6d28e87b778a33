"""The audience of a discount: groups, lists of users, and facts that the caller states about the customer."""

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import msgspec
from msgspec import Struct

from discount.domain.errors import NotInAudience, Refusal

#: Where the audience of a discount is judged.
Judged = Literal["grant", "checkout", "both"]


class Audience(Struct, frozen=True, omit_defaults=True):
    """The users of a discount: those in one of the groups or lists, with orders as stated.

    Args:
        lists: names of lists of users that the brand keeps.
        spent_at_least: in minor units of the currency that the caller counts in.
    """

    groups: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    first_order: bool = False
    orders_at_least: int | None = None
    spent_at_least: int | None = None
    at: Judged = "both"


class Customer(Struct, frozen=True):
    """Facts that a caller states about a user: the orders before this one, their sum, and the user's groups."""

    orders: int | None = None
    spent: int | None = None
    groups: tuple[str, ...] = ()


NOBODY_KNOWN = Customer()


def refusals_of(audience: Audience, customer: Customer, *, is_member: bool) -> list[Refusal]:
    """Return why a user is not in an audience; empty for one who is.

    Args:
        is_member: whether the user is in one of the groups or lists.
    """
    found: list[Refusal] = []
    if (audience.groups or audience.lists) and not is_member:
        found.append(NotInAudience(condition="groups"))
    if audience.first_order and customer.orders != 0:
        found.append(_missed("first_order", 0, customer.orders))
    for condition, least, stated in (
        ("orders_at_least", audience.orders_at_least, customer.orders),
        ("spent_at_least", audience.spent_at_least, customer.spent),
    ):
        if least is not None and (stated is None or stated < least):
            found.append(_missed(condition, least, stated))
    return found


def is_in_group(audience: Audience, groups: Sequence[str]) -> bool:
    """Return whether one of the groups is in the audience."""
    return not set(audience.groups).isdisjoint(groups)


def write(audience: Audience | None) -> str:
    """Return an audience as it is stored; empty for none."""
    return msgspec.json.encode(audience).decode() if audience else ""


@lru_cache(maxsize=1024)
def read(text: str) -> Audience | None:
    """Return a stored audience."""
    return msgspec.json.decode(text, type=Audience) if text else None


def _missed(condition: str, least: int, stated: int | None) -> NotInAudience:
    if stated is None:
        return NotInAudience("The caller has to state it in `customer`.", condition=condition, least=least)
    return NotInAudience(condition=condition, least=least, stated=stated)
