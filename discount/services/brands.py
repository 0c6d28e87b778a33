"""The service of brands and of their API keys."""

import json
from collections.abc import Mapping, Sequence
from functools import partial

import msgspec

from discount.domain.digests import Digest
from discount.domain.errors import Expired, Invalid, NotFound
from discount.domain.model import (
    COMMAND,
    KEY_SCOPES,
    ApiKey,
    Author,
    Brand,
    Scope,
)
from discount.security import api_keys
from discount.services import copies, discount_changes, discount_lists
from discount.services.pagination import Page, by_id, list_newest, zsets_of
from discount.store import keys
from discount.store.connection import Store
from discount.store.replies import pairs

#: The time zone of a brand that has set none.
UTC = "UTC"


def create(store: Store, brand_id: str, name: str, email: str | None = None) -> Brand:
    """Create a brand. A repeated call with the same values returns the existing one.

    Raises:
        BrandTaken: a brand with that id exists and differs.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    store.run(
        "create_brand",
        [keys.brand(partition, brand_id), keys.brands(partition)],
        [brand_id, name, email or ""],
    )
    return show(store, brand_id)


def show(store: Store, brand_id: str) -> Brand:
    """Return a brand.

    Raises:
        NotFound
    """
    found = read(store, [brand_id])[brand_id]
    if found is None:
        raise _no_brand(brand_id)
    return found


def read(store: Store, ids: Sequence[str]) -> dict[str, Brand | None]:
    """Return brands by their ids; None for an unknown id."""
    replies = store.commands([("HGETALL", _key(store, each)) for each in ids])
    return {each: _brand(each, dict(pairs(reply))) if reply else None for each, reply in zip(ids, replies, strict=True)}


def list_page(store: Store, *, limit: int = 100, cursor: str | None = None) -> Page[Brand]:
    """Return a page of all brands, newest first.

    Raises:
        Invalid: this service did not make the cursor.
    """
    zsets = [keys.brands(each) for each in range(store.partitions)]
    return list_newest(zsets_of(store, zsets), by_id(partial(read, store)), is_id=bool, limit=limit, cursor=cursor)


def change(store: Store, brand_id: str, changes: Mapping[str, str | Sequence[str] | Digest | None]) -> Brand:
    """Change a brand's name, e-mail address, time zone or daily digest, or the kinds of e-mails that are not sent.

    None removes a value.

    Raises:
        NotFound, BrandClosed
    """
    digest_at = _next_digest(store, brand_id, changes) if changes.keys() & {"digest", "timezone"} else ""
    fields = [part for name, value in changes.items() for part in (name, _stored(value))]
    names = [_key(store, brand_id), keys.digests(keys.partition_of(brand_id, store.partitions))]
    try:
        store.run("change_brand", names, [json.dumps(fields), brand_id, digest_at])
    except NotFound:
        raise _no_brand(brand_id) from None
    return show(store, brand_id)


def close(store: Store, brand_id: str, *, author: Author = COMMAND) -> Brand:
    """Close a brand for good: revoke its keys and close its discounts. Codes that users hold stay good.

    A repeated call finishes what an interrupted one left.

    Raises:
        NotFound
    """
    try:
        store.run("close_brand", [_key(store, brand_id)], [])
    except NotFound:
        raise _no_brand(brand_id) from None
    for each in list_keys(store, brand_id):
        revoke_key(store, brand_id, each.id)
    for discount in discount_lists.list_all(store, brand_id=brand_id):
        if not discount.closed:
            discount_changes.close(store, discount.id, author=author)
    return show(store, brand_id)


def create_key(
    store: Store,
    secret: str,
    brand_id: str,
    name: str,
    *,
    scopes: Sequence[Scope] = KEY_SCOPES,
    expires_at: int | None = None,
) -> tuple[ApiKey, str]:
    """Create an API key; return it and its text, which is not stored.

    Args:
        secret: the installation's secret, with which keys are hashed.

    Raises:
        NotFound, BrandClosed
        Invalid: expires_at has passed.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    key_id, text = api_keys.make(partition)
    ordered = tuple(each for each in KEY_SCOPES if each in scopes)
    try:
        answer = store.run(
            "create_key",
            [
                keys.brand(partition, brand_id),
                keys.brand_keys(partition, brand_id),
                keys.api_key(partition, key_id),
            ],
            [
                key_id,
                brand_id,
                api_keys.digest(secret, text),
                name,
                " ".join(ordered),
                "" if expires_at is None else f"{expires_at:016d}",
            ],
        )
    except NotFound:
        raise _no_brand(brand_id) from None
    except Expired:
        raise Invalid("/expires_at", "is in the past") from None
    return ApiKey(key_id, brand_id, name, ordered, int(answer["created_at"]), expires_at), text


