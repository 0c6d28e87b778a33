"""The service of audiences: judge whether users may use a discount."""

from collections.abc import Sequence

from discount.domain import audience
from discount.domain.audience import NOBODY_KNOWN, Audience, Customer
from discount.domain.errors import Refusal
from discount.services import user_lists
from discount.store import keys
from discount.store.connection import Store


def judge(store: Store, brand_id: str, user_id: str, of: Audience, customer: Customer | None) -> list[Refusal]:
    """Return why a user is not in an audience; one exchange, if what the caller says does not tell."""
    return judge_many(store, brand_id, [user_id], of, customer)[0]


def judge_many(
    store: Store, brand_id: str, user_ids: Sequence[str], of: Audience, customer: Customer | None = None
) -> list[list[Refusal]]:
    """Return for each of many users why it is not in an audience."""
    stated = customer or NOBODY_KNOWN
    members = set(user_ids) if audience.is_in_group(of, stated.groups) else _members(store, brand_id, user_ids, of)
    return [audience.refusals_of(of, stated, is_member=each in members) for each in user_ids]


def _members(store: Store, brand_id: str, user_ids: Sequence[str], of: Audience) -> set[str]:
    """Return those users who are in a group that the brand keeps, or on a list."""
    found: set[str] = set()
    if of.groups:
        partition = keys.partition_of(brand_id, store.partitions)
        kept = store.commands(
            [("HGET", keys.brand_contact(partition, brand_id, user_id), "groups") for user_id in user_ids]
        )
        found = {
            user_id
            for user_id, groups in zip(user_ids, kept, strict=True)
            if audience.is_in_group(of, (groups or "").split())
        }
    if of.lists:
        found |= user_lists.on_lists(store, brand_id, of.lists, user_ids)
    return found
