"""Measure the Redis memory of each waiting and each granted code of every kind, by purpose, in bytes."""

from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from typing import Any

import redis

from bench import tables
from discount.domain import code_kinds, code_sequence, ids
from discount.domain.code_kinds import CodeKind
from discount.domain.identity import Identity
from discount.domain.ids import parse_discount_id
from discount.domain.model import Discount, Grant
from discount.domain.rules import Order
from discount.services import (
    checkouts,
    claims,
    code_pools,
    deliveries,
    discounts,
    event_index,
    grants,
    redemptions,
    user_lists,
    waiting_lists,
)
from discount.services.deliveries import PlannedDelivery
from discount.store import keys
from discount.store.connection import Store
from tests.support.redis_server import RedisServer

_SLICE = 10_000
_BRAND = "IKEA"
_SHORT = "User "
# As long as a UUID.
_LONG = "f81d4fae-7dec-11d0-a765-0000"


def run(unique_totals: Sequence[int], others_total: int) -> None:
    """Print the table: a row for each total of unique codes, one for long user ids, one for each other kind."""
    asked = [(code_kinds.unique(total), total, _SHORT) for total in unique_totals]
    asked.append((code_kinds.unique(others_total), others_total, _LONG))
    for kind in (
        CodeKind("imported"),
        CodeKind("shared", code="AHMED2022BILLO"),
        code_kinds.personal("{brand}-{user}"),
        code_kinds.personal("{brand}-thinks-{user}-is-awesome-{id}"),
    ):
        asked.append((kind, others_total, _SHORT))
    tables.show(
        "Bytes of Redis memory (used_memory) for each code: not made yet, all made, all granted",
        (
            "codes",
            "how many",
            "letters of a user id",
            "not in the list yet",
            "waiting",
            "granted, in all but its event",
            "of it: the grant",
            "the user's index",
            "what is remembered of the code",
            "its event",
        ),
        (_measure(*each) for each in asked),
    )
    _show_redemptions(others_total // 10)
    _show_waits(others_total // 50)
    _show_people(others_total, others_total // 50)
    _show_deliveries(others_total // 100)
    _show_index(event_index.BLOCKS, max(event_index.BLOCKS, others_total // 5000))


def _measure(kind: CodeKind, total: int, prefix: str) -> tuple[str, ...]:
    with RedisServer() as server, server.client() as client:
        store = Store.at(server.url, 10.0, 16)
        # Load scripts and connections first, so that they do not count.
        grants.grant(store, _create(store, code_kinds.unique(1), 1).id, "warm-up")
        start = _used(client)
        made = _create(store, kind, total)
        created = _used(client)
        # The first block of codes is made with the discount.
        unmade = max(0, total - discounts.FIRST_BLOCK) if kind.kind == "unique" else 0
        _fill(store, made, total)
        filled = _used(client)
        pool = client.llen(keys.codes(keys.partition_of(_BRAND, 16), made.id))
        grant_all(server.url, made.id, prefix, total)
        granted = _used(client)
        parsed = parse_discount_id(made.id)
        assert parsed is not None
        event = granted - _deleted(client, [keys.events(parsed.partition)])
        index = granted - event - _deleted(client, list(_users(parsed.partition)))
        buckets = [keys.taken(parsed.partition, made.id, bucket) for bucket in range(parsed.buckets)]
        remembered = granted - event - index - _deleted(client, buckets)
        whole = granted - start - event
        name = kind.template or kind.kind
        tables.keep(f"memory: {name}, {total}, {prefix}", bytes=whole / total, event=event / total)
        return (
            name,
            f"{total:,}",
            str(len(prefix) + 8),
            f"{max(0, created - start - _first_block(client, made)) / unmade:.2f}" if unmade else "-",
            f"{(filled - start) / total:.1f}" if pool else "-",
            *(f"{each / total:.1f}" for each in (whole, whole - index - remembered, index, remembered, event)),
        )


def _show_redemptions(total: int) -> None:
    """Measure the memory of a redemption, with one per user."""
    with RedisServer() as server, server.client() as client:
        store = Store.at(server.url, 10.0, 16)
        made = _create(store, code_kinds.unique(total), total)
        users = [f"{_SHORT}{10_000_000 + number}" for number in range(total)]
        held = [each for each in grants.grant_many(store, made.id, users) if isinstance(each, Grant)]
        attempts = [
            checkouts.Checkout(
                each.user_id, each.code, Order(f"order {number:08d}", 10_001, "EUR"), discount_id=made.id
            )
            for number, each in enumerate(held)
        ]
        event = keys.events(keys.partition_of(_BRAND, 16))
        client.delete(event)
        start = _used(client)
        for attempt in attempts:
            redemptions.redeem(store, attempt)
        redeemed = _used(client)
        events = redeemed - _deleted(client, [event])
        whole = redeemed - start - events
        tables.keep("memory: redemption", bytes=whole / total, event=events / total)
    tables.show(
        "Bytes of Redis memory for each redemption",
        ("how many", "the redemption, in its lists and the user's uses", "its event"),
        [(f"{total:,}", f"{whole / total:.0f}", f"{events / total:.0f}")],
    )


def _show_waits(total: int) -> None:
    """Measure the memory of a user who waits, with short and long ids, and of a code that has to be used in time."""
    rows = []
    for prefix in (_SHORT, _LONG):
        with RedisServer() as server, server.client() as client:
            store = Store.at(server.url, 10.0, 16)
            made = _create(store, code_kinds.unique(1), 1)
            grants.grant(store, made.id, "warm-up")
            partition = keys.partition_of(_BRAND, 16)
            event, listed = keys.events(partition), keys.waits(partition, made.id)
            waiting_lists.wait(store, made.id, "warm-up 2")
            client.delete(event)
            start = _used(client)
            for number in range(total):
                waiting_lists.wait(store, made.id, f"{prefix}{10_000_000 + number}")
            waiting = _used(client)
            events = waiting - _deleted(client, [event])
            in_list = waiting - events - _deleted(client, [listed])
            whole = waiting - start - events
            client.delete(keys.claims(partition))
            before = _used(client)
            for number in range(total):
                claims.note(store, made.id, f"{prefix}{10_000_000 + number}", 10**15 + number, "PT1H")
            claim = _used(client) - before
            tables.keep(f"memory: wait, {prefix}", bytes=whole / total, event=events / total, claim=claim / total)
            per_user = (whole, in_list, whole - in_list, events, claim)
            rows.append((f"{total:,}", str(len(prefix) + 8), *(f"{each / total:.0f}" for each in per_user)))
    tables.show(
        "Bytes of Redis memory for each user who waits",
        (
            "how many",
            "letters of a user id",
            "in all but the event",
            "of it: the place on the list",
            "the user's index",
            "its event",
            "a code to use in time",
        ),
        rows,
    )


def _show_people(listed: int, claiming: int) -> None:
    """Measure the memory of a user on a list, and of an identity of two parts that a user claims."""
    with RedisServer() as server, server.client() as client:
        store = Store.at(server.url, 10.0, 16)
        user_lists.add(store, _BRAND, "warm-up", [(1, "warm-up")])
        start = _used(client)
        user_lists.add(store, _BRAND, "all", ((number, user(_SHORT, number)) for number in range(listed)))
        on_list = _used(client) - start
        made = _create(store, code_kinds.unique(claiming), claiming, limits={"per_identity": 1})
        for number in range(claiming):
            both = Identity((("email", b"e%d" % number), ("card", b"c%d" % number)))
            grants.grant(store, made.id, user(_SHORT, number), identity=both)
        own = keys.identities(made.partition, made.id, 0).removesuffix("0")
        claimed = _used(client) - _deleted(client, list(client.scan_iter(f"{own}*", count=1000)))
    tables.keep("memory: people", listed=on_list / listed, identity=claimed / claiming)
    tables.show(
        "Bytes of Redis memory for each user on a list, and for each identity of two parts",
        ("on the list", "bytes", "identities", "bytes"),
        [(f"{listed:,}", f"{on_list / listed:.1f}", f"{claiming:,}", f"{claimed / claiming:.0f}")],
    )


def _show_deliveries(total: int) -> None:
    """Measure the memory of a webhook call that is planned, with its entries in lists."""
    partition = keys.partition_of(_BRAND, 16)
    target = ids.make_webhook_id(partition, _BRAND)
    with RedisServer() as server, server.client() as client:
        store = Store.at(server.url, 10.0, 16)
        planned = []
        for number in range(total + 1):
            event_id = f"evt-{partition:02x}{1_790_000_000_000 + number}-0-0123abcd"
            name = deliveries.id_of(partition, event_id, "webhook", target)
            each = PlannedDelivery(name, _BRAND, "webhook", target, "code.granted", event_id, "", f"{number}-0", number)
            planned.append(("", [each]))
        deliveries.plan(store, partition, store.now(), planned[:1])
        start = _used(client)
        deliveries.plan(store, partition, store.now(), planned[1:])
        taken = (_used(client) - start) / total
    tables.keep("memory: delivery", bytes=taken)
    tables.show("Bytes of Redis memory for each delivery", ("how many", "bytes"), [(f"{total:,}", f"{taken:.0f}")])


def _show_index(few: int, many: int) -> None:
    """Measure the memory of a stretch in a brand's index of events, after a few and after many blocks of the outbox."""
    partition, rows = keys.partition_of(_BRAND, 16), []
    with RedisServer() as server, server.client() as client:
        store = Store.at(server.url, 10.0, 16)
        for blocks in (few, many - few):
            with client.pipeline(transaction=False) as pipeline:
                for number in range(blocks * event_index.BLOCK):
                    fields = {"type": "code.granted", "at": 1, "brand": _BRAND if number % 100 == 0 else "Loud"}
                    pipeline.xadd(keys.events(partition), fields)
                pipeline.execute()
            while event_index.extend(store, partition):
                pass
            index = keys.brand_events(partition, _BRAND)
            count = int(client.zcard(index))
            rows.append((f"{count:,}", f"{int(client.memory_usage(index, samples=0) or 0) / count:.0f}"))
    tables.show("Bytes of Redis memory for each stretch in a brand's index of events", ("stretches", "bytes"), rows)


def _create(store: Store, kind: CodeKind, total: int, **more: Any) -> Discount:
    return discounts.create(
        store, brand_id=_BRAND, discount_code="Christmas 2020 discount", total_count=total, kind=kind, **more
    )[0]


def _first_block(client: "redis.Redis", made: Discount) -> int:
    """Measure the codes that are made with the discount."""
    before = _used(client)
    discount = keys.discount(keys.partition_of(_BRAND, 16), made.id)
    block = code_sequence.Sequence(str(client.hget(discount, "key")), made.codes.pattern, made.codes.alphabet)
    client.rpush("copy", *block.codes(0, discounts.FIRST_BLOCK))
    taken = _used(client) - before
    client.delete("copy")
    return taken


def _fill(store: Store, made: Discount, total: int) -> None:
    if made.codes.kind == "unique":
        code_pools.refill(store, made.id, total)
    if made.codes.kind == "imported":
        # Twelve letters, like the default pattern without dashes.
        report = code_pools.import_codes(store, made.id, ((number, f"{number:012d}") for number in range(total)))
        if report.added_count != total:
            raise RuntimeError(f"{report.added_count} imported instead of {total}")


def grant_all(url: str, discount_id: str, prefix: str, total: int, *, known: int = 0) -> None:
    """Grant a code to that many users with two processes; the first `known` users have theirs already."""
    with ProcessPoolExecutor(2) as several:
        given = several.map(partial(_grant_some, url, discount_id, prefix, total), range(known, total, _SLICE))
        if sum(given) != total - known:
            raise RuntimeError("not everybody got a code")


def user(prefix: str, number: int) -> str:
    """Return the id of one of those users."""
    return f"{prefix}{1_000_000 + number:08d}"


def _grant_some(url: str, discount_id: str, prefix: str, total: int, first: int) -> int:
    users = [user(prefix, number) for number in range(first, min(first + _SLICE, total))]
    outcomes = grants.grant_many(Store.at(url, 30.0, 16), discount_id, users)
    return sum(isinstance(outcome, Grant) and outcome.fresh for outcome in outcomes)


def _deleted(client: "redis.Redis", names: Sequence[str]) -> int:
    for first in range(0, len(names), 1000):
        client.delete(*names[first : first + 1000])
    return _used(client)


def _users(partition: int) -> Iterator[str]:
    return (keys.users(partition, "").rpartition(":")[0] + f":{bucket}" for bucket in range(keys.USER_BUCKETS))


def _used(client: "redis.Redis") -> int:
    return int(client.info("memory")["used_memory"])
