"""The service of user lists: users that a brand names for the audience of discounts.

A list keeps eight bytes of each user, in many small sets that Redis stores as plain arrays.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from itertools import islice

from discount.domain.errors import Invalid, Malformed, NotFound
from discount.services import copies, slices
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command

#: Users in one call of the script.
AT_ONCE = 500
#: Calls of the script sent together.
CALLS = 4
#: The most users of a list: more would take sets that Redis stores as arrays beyond their size.
MOST_USERS = 3_000_000
#: The most lines of an upload.
MOST_LINES = 20_000_000
#: The most lists of a brand.
MOST_LISTS = 100
#: The sets of a list.
BUCKETS = 8192
#: The longest user id.
LONGEST = 128
#: The most lines of an upload that a report names; all are counted.
NAMED = 100


@dataclass(frozen=True, slots=True)
class UserList:
    """A list of users of a brand."""

    brand_id: str
    name: str
    users_count: int


@dataclass(frozen=True, slots=True)
class Added:
    """The result of an upload: new users, users who were on the list, and lines that are no user id."""

    added_count: int
    repeated_count: int
    bad_count: int
    bad_lines: Sequence[int]


def add(store: Store, brand_id: str, name: str, lines: Iterable[tuple[int, str]]) -> Added:
    """Put users on a list, in constant memory; the first upload makes the list.

    Raises:
        QuotaReached: what was added before it stays.
        Malformed: there are more than MOST_LINES lines; those up to there are added.
        Invalid: the list, or the brand, has the most that it may have.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    added = good = bad = 0
    bad_lines: list[int] = []
    rest = _bounded(lines)
    while batch := list(islice(rest, AT_ONCE * CALLS)):
        slices.between()
        users = []
        for number, user_id in batch:
            if 0 < len(user_id) <= LONGEST and user_id.isprintable():
                users.append(user_id)
            else:
                bad += 1
                bad_lines += [number] if len(bad_lines) < NAMED else []
        good += len(users)
        pieces = [users[first : first + AT_ONCE] for first in range(0, len(users), AT_ONCE)]
        for answer in store.run_many(
            "add_to_list", [_add_call(store, partition, brand_id, name, each) for each in pieces]
        ):
            refusal = answer.refusal()
            if refusal is not None:
                raise refusal
            if answer.status == "full":
                raise Invalid(
                    "name", f"cannot have more: a brand has {MOST_LISTS} lists of {MOST_USERS:,} users at most"
                )
            added += int(answer["added_count"])
    return Added(added, good - added, bad, bad_lines)


def show(store: Store, brand_id: str, name: str) -> UserList:
    """Return a list with the number of its users.

    Raises:
        NotFound
    """
    count = store.command("HGET", keys.user_lists(keys.partition_of(brand_id, store.partitions), brand_id), name)
    if count is None:
        raise NotFound("The brand has no such list.")
    return UserList(brand_id, name, int(count))


def list_all(store: Store, brand_id: str) -> list[UserList]:
    """Return the lists of a brand, by name."""
    found = store.command("HGETALL", keys.user_lists(keys.partition_of(brand_id, store.partitions), brand_id))
    return [UserList(brand_id, name, int(count)) for name, count in sorted(zip(found[::2], found[1::2], strict=True))]


def drop(store: Store, brand_id: str, name: str) -> UserList:
    """Delete a list, and return what it was. Discounts that name it then have no users by it.

    Raises:
        NotFound
    """
    found = show(store, brand_id, name)
    partition = keys.partition_of(brand_id, store.partitions)
    # First the users: a list of the same name, made after a crash here, must not have them.
    for first in range(0, BUCKETS, AT_ONCE):
        buckets = range(first, min(first + AT_ONCE, BUCKETS))
        gone = [keys.user_list(partition, brand_id, name, each) for each in buckets]
        store.command("UNLINK", *gone)
        copies.note(store, gone)
    names = [keys.usage(partition), keys.user_lists(partition, brand_id)]
    store.run("drop_list", names, [*store.quotas.arguments, brand_id, name])
    return found


def lookup(store: Store, brand_id: str, name: str, user_id: str) -> Command:
    """Return the command that answers whether a user is on a list."""
    digest = _digest(user_id)
    return (
        "SISMEMBER",
        keys.user_list(keys.partition_of(brand_id, store.partitions), brand_id, name, digest % BUCKETS),
        digest,
    )


def forget(store: Store, user_id: str, *, brand_id: str | None) -> None:
    """Take a user off all lists of a brand; without a brand, off all lists."""
    for partition in keys.partitions_of(brand_id, store.partitions):
        for each in [brand_id] if brand_id is not None else store.command("SMEMBERS", keys.listing(partition)):
            _take_off(store, each, user_id)


def _take_off(store: Store, brand_id: str, user_id: str) -> None:
    partition = keys.partition_of(brand_id, store.partitions)
    names = [each.name for each in list_all(store, brand_id)]
    digest = _digest(user_id)
    for name in names:
        store.run(
            "take_off_list",
            [
                keys.usage(partition),
                keys.user_lists(partition, brand_id),
                keys.user_list(partition, brand_id, name, digest % BUCKETS),
            ],
            [*store.quotas.arguments, brand_id, name, digest],
        )


def _bounded(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    for count, line in enumerate(lines, 1):
        if count > MOST_LINES:
            raise Malformed(f"An upload may have at most {MOST_LINES:,} lines; send the rest as another one.")
        yield line


def _add_call(
    store: Store, partition: int, brand_id: str, name: str, user_ids: Sequence[str]
) -> tuple[list[str], list[str | int]]:
    names = [keys.usage(partition), keys.listing(partition), keys.user_lists(partition, brand_id)]
    arguments: list[str | int] = [*store.quotas.arguments, brand_id, name, MOST_LISTS, MOST_USERS]
    for user_id in user_ids:
        digest = _digest(user_id)
        names.append(keys.user_list(partition, brand_id, name, digest % BUCKETS))
        arguments.append(digest)
    return names, arguments


def _digest(user_id: str) -> int:
    """Return 63 bits of the hash of a user's id."""
    return int.from_bytes(blake2b(user_id.encode(), digest_size=8).digest(), "big") >> 1
