"""The verbs of contacts: where a user is reached, as a brand knows it or as the user says."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex

from discount.domain.errors import AddressTaken, NotFound
from discount.services.pagination import Page, oldest_rows, read_row_cursor
from discount.store import keys
from discount.store.connection import Store

_FIELDS = ("email", "name", "locale", "unsubscribed")


@dataclass(frozen=True, slots=True)
class Contact:
    """Where a user is reached. `unsubscribed` says that the user wants no e-mails of the brand."""

    user_id: str
    email: str | None
    name: str
    locale: str
    unsubscribed: bool = False


def put(
    store: Store,
    user_id: str,
    *,
    brand_id: str | None,
    email: str | None,
    name: str = "",
    locale: str = "",
    unsubscribed: bool | None = None,
) -> Contact:
    """Write down where a brand, or without one the user itself, says that a user is reached.

    What a brand says is seen and used by that brand alone. With no e-mail the user is reached no longer.
    `unsubscribed`: None leaves it as it is.

    Raises:
        AddressTaken: the user was enrolled here, and another one has that address.
    """
    names = [_name(store, user_id, brand_id)]
    if brand_id is not None:
        partition = keys.partition_of(brand_id, store.partitions)
        names += [keys.brand_contacts(partition, brand_id), keys.addresses(partition, brand_id)]
        names += [keys.user_brands(partition, user_id)]
    store.run("put_contact", names, [user_id, brand_id or "", email or "", name, locale])
    if unsubscribed is not None and brand_id is not None:
        unsubscribe(store, brand_id, user_id, wanted=not unsubscribed)
    return _contact(user_id, store.command("HMGET", names[0], *_FIELDS))


def show(store: Store, user_id: str, *, brand_id: str | None) -> Contact:
    """Where a user is reached by what a brand, or the user itself, has said.

    Raises:
        NotFound: nothing is known.
    """
    stored = store.command("HMGET", _name(store, user_id, brand_id), *_FIELDS)
    if not any(stored):
        raise NotFound(f"Nothing is known of how {user_id} is reached.")
    return _contact(user_id, stored)


def find(store: Store, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Contact | None]:
    """Where brands reach users by e-mail: as the brand knows them, else as they say; None where it must not.

    Args:
        wanted: pairs of a brand and a user.
    """
    replies = store.commands(
        [("HMGET", _name(store, user_id, said_by), *_FIELDS) for brand, user_id in wanted for said_by in (brand, None)]
    )
    found: dict[tuple[str, str], Contact | None] = {}
    for pair, known, own in zip(wanted, replies[::2], replies[1::2], strict=True):
        chosen = _contact(pair[1], known if known[0] else own)
        found[pair] = chosen if chosen.email and not known[3] else None
    return found


def names(store: Store, brand_id: str, user_ids: Sequence[str]) -> dict[str, str]:
    """What a brand calls users; those that it has no name for are left out."""
    found = store.commands([("HGET", _name(store, user_id, brand_id), "name") for user_id in user_ids])
    return {user_id: name for user_id, name in zip(user_ids, found, strict=True) if name}


def note_address(store: Store, brand_id: str, user_id: str, email: str) -> None:
    """Write down an address that a brand said with a grant; what else is known stays."""
    known = _contact(user_id, store.command("HMGET", _name(store, user_id, brand_id), *_FIELDS))
    if known.email != email:
        with suppress(AddressTaken):
            put(store, user_id, brand_id=brand_id, email=email, name=known.name, locale=known.locale)


def unsubscribe(store: Store, brand_id: str, user_id: str, *, wanted: bool = False) -> None:
    """Note that a user wants no e-mails of a brand, or wants them again."""
    listed = keys.user_brands(keys.partition_of(brand_id, store.partitions), user_id)
    store.run("unsubscribe", [_name(store, user_id, brand_id), listed], [brand_id, "1" if wanted else ""])


def enrol(store: Store, brand_id: str, *, name: str, email: str) -> str:
    """An id for a user who has none: the brand's next number, from 1.

    Raises:
        AddressTaken: another of them has that e-mail.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    lists = [keys.brand_contacts(partition, brand_id), keys.addresses(partition, brand_id)]
    last = store.command("HGET", lists[1], "#") or "0"
    call = token_hex(8)
    while True:
        user_id = str(int(last) + 1)
        answer = store.run(
            "enrol",
            [keys.brand_contact(partition, brand_id, user_id), *lists, keys.user_brands(partition, user_id)],
            [last, user_id, brand_id, email, name, call],
        )
        if answer.status == "enrolled":
            return user_id
        last = answer["last"]


def list_page(store: Store, brand_id: str, *, limit: int = 100, cursor: str | None = None) -> Page[Contact]:
    """Return a page of a brand's contacts, those known longest first.

    Raises:
        Invalid: this service did not make the cursor.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    after = read_row_cursor(cursor, is_id=bool) if cursor else None
    rows, following = oldest_rows(store, keys.brand_contacts(partition, brand_id), after, limit)
    replies = store.commands(
        [("HMGET", keys.brand_contact(partition, brand_id, user_id), *_FIELDS) for _, user_id in rows]
    )
    contacts = [_contact(user_id, stored) for (_, user_id), stored in zip(rows, replies, strict=True)]
    return Page(contacts, following)


def forget(store: Store, user_id: str, *, brand_id: str | None) -> None:
    """Forget where a user is reached: by a brand, or without one by all of them and in the user's own words."""
    if brand_id is None:
        store.command("DEL", _name(store, user_id, None))
    for partition in keys.partitions_of(brand_id, store.partitions):
        listed = keys.user_brands(partition, user_id)
        for each in [brand_id] if brand_id is not None else store.command("SMEMBERS", listed):
            # With no address first: another may take it from now on.
            put(store, user_id, brand_id=each, email=None)
            store.commands(
                [
                    ("ZREM", keys.brand_contacts(partition, each), user_id),
                    ("DEL", _name(store, user_id, each)),
                    ("SREM", listed, each),
                ]
            )


def _name(store: Store, user_id: str, brand_id: str | None) -> str:
    if brand_id is None:
        return keys.contact(user_id, store.partitions)
    return keys.brand_contact(keys.partition_of(brand_id, store.partitions), brand_id, user_id)


def _contact(user_id: str, stored: list[str | None]) -> Contact:
    email, name, locale, unsubscribed = stored
    return Contact(user_id, email or None, name or "", locale or "", bool(unsubscribed))