def list_keys(store: Store, brand_id: str) -> list[ApiKey]:
    """Return the keys of a brand, oldest first, including expired ones.

    Raises:
        NotFound
    """
    show(store, brand_id)
    partition = keys.partition_of(brand_id, store.partitions)
    ids = store.command("ZRANGE", keys.brand_keys(partition, brand_id), 0, -1)
    replies = store.commands([("HGETALL", keys.api_key(partition, each)) for each in ids])
    return [_api_key(each, dict(pairs(reply))) for each, reply in zip(ids, replies, strict=True) if reply]


def revoke_key(store: Store, brand_id: str, key_id: str) -> None:
    """Revoke a key. Calls that start later with it are refused.

    Raises:
        NotFound
    """
    partition = keys.partition_of(brand_id, store.partitions)
    if api_keys.partition_of(key_id) != partition:
        raise NotFound("The brand has no such key.")
    name = keys.api_key(partition, key_id)
    if store.command("HGET", name, "brand") != brand_id:
        raise NotFound("The brand has no such key.")
    # Plain commands: a full Redis runs no scripts, and revoking a key must work even then.
    store.commands([("DEL", name), ("ZREM", keys.brand_keys(partition, brand_id), key_id)])
    copies.note(store, [name, f"{keys.brand_keys(partition, brand_id)}\n{key_id}"])


def _next_digest(store: Store, brand_id: str, changes: Mapping[str, str | Sequence[str] | Digest | None]) -> str:
    """Return when the next digest is due after a change: `none` for never, empty for a brand that never had one."""
    brand = show(store, brand_id)
    digest, zone = changes.get("digest", brand.digest), changes.get("timezone", brand.timezone)
    if not isinstance(digest, Digest):
        return "none" if "digest" in changes else ""
    in_zone = msgspec.structs.replace(digest, timezone=zone if isinstance(zone, str) else UTC)
    return str(in_zone.next_after(store.now()))


def _stored(value: str | Sequence[str] | Digest | None) -> str:
    if isinstance(value, Digest):
        # Its time zone is a field of the brand.
        return msgspec.json.encode(msgspec.structs.replace(value, timezone=UTC)).decode()
    return value or "" if isinstance(value, str | None) else " ".join(value)


def _key(store: Store, brand_id: str) -> str:
    return keys.brand(keys.partition_of(brand_id, store.partitions), brand_id)


def _no_brand(brand_id: str) -> NotFound:
    return NotFound(f"There is no brand {brand_id}; create it first.")


def _brand(brand_id: str, stored: Mapping[str, str]) -> Brand:
    closed_at, zone = stored.get("closed_at"), stored.get("timezone")
    digest = msgspec.json.decode(stored["digest"], type=Digest) if "digest" in stored else None
    return Brand(
        id=brand_id,
        name=stored["name"],
        email=stored.get("email"),
        created_at=int(stored["created_at"]),
        closed_at=int(closed_at) if closed_at else None,
        mails_off=tuple(stored.get("mails_off", "").split()),
        digest=None if digest is None else msgspec.structs.replace(digest, timezone=zone or UTC),
        timezone=zone,
    )


def _api_key(key_id: str, stored: Mapping[str, str]) -> ApiKey:
    expires_at, used_at = stored.get("expires_at"), stored.get("used_at")
    return ApiKey(
        id=key_id,
        brand_id=stored["brand"],
        name=stored["name"],
        scopes=tuple(stored["scopes"].split()),  # type: ignore[arg-type]
        created_at=int(stored["created_at"]),
        expires_at=int(expires_at) if expires_at else None,
        used_at=int(used_at) if used_at else None,
    )
