"""The grant's command to Redis as a template, so that peers in other languages send just what the service sends."""

import json
from collections.abc import Sequence
from typing import Any
from zlib import crc32

from discount.services import discounts, grants
from discount.store import keys
from discount.store.connection import Store

#: Users whose buckets and groups differ in all discounts of some size.
USERS = ("User 1", "User 22")


class RecordingStore(Store):
    """A store that keeps what it sent last."""

    sent: Sequence[Sequence[Any]] = ()

    def _exchange_now(self, commands: Sequence[Any]) -> list[Any]:
        self.sent = commands
        return super()._exchange_now(commands)


def environment(store: RecordingStore, discount_id: str) -> dict[str, str]:
    """Return what a peer has to know: COMMAND, BUCKETS and GROUPS; README.md says what they are.

    Three users of the discount are granted a code for it.

    Raises:
        RuntimeError: the command depends on the user in a way that the peers do not know.
    """
    buckets = discounts.parse_id(store, discount_id).buckets
    # The first call may send the whole script, which Redis then knows by its digest.
    grants.grant(store, discount_id, "User 0")
    pair = [_sent(store, discount_id, user) for user in USERS]
    variables = [_variables(user, buckets) for user in USERS]
    words = [_template(each, variables) for each in zip(*pair, strict=True)]
    # Without EVALSHA, which the clients' libraries add.
    command = [word.replace(discount_id, "<discount>") for word in words[1:]]
    return {"COMMAND": json.dumps(command), "BUCKETS": str(buckets), "GROUPS": str(keys.USER_BUCKETS)}


def _sent(store: RecordingStore, discount_id: str, user: str) -> list[str]:
    grants.grant(store, discount_id, user)
    return next([str(word) for word in words] for words in store.sent if words[0] == "EVALSHA")


def _variables(user: str, buckets: int) -> dict[str, str]:
    number = crc32(user.encode())
    return {"user": user, "bucket": str(number % buckets), "group": str(number % keys.USER_BUCKETS)}


def _template(each: Sequence[str], variables: Sequence[dict[str, str]]) -> str:
    one, other = each
    if one == other:
        return one
    for name in variables[0]:
        value, other_value = (each[name] for each in variables)
        if one.endswith(value) and one.removesuffix(value) + other_value == other:
            return f"{one.removesuffix(value)}<{name}>"
    raise RuntimeError(f"no peer can make {one!r} of one user and {other!r} of another")
