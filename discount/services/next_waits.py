"""The users who wait longest for a code of a discount, as scripts take them that hand out codes."""

import json
from collections.abc import Sequence
from dataclasses import dataclass

from discount.domain.ids import DiscountId
from discount.domain.model import Definition
from discount.services import personal_codes
from discount.store import keys
from discount.store.connection import Store

#: The most users to whom one script hands out codes: about a millisecond of Redis.
AT_ONCE = 50


@dataclass(frozen=True, slots=True)
class NextWaits:
    """The first users of a waiting list: their keys, and the text that names them in ARGV."""

    user_keys: Sequence[str] = ()
    text: str = ""


NO_USERS = NextWaits()


def list_keys(parsed: DiscountId) -> list[str]:
    """Return the keys of a discount's waiting list, with which the scripts begin that hand out codes."""
    return [keys.waits(parsed.partition, parsed.text), keys.waits_due(parsed.partition)]


def read(store: Store, parsed: DiscountId, definition: Definition) -> NextWaits:
    """Return the users who wait longest, for one script."""
    return read_for(store, parsed, definition, 1)[0]


def read_for(store: Store, parsed: DiscountId, definition: Definition, scripts: int) -> list[NextWaits]:
    """Return the users who wait longest, AT_ONCE for each of several scripts that run one after another."""
    user_ids: list[str] = store.command("ZRANGE", list_keys(parsed)[0], 0, scripts * AT_ONCE - 1)
    pieces = [user_ids[first : first + AT_ONCE] for first in range(0, scripts * AT_ONCE, AT_ONCE)]
    return [_next_waits(store, parsed, definition, each) if each else NO_USERS for each in pieces]


def _next_waits(store: Store, parsed: DiscountId, definition: Definition, user_ids: Sequence[str]) -> NextWaits:
    is_personal = definition.codes.kind == "personal"
    names = personal_codes.names_of(store, definition, user_ids) if is_personal else {}
    user_keys: list[str] = []
    users: list[list[str | int]] = []
    for user_id in user_ids:
        bucket = keys.grant_bucket(user_id, parsed.buckets)
        taken, candidates = list[str](), list[str | int]()
        if is_personal:
            taken, candidates = personal_codes.candidates_of(parsed, definition, user_id, names.get(user_id, ""))
        user_keys += [keys.grants(parsed.partition, parsed.text, bucket), keys.users(parsed.partition, user_id), *taken]
        # Lua's numbers cannot hold a digest.
        users.append([user_id, bucket, *map(str, candidates)])
    return NextWaits(user_keys, json.dumps(users))
