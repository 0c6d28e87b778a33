"""The state of the codes that a user holds: their discounts, what each takes off, and their uses."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from discount.domain import ids
from discount.domain.model import Discount, Grant
from discount.services import discounts
from discount.services.discount_records import read_discounts
from discount.store import keys
from discount.store.connection import Store, moment_of

#: Codes looked up in one round trip.
TOGETHER = 500
State = Literal["good", "scheduled", "paused", "used-up", "expired", "void"]


@dataclass(frozen=True, slots=True)
class HeldCode:
    """A code that a user holds, with its discount, and how often the user has used it and holds a use of it."""

    grant: Grant
    discount: Discount
    state: State
    used_count: int
    on_hold_count: int


def describe(store: Store, held: Sequence[Grant]) -> list[HeldCode]:
    """Return what codes are good for at this moment, in their order."""
    return [each for first in range(0, len(held), TOGETHER) for each in _some(store, held[first : first + TOGETHER])]


def _some(store: Store, held: Sequence[Grant]) -> list[HeldCode]:
    names = list(dict.fromkeys(each.discount_id for each in held))
    replies = store.commands(
        [("HGETALL", keys.discount(ids.partition_of(each), each)) for each in names]
        + [("HGET", _uses_key(store, each), each.user_id) for each in held]
        + [("TIME",)]
    )
    now = moment_of(replies[-1])
    found = read_discounts(store, dict(zip(names, replies[: len(names)], strict=True)), now)
    by_id = {each.id: each for each in found}
    of_users = (_uses_in(text, now) for text in replies[len(names) : -1])
    return [
        HeldCode(each, by_id[each.discount_id], _state(each, by_id[each.discount_id], used, now), used, on_hold)
        for each, (used, on_hold) in zip(held, of_users, strict=True)
    ]


def _uses_key(store: Store, held: Grant) -> str:
    parsed = discounts.parse_id(store, held.discount_id)
    return keys.uses(parsed.partition, parsed.text, keys.grant_bucket(held.user_id, parsed.buckets))


def _uses_in(text: str | None, now: int) -> tuple[int, int]:
    """Return the uses of a user, and those on hold, from what the scripts store; uses.lua says how."""
    if not text:
        return 0, 0
    used, *rest = text.split()
    holds = [each.split(",") for each in rest if "," in each]
    return int(used), sum(int(each[1]) > now for each in holds)


def _state(held: Grant, discount: Discount, used: int, now: int) -> State:
    if held.void:
        return "void"
    if held.good_until is not None and held.good_until <= now:
        return "expired"
    most = discount.limits.get("per_user")
    if discount.used_up or (most is not None and used >= most):
        return "used-up"
    status = discount.status(now)
    return status if status in ("paused", "scheduled") else "good"
