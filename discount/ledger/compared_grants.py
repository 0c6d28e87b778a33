"""Compare who holds which code: the buckets of a discount, its rows, and the lists of what users hold."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import islice

from sqlalchemy import Connection, select

from discount.domain import metadata
from discount.domain.code_sequence import canonical
from discount.domain.events import Entry
from discount.domain.ids import FORGOTTEN
from discount.ledger import counts, repair, windows
from discount.ledger.database import Database
from discount.ledger.differences import Comparison
from discount.ledger.tables import GRANTS
from discount.services import grant_lists, grant_records, slices, user_grants
from discount.store import keys
from discount.store.connection import Store
from discount.store.replies import pairs

#: Buckets and rows that are read together.
BUCKETS, ROWS = 32, 1_000
#: How often users are read again who changed between two readings, and the seconds before that.
TRIES, PAUSE = 10, 0.2


@dataclass(frozen=True, slots=True)
class _Slice:
    """Some users of a discount, as Redis has them.

    Args:
        held: the value in the bucket by user; None for a user who holds no code.
        places: the last entries of the outbox before and after it was read.
    """

    held: Mapping[str, str | None]
    lists: Mapping[str, Sequence[str]]
    in_map: Mapping[str, bool]
    places: tuple[str, str]

    @property
    def codes(self) -> list[str]:
        """The canonical codes that the users hold."""
        return [canonical(_code_in(value)) for value in self.held.values() if value is not None]


class ComparedGrants:
    """The comparison of discounts' grants."""

    def __init__(self, store: Store, database: Database, pause: Callable[[float], None]) -> None:
        self._store = store
        self._database = database
        self._pause = pause

    def compare(self, found: Comparison) -> None:
        """Compare all grants of a discount, slice by slice."""
        parsed = found.parsed
        occupied = grant_lists.occupied(self._store, parsed, 0)
        while buckets := list(islice(occupied, BUCKETS)):
            slices.between()
            reads = [("HGETALL", keys.grants(parsed.partition, parsed.text, each)) for each in buckets]
            before, *replies = self._store.commands([windows.last_entry(parsed.partition), *reads])
            fields = (field for reply in replies for field in pairs(reply))
            held = {user: value for user, value in fields if value != grant_records.BLOCKED and "\n" not in user}
            found.result.grants += len(held)
            self._compare_slice(found, self._slice_of(found, held, windows.place_in(before)), TRIES)
        self._compare_rows(found)

    def _compare_rows(self, found: Comparison) -> None:
        """Find rows of users who hold a code, of whom Redis knows nothing."""
        parsed, columns = found.parsed, GRANTS.c
        of_discount = (columns.discount_id == parsed.text) & (columns.state == "granted")
        bits = keys.buckets(parsed.partition, parsed.text)
        after = ""
        while True:
            slices.between()
            wanted = select(columns.user_id).where(of_discount & (columns.user_id > after))
            with self._database.reading() as connection:
                users = list(connection.execute(wanted.order_by(columns.user_id).limit(ROWS)).scalars())
            if not users:
                return
            after = users[-1]
            known = self._store.commands([("HEXISTS", grant_records.bucket_key(parsed, each), each) for each in users])
            listed = self._store.commands([("GETBIT", bits, keys.grant_bucket(each, parsed.buckets)) for each in users])
            lacking = [user for user, *has in zip(users, known, listed, strict=True) if not all(has)]
            if lacking:
                self._compare_users(found, lacking, TRIES)

    def _compare_users(self, found: Comparison, users: Sequence[str], tries: int) -> None:
        reads = [("HGET", grant_records.bucket_key(found.parsed, each), each) for each in users]
        before, *values = self._store.commands([windows.last_entry(found.parsed.partition), *reads])
        held = {
            user: None if value == grant_records.BLOCKED else value for user, value in zip(users, values, strict=True)
        }
        self._compare_slice(found, self._slice_of(found, held, windows.place_in(before)), tries)

    def _slice_of(self, found: Comparison, held: Mapping[str, str | None], before: str) -> _Slice:
        partition, users = found.parsed.partition, list(held)
        bits = keys.buckets(partition, found.parsed.text)
        texts = self._store.commands([("HGET", keys.users(partition, each), each) for each in users])
        in_map = self._store.commands(
            [("GETBIT", bits, keys.grant_bucket(each, found.parsed.buckets)) for each in users]
        )
        lists = [
            user_grants.numbers_in(self._store, partition, user, text) for user, text in zip(users, texts, strict=True)
        ]
        after = windows.place_in(self._store.command(*windows.last_entry(partition)))
        return _Slice(
            held,
            dict(zip(users, lists, strict=True)),
            dict(zip(users, map(bool, in_map), strict=True)),
            (before, after),
        )

    def _compare_slice(self, found: Comparison, part: _Slice, tries: int) -> None:
        """Compare users with their rows; those that an entry names which was written meanwhile again."""
        partition = found.parsed.partition
        with self._database.snapshot() as connection:
            place = windows.position(connection, partition)
            rows = _rows_of(connection, found, list(part.held))
            holders = {} if found.kind == "shared" else holders_of(connection, found, part.codes)
        entries = entries_of(windows.between(self._store, partition, place, *part.places), found)
        moved = counts.named_in(entries)
        moved_codes = {canonical(each.fields["code"]) for each in entries if "code" in each.fields}
        for user, value in part.held.items():
            if user in moved:
                continue
            self._compare_value(found, user, value, rows.get(user))
            if value is None:
                continue
            if not part.in_map[user]:
                fix = partial(repair.bucket, self._store, found.parsed, user)
                found.note("grants", user, ("in a bucket that is not listed", "granted"), fix)
            others = holders.get(canonical(_code_in(value)), set()) - {user}
            if others and canonical(_code_in(value)) not in moved_codes:
                found.note("codes", _code_in(value), (user, ", ".join(sorted(others))))
            self._compare_list(found, user, part.lists[user])
        again = sorted(moved & part.held.keys())
        # Those who keep changing are compared the next time.
        if again and tries:
            self._pause(PAUSE)
            self._compare_users(found, again, tries - 1)

    def _compare_value(self, found: Comparison, user: str, value: str | None, row: str | None) -> None:
        if value == row:
            return
        fix = partial(repair.grant, self._store, self._database, found.parsed, user, (value, row))
        codes = [None if each is None else _code_in(each) for each in (value, row)]
        found.note("grants", user, (value, row) if codes[0] == codes[1] else (codes[0], codes[1]), fix)

    def _compare_list(self, found: Comparison, user: str, numbers: Sequence[str]) -> None:
        # A forgotten user has no list.
        if not user.startswith(FORGOTTEN) and numbers.count(found.number) != 1:
            fix = partial(repair.add_to_list, self._store, found.parsed.partition, user, found.number)
            found.note("index", user, (numbers.count(found.number), 1), fix)


