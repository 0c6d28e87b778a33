"""The harness of the service tests: a store, shortcuts for calls, and checks of the data in Redis."""

from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Any

from discount.domain import code_kinds, code_sequence
from discount.domain.code_sequence import canonical
from discount.domain.ids import parse_discount_id
from discount.domain.model import Discount, Grant
from discount.services import (
    code_pools,
    discount_changes,
    discount_lists,
    discounts,
    exports,
    grant_lists,
    grants,
    user_grants,
)
from discount.store import keys
from discount.store.connection import Store
from tests.support import stored_data
from tests.support.patience import PATIENCE
from tests.support.redis_server import RedisServer
from tests.unit.fake import fake_redis, fake_store

PARTITIONS = 16
#: Default templates and codes for each kind.
GIVEN: dict[code_kinds.Kind, dict[str, str]] = {
    "unique": {"prefix": "IK-"},
    "imported": {},
    "personal": {"template": "{brand}-thinks-{user}-is-awesome"},
    "shared": {"code": "AHMED2022BILLO"},
}
UNIQUE = code_kinds.unique(1)
SECOND = 1_000_000
#: The most codes of one discount that a check exports.
READ = 3000
#: One brand for each partition.
BRANDS = [
    next(f"Brand {n}" for n in range(10_000) if keys.partition_of(f"Brand {n}", PARTITIONS) == partition)
    for partition in range(PARTITIONS)
]


