"""The service of contacts: how a user is reached, as a brand or as the user has entered it."""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from secrets import token_hex

from discount.domain.errors import AddressTaken, NotFound
from discount.services import copies
from discount.services.pagination import Page, oldest_rows, read_row_cursor
from discount.store import keys
from discount.store.connection import Store

_FIELDS = ("email", "name", "locale", "unsubscribed", "groups")


@dataclass(frozen=True, slots=True)
class Contact:
    """A user's e-mail address, name, language and groups. `unsubscribed` means: no e-mails of this brand."""

    user_id: str
    email: str | None
    name: str
    locale: str
    unsubscribed: bool = False
    groups: tuple[str, ...] = ()


def put(
    store: Store,
    user_id: str,
    *,
    brand_id: str | None,
    email: str | None,
    name: str = "",
    locale: str = "",
    unsubscribed: bool | None = None,
    groups: Sequence[str] | None = None,
) -> Contact:
    """Store a user's contact for a brand; without a brand, the contact that the user entered.

    Only that brand sees and uses its contact.

    Args:
        email: None removes the address, so the user gets no e-mails there.
        unsubscribed: None leaves it unchanged.
        groups: the groups in which the brand has the user; None leaves them unchanged.

    Raises:
        AddressTaken: the user has an id made by `enrol`, and another such user has that address.
    """
    names = [_name(store, user_id, brand_id)]
    if brand_id is not None:
        partition = keys.partition_of(brand_id, store.partitions)
        names += [keys.brand_contacts(partition, brand_id), keys.addresses(partition, brand_id)]
        names += [keys.user_brands(partition, user_id)]
    store.run("put_contact", names, [user_id, brand_id or "", email or "", name, locale])
    if unsubscribed is not None and brand_id is not None:
        unsubscribe(store, brand_id, user_id, wanted=not unsubscribed)
    if groups is not None and brand_id is not None:
        store.command(*(("HSET", names[0], "groups", " ".join(groups)) if groups else ("HDEL", names[0], "groups")))
        copies.note(store, names[:1])
    return _contact(user_id, store.command("HMGET", names[0], *_FIELDS))


def show(store: Store, user_id: str, *, brand_id: str | None) -> Contact:
    """Return a user's contact at a brand; without a brand, the one that the user entered.

    Raises:
        NotFound: there is none.
    """
    stored = store.command("HMGET", _name(store, user_id, brand_id), *_FIELDS)
    if not any(stored):
        raise NotFound(f"There is no contact of the user {user_id}.")
    return _contact(user_id, stored)


def find(store: Store, wanted: Sequence[tuple[str, str]]) -> dict[tuple[str, str], Contact | None]:
    """Return e-mail contacts: the brand's entry first, then the user's own; None if unsubscribed or unknown.

    Args:
        wanted: pairs of a brand and a user.
    """
    replies = store.commands(
        [
            ("HMGET", _name(store, user_id, brand_id), *_FIELDS)
            for brand, user_id in wanted
            for brand_id in (brand, None)
        ]
    )
    found: dict[tuple[str, str], Contact | None] = {}
    for pair, known, own in zip(wanted, replies[::2], replies[1::2], strict=True):
        chosen = _contact(pair[1], known if known[0] else own)
        found[pair] = chosen if chosen.email and not known[3] else None
    return found


def have_addresses(store: Store, wanted: Sequence[tuple[str, str]]) -> list[bool]:
    """Return for each pair of a brand and a user whether an e-mail address is known. Cheaper than `find`."""
    names = [_name(store, user_id, brand_id) for brand, user_id in wanted for brand_id in (brand, None)]
    by_partition: dict[int, list[str]] = {}
    for each in names:
        by_partition.setdefault(keys.partition_in(each), []).append(each)
    # Most users have no contact: one command for each partition says so.
    counts = store.commands([("EXISTS", *several) for several in by_partition.values()])
    several = [each for own, count in zip(by_partition.values(), counts, strict=True) if count for each in own]
    emails = dict(zip(several, store.commands([("HGET", each, "email") for each in several]), strict=True))
    return [bool(emails.get(known) or emails.get(own)) for known, own in zip(names[::2], names[1::2], strict=True)]


def names(store: Store, brand_id: str, user_ids: Sequence[str]) -> dict[str, str]:
    """Return the names that a brand uses for users; users without a name are left out."""
    found = store.commands([("HGET", _name(store, user_id, brand_id), "name") for user_id in user_ids])
    return {user_id: name for user_id, name in zip(user_ids, found, strict=True) if name}


def note_address(store: Store, brand_id: str, user_id: str, email: str) -> None:
    """Store an address that a brand sent with a grant, and keep the rest of the contact."""
    known = _contact(user_id, store.command("HMGET", _name(store, user_id, brand_id), *_FIELDS))
    if known.email != email:
        with suppress(AddressTaken):
            put(store, user_id, brand_id=brand_id, email=email, name=known.name, locale=known.locale)


def unsubscribe(store: Store, brand_id: str, user_id: str, *, wanted: bool = False) -> None:
    """Unsubscribe a user from a brand's e-mails, or subscribe the user again if `wanted`."""
    listed = keys.user_brands(keys.partition_of(brand_id, store.partitions), user_id)
    store.run("unsubscribe", [_name(store, user_id, brand_id), listed], [brand_id, "1" if wanted else ""])


def enrol(store: Store, brand_id: str, *, name: str, email: str) -> str:
    """Store a contact and return a new id for its user: the brand's next number, from 1.

    Raises:
        AddressTaken: another user with such an id has that address.
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
    """Delete a user's contact at a brand; without a brand, every contact of the user."""
    if brand_id is None:
        store.command("DEL", _name(store, user_id, None))
        copies.note(store, [_name(store, user_id, None)], forgets=True)
    for partition in keys.partitions_of(brand_id, store.partitions):
        listed = keys.user_brands(partition, user_id)
        for each in [brand_id] if brand_id is not None else store.command("SMEMBERS", listed):
            # Remove the address first, so that another user may take it.
            put(store, user_id, brand_id=each, email=None)
            store.commands(
                [
                    ("ZREM", keys.brand_contacts(partition, each), user_id),
                    ("DEL", _name(store, user_id, each)),
                    ("SREM", listed, each),
                ]
            )
            listed_at = f"{keys.brand_contacts(partition, each)}\n{user_id}"
            copies.note(store, [_name(store, user_id, each), listed_at], forgets=True)


def _name(store: Store, user_id: str, brand_id: str | None) -> str:
    if brand_id is None:
        return keys.contact(user_id, store.partitions)
    return keys.brand_contact(keys.partition_of(brand_id, store.partitions), brand_id, user_id)


def _contact(user_id: str, stored: list[str | None]) -> Contact:
    email, name, locale, unsubscribed, groups = stored
    return Contact(user_id, email or None, name or "", locale or "", bool(unsubscribed), tuple((groups or "").split()))
