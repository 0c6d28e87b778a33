"""The service of copies: what no event tells of, as the ledger keeps it and as a restore writes it.

A key is copied by its name. Of a key with many parts, one field or member is copied by itself: its name follows behind
a line break. A copy is the type of the key and its value, or None for what is gone.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any

from discount.domain.errors import Unavailable
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command
from discount.store.quotas import BYTES_OF_LISTED
from discount.store.replies import pairs

#: The version of the first change.
FIRST = 1
#: Keys that are noted, or read, together.
TOGETHER = 200

Copy = tuple[str, Any]

_READ = {"hash": "HGETALL", "string": "GET", "set": "SMEMBERS", "zset": "ZRANGE"}
_READ_PART = {"hash": "HGET", "set": "SISMEMBER", "zset": "ZSCORE"}
_REMOVE_PART = {"hash": "HDEL", "set": "SREM", "zset": "ZREM"}


def note(store: Store, names: Sequence[str], *, forgets: bool = False) -> None:
    """Note keys of one partition that changed without a script. A full Redis notes nothing.

    The ledger copies API keys and webhooks again from time to time; so a removed one does not come back for long.

    Args:
        forgets: whether a user was forgotten; then no name is kept that no ledger needs.
    """
    uncopied = keys.uncopied(keys.partition_in(names[0]))
    if forgets and store.command("ZSCORE", uncopied, "") is None:
        store.command("ZREM", uncopied, *names)
        return
    for first in range(0, len(names), TOGETHER):
        with suppress(Unavailable):
            store.run("note_changes", [names[first]], names[first + 1 : first + TOGETHER])


def read(store: Store, names: Sequence[str]) -> dict[str, Copy | None]:
    """Return the copies of keys, or of parts of keys."""
    found: dict[str, Copy | None] = {}
    for first in range(0, len(names), TOGETHER):
        together = names[first : first + TOGETHER]
        types = store.commands([("TYPE", each.partition("\n")[0]) for each in together])
        asked = {each: kind for each, kind in zip(together, types, strict=True) if kind != "none"}
        replies = store.commands([_read(name, kind) for name, kind in asked.items()])
        found |= dict.fromkeys(together)
        for (name, kind), reply in zip(asked.items(), replies, strict=True):
            if reply not in (None, 0, []):
                found[name] = kind, reply
    return found


def write(store: Store, copies: Mapping[str, Copy | None]) -> None:
    """Make keys, or parts of keys, what their copies say."""
    gone = [name for name, copy in copies.items() if copy is None and "\n" in name]
    types = store.commands([("TYPE", each.partition("\n")[0]) for each in gone])
    commands: list[Command] = [
        (_REMOVE_PART[kind], *name.split("\n", 1)) for name, kind in zip(gone, types, strict=True) if kind != "none"
    ]
    commands += [each for name, copy in copies.items() for each in (*_write(name, copy), *_derived(name, copy))]
    store.commands(commands)


def _derived(name: str, copy: Copy | None) -> Iterator[Command]:
    """Yield what follows from a copy: where a contact is listed, and the bytes of a brand's lists."""
    fields, partition = _fields(copy), keys.partition_in(name)
    contact, brand_of_lists = keys.find_contact(name), keys.find_brand_of_lists(name)
    if fields and contact is not None:
        brand_id, user_id = contact
        yield "SADD", keys.user_brands(partition, user_id), brand_id
        if fields.get("enrolled") and fields.get("email"):
            yield "HSET", keys.addresses(partition, brand_id), fields["email"].lower(), user_id
    if fields and brand_of_lists is not None:
        listed = sum(int(count) for count in fields.values())
        # What else the brand uses is added by the events that are replayed later.
        yield "HSETNX", keys.usage(partition), f"used {brand_of_lists}", f"0 0 {listed * BYTES_OF_LISTED} 0"


def _fields(copy: Copy | None) -> dict[str, str]:
    return dict(pairs(copy[1])) if copy is not None and copy[0] == "hash" and isinstance(copy[1], list) else {}


def _read(name: str, kind: str) -> Command:
    key, has_part, part = name.partition("\n")
    if has_part:
        return _READ_PART[kind], key, part
    return ("ZRANGE", key, 0, -1, "WITHSCORES") if kind == "zset" else (_READ[kind], key)


def _write(name: str, copy: Copy | None) -> Iterator[Command]:
    key, has_part, part = name.partition("\n")
    if not has_part:
        yield "DEL", key
    if copy is None:
        return
    kind, value = copy
    if has_part:
        yield {"hash": ("HSET", key, part, value), "zset": ("ZADD", key, value, part), "set": ("SADD", key, part)}[kind]
    elif kind == "string":
        yield "SET", key, value
    elif kind == "zset":
        yield "ZADD", key, *(each for pair in zip(value[1::2], value[::2], strict=True) for each in pair)
    else:
        yield "HSET" if kind == "hash" else "SADD", key, *value