def _rows_of(connection: Connection, found: Comparison, users: Sequence[str]) -> dict[str, str]:
    """Return the values that the buckets should have, by user."""
    columns = GRANTS.c
    wanted = select(columns.user_id, columns.at, columns.code, columns.metadata)
    rows: dict[str, str] = {}
    for first in range(0, len(users), counts.TOGETHER):
        of_users = columns.user_id.in_(users[first : first + counts.TOGETHER])
        this = (columns.discount_id == found.parsed.text) & of_users & (columns.state == "granted")
        for user, at, code, of_grant in connection.execute(wanted.where(this)):
            text = metadata.write(of_grant)
            rows[user] = f"{at:016d} {code}" + (f"\n{text}" if text else "")
    return rows


def holders_of(connection: Connection, found: Comparison, codes: Sequence[str]) -> dict[str, set[str]]:
    """Return the users who were granted canonical codes and did not give them back, by code."""
    columns = GRANTS.c
    wanted = select(columns.canonical, columns.user_id)
    holders: dict[str, set[str]] = {}
    for first in range(0, len(codes), counts.TOGETHER):
        of_codes = columns.canonical.in_(codes[first : first + counts.TOGETHER])
        kept = (columns.discount_id == found.parsed.text) & columns.state.in_(("granted", "void"))
        for code, user in connection.execute(wanted.where((columns.brand_id == found.brand_id) & of_codes & kept)):
            holders.setdefault(code, set()).add(user)
    return holders


def entries_of(entries: Iterable[Entry], found: Comparison) -> list[Entry]:
    """Return those of some entries that are about the discount."""
    return [each for each in entries if each.fields.get("number") == found.number]


def _code_in(value: str) -> str:
    return value.partition(" ")[2].partition("\n")[0]