class ServiceHarness:
    """A store on an empty Redis. `redis` is a plain client of the same server."""

    def __init__(self, store: Store, redis: Any) -> None:
        self.store = store
        self.redis = redis
        store.prepare()

    def now(self) -> int:
        """Return the server's time, in microseconds."""
        seconds, rest = self.redis.time()
        return int(seconds) * SECOND + int(rest)

    def create(self, total: int | None = 3, brand: str = "IKEA", **more: Any) -> Discount:
        given: dict[str, Any] = {"brand_id": brand, "discount_code": "Christmas", "total_count": total}
        return discounts.create(self.store, **({"kind": UNIQUE} | given | more))[0]

    def create_kind(self, kind: code_kinds.Kind, total: int | None = 3, brand: str = "IKEA", **given: str) -> Discount:
        """Create a discount of a kind, by default as in GIVEN; an imported one gets `total` codes."""
        made = code_kinds.make(kind, total, given or GIVEN[kind])
        found = self.create(total=total, brand=brand, kind=made)
        if kind == "imported":
            self.import_lines(found.id, [f"Own {number}" for number in range(total or 0)])
        return self.show(found.id)

    def import_lines(self, discount_id: str, lines: Iterable[str]) -> code_pools.Report:
        """Import a file with those lines."""
        return code_pools.import_codes(self.store, discount_id, enumerate(lines, 1))

    def export(self, discount_id: str) -> list[exports.ExportedCode]:
        return list(exports.list_codes(self.store, discount_id))

    def waiting(self, discount_id: str) -> list[str]:
        """Return the exported codes that no user holds, in order."""
        return [each.code for each in self.export(discount_id) if each.state != "granted"]

    def sequence(self, discount_id: str) -> code_sequence.Sequence:
        """Return the sequence of a discount's unique codes."""
        kind = self.show(discount_id).codes
        secret = self.redis.hget(keys.discount(partition_of(discount_id), discount_id), "key")
        return code_sequence.Sequence(secret, kind.pattern, kind.alphabet)

    def show(self, discount_id: str) -> Discount:
        return discounts.show(self.store, discount_id)[0]

    def status(self, discount_id: str) -> str:
        found, now = discounts.show(self.store, discount_id)
        return found.status(now)

    def grant(self, discount_id: str, user: str = "User 1") -> Grant:
        return grants.grant(self.store, discount_id, user)

    def grant_all(self, discount_id: str, count: int) -> list[Grant]:
        return [self.grant(discount_id, f"User {number}") for number in range(count)]

    def change(self, discount_id: str, **changes: Any) -> Discount:
        return discount_changes.change(self.store, discount_id, changes)[0]

    def close(self, discount_id: str, *, void: bool = False) -> Discount:
        return discount_changes.close(self.store, discount_id, void=void)[0]

    def list_ids(self, limit: int = 100, **filters: Any) -> list[str]:
        """Return the ids of all pages, and check the limit of each page."""
        found: list[str] = []
        cursor: str | None = None
        for _ in range(1000):
            page = discount_lists.list_page(self.store, limit=limit, cursor=cursor, **filters)
            assert len(page.items) <= limit
            found += [each.id for each in page.items]
            cursor = page.next
            if cursor is None:
                return found
        raise AssertionError("the pages have no end")

    def pages_of_grants(self, discount_id: str, limit: int) -> list[list[Grant]]:
        return self._pages(
            lambda cursor: grant_lists.list_page(self.store, discount_id, limit=limit, cursor=cursor), limit
        )

    def pages_of_user(self, user: str, limit: int, brand: str | None = None) -> list[list[Grant]]:
        return self._pages(
            lambda cursor: user_grants.list_of_user(self.store, user, brand_id=brand, limit=limit, cursor=cursor), limit
        )

    def events(self, discount: Discount, kind: str = "") -> list[dict[str, str]]:
        """Return a discount's events in order, of one type or of all."""
        stream = self.redis.xrange(keys.events(keys.partition_of(discount.brand_id, PARTITIONS)))
        return [
            entry
            for _, entry in stream
            if entry.get("number") == str(discount.number) and (not kind or entry["type"] == kind)
        ]

    def pool(self, discount_id: str) -> list[str]:
        found: list[str] = self.redis.lrange(keys.codes(partition_of(discount_id), discount_id), 0, -1)
        return found

    def rest(self) -> None:
        """Wait until the thread that makes codes ahead is done."""
        self.store.background.submit(int).result(PATIENCE)

    def state(self) -> dict[str, Any]:
        """Return all data in Redis, to compare."""
        self.rest()
        return stored_data.dump(self.redis)

    def check(self) -> None:
        """Check the invariants of all discounts; they hold after every call."""
        self.rest()
        for partition in range(PARTITIONS):
            for discount_id in self.redis.zrange(keys.discounts(partition), 0, -1):
                self._check_discount(partition, discount_id)

    def _check_discount(self, partition: int, discount_id: str) -> None:
        fields = self.redis.hgetall(keys.discount(partition, discount_id))
        discount = self.show(discount_id)
        held = self._held(partition, discount_id)
        pool = self.pool(discount_id)
        given = [value.split(" ", 1)[1] for value in held.values()]
        assert discount.granted_count == len(held)
        if discount.total_count is None:
            assert discount.remaining_count is None
        else:
            assert discount.remaining_count == discount.total_count - discount.granted_count
            assert discount.granted_count <= discount.total_count
        assert not (discount.closed and pool and discount.codes.kind != "imported")
        self._check_codes(discount, given, pool, int(fields["made"]))
        self._check_export(discount, held, pool)
        assert {grant.user_id: grant.code for grant in grant_lists.list_all(self.store, discount_id)} == {
            user: value.split(" ", 1)[1] for user, value in held.items()
        }
        granted = self.events(discount, "code.granted")
        times = [entry.get("granted_at", entry["at"]) for entry in granted]
        given_by_events = [(e["user"], f"{at} {e['code']}") for e, at in zip(granted, times, strict=True)]
        assert sorted(given_by_events) == sorted(held.items())
        for user in held:
            text = self.redis.hget(keys.users(partition, user), user)
            numbers = user_grants.numbers_in(self.store, partition, user, text)
            assert numbers.count(str(discount.number)) == 1
        assert self.redis.hget(keys.numbers(partition), str(discount.number)) == discount_id
        assert self.redis.zscore(keys.discounts(partition), discount_id) == discount.created_at
        brand_key = keys.brand_discounts(partition, discount.brand_id)
        assert self.redis.zscore(brand_key, discount_id) == discount.created_at

    def _check_codes(self, discount: Discount, given: list[str], pool: list[str], made: int) -> None:
        """Check that the codes fit their kind, that no two users share one, and that imported ones are remembered."""
        kind = discount.codes.kind
        partition = partition_of(discount.id)
        if kind in ("unique", "imported"):
            assert (discount.closed and kind == "unique") or len(given) + len(pool) == made
            assert discount.total_count is not None
            assert made <= discount.total_count if kind == "unique" else made == discount.total_count
        else:
            assert (pool, made) == ([], 0)
        if kind == "unique":
            # The n-th grant got the n-th code of the sequence, and the pool continues from there.
            sequence = self.sequence(discount.id)
            assert sorted(map(str, map(sequence.counter, given))) == sorted(map(str, range(len(given))))
            assert pool == sequence.codes(len(given), len(pool))
        if kind == "shared":
            assert set(given) <= {discount.codes.code}
            registered = self.redis.hget(keys.shared(partition, discount.brand_id), canonical(discount.codes.code))
            assert registered == discount.id or discount.closed == "void" or (discount.expires_at or 0) <= self.now()
        else:
            assert len({canonical(code) for code in given + pool}) == len(given + pool)
        remembered: set[str] = set()
        for name in self.redis.keys(keys.taken(partition, discount.id, 0)[:-1].replace("[", "\\[") + "*"):
            remembered |= self.redis.smembers(name)
        if kind == "imported" or (kind == "personal" and not code_kinds.always_differs(discount.codes)):
            expected = {str(code_kinds.digest(code)) for code in given + pool}
            assert expected == remembered
        else:
            assert not remembered

    def _check_export(self, discount: Discount, held: dict[str, str], pool: list[str]) -> None:
        if (discount.remaining_count or 0) > READ:
            assert list(islice(code_pools.list_waiting(self.store, discount.id), len(pool))) == pool
            return
        exported = self.export(discount.id)
        granted = [each for each in exported if each.state == "granted"]
        waiting = exported[: len(exported) - len(granted)]
        assert {each.user_id: f"{each.granted_at} {each.code}" for each in granted} == held
        assert len(granted) == len(held)
        state = "unused" if discount.closed else "waiting"
        assert {(each.state, each.user_id, each.granted_at) for each in waiting} <= {(state, "", None)}
        listed = [each.code for each in waiting]
        assert listed[: len(pool)] == pool
        if discount.codes.kind in ("unique", "imported"):
            assert len(listed) == discount.remaining_count
        else:
            assert listed == []

    def _held(self, partition: int, discount_id: str) -> dict[str, str]:
        parsed = parse_discount_id(discount_id)
        assert parsed is not None
        found: dict[str, str] = {}
        names = self.redis.keys(keys.grants(partition, discount_id, 0)[:-1].replace("[", "\\[") + "*")
        for name in names:
            found |= self.redis.hgetall(name)
        assert {keys.grants(partition, discount_id, keys.grant_bucket(user, parsed.buckets)) for user in found} == set(
            names
        )
        return found

    @staticmethod
    def _pages(ask: Any, limit: int) -> list[list[Grant]]:
        pages: list[list[Grant]] = []
        cursor: str | None = None
        for _ in range(1000):
            page = ask(cursor)
            assert len(page.items) <= limit
            assert page.next is None or len(page.items) == limit
            pages.append(page.items)
            cursor = page.next
            if cursor is None:
                return pages
        raise AssertionError("the pages have no end")


def fake_harness() -> ServiceHarness:
    """Return a harness on a new fakeredis."""
    fake = fake_redis()
    return ServiceHarness(fake_store(fake), fake)


def real_harness(server: RedisServer) -> ServiceHarness:
    """Return a harness on a server, and empty that."""
    redis = server.client()
    redis.flushall()
    return ServiceHarness(Store.at(server.url, PATIENCE, PARTITIONS), redis)


def partition_of(discount_id: str) -> int:
    parsed = parse_discount_id(discount_id)
    assert parsed is not None
    return parsed.partition


def flat(pages: Sequence[Sequence[Grant]]) -> list[Grant]:
    return [grant for page in pages for grant in page]
