"""The service of audiences: judge whether users may use a discount."""

from collections.abc import Sequence

from discount.domain import audience
from discount.domain.audience import NOBODY_KNOWN, Audience, Customer
from discount.domain.errors import Refusal
from discount.services import user_lists
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command


def judge(
    store: Store, brand_id: str, asked: Sequence[tuple[str, Audience]], customer: Customer | None
) -> list[list[Refusal]]:
    """Return for each user and audience why the user is not in it. It takes one exchange at most."""
    stated = customer or NOBODY_KNOWN
    lookups = [
        [] if audience.is_in_group(of, stated.groups) else _lookups(store, brand_id, user_id, of)
        for user_id, of in asked
    ]
    replies = iter(store.commands([command for several in lookups for command in several]))
    found = []
    for (_, of), several in zip(asked, lookups, strict=True):
        is_member = not several
        for command in several:
            reply = next(replies)
            is_member |= audience.is_in_group(of, (reply or "").split()) if command[0] == "HGET" else bool(reply)
        found.append(audience.refusals_of(of, stated, is_member=is_member))
    return found


def _lookups(store: Store, brand_id: str, user_id: str, of: Audience) -> list[Command]:
    """Return commands that tell whether a user is in a group that the brand keeps, or on a list."""
    contact = keys.brand_contact(keys.partition_of(brand_id, store.partitions), brand_id, user_id)
    groups: list[Command] = [("HGET", contact, "groups")] if of.groups else []
    return groups + [user_lists.lookup(store, brand_id, name, user_id) for name in of.lists]
