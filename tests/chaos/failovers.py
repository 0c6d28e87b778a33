"""Grant codes while nodes of Redis die, hang and are cut off, and judge by the clients' log of every answer.

    with Granting(store, offers) as granting:
        granting.wait_for(100)                  # so many answers more; now break something
    found = judge(store, granting.answers)
    found.lost, found.doubled

A code that was answered and is not in the data any more is lost. After that the same code goes to another user, so it
is doubled. The data alone looks right either way, so the answers are the judge.
"""

import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from itertools import count, pairwise
from typing import Any, Self
from urllib.parse import quote

from redis.crc import key_slot

from discount.domain import code_kinds
from discount.domain.errors import NotGranted, Unavailable
from discount.domain.ids import parse_discount_id
from discount.services import discounts, grant_records, grants
from discount.store import keys
from discount.store.connection import Store
from tests.support.clusters import Cluster, Node, Sentinels
from tests.support.patience import PATIENCE
from tests.support.service import wait_until

#: Seconds of a client between two tries, and between two users.
PAUSE = 0.02
#: Seconds for which data is answered that no replica gets, before its node is gone.
APART = 1.0
#: Answers that are compared in one exchange.
TOGETHER = 500
#: Seconds for which a node hangs that then goes on.
MOMENT = 3.0


@dataclass(frozen=True, slots=True)
class Answer:
    """One code that a client was given, by `time.monotonic`. `tries` is the number of calls that it took."""

    discount_id: str
    user: str
    code: str
    started: float
    ended: float
    tries: int


@dataclass(frozen=True, slots=True)
class Failure:
    """One call that got no code, and why."""

    discount_id: str
    slug: str
    started: float
    ended: float


@dataclass(frozen=True, slots=True)
class Found:
    """What the answers and the data say together."""

    answered: int
    lost: list[Answer]
    doubled: list[str]


def partition_of(discount_id: str) -> int:
    """Return the partition of a discount."""
    parsed = parse_discount_id(discount_id)
    assert parsed is not None
    return parsed.partition


def prepare(store: Store) -> None:
    """Prepare a store, as often as it takes until a node answers in time, and wait until its answers are safe."""

    def is_prepared() -> bool:
        try:
            store.prepare()
        except Unavailable:
            return False
        return True

    wait_until(is_prepared, "a node answers in time")
    await_safety(store)


def await_safety(store: Store) -> None:
    """Wait until every node's replicas confirm what it wrote. A new replica's disk takes a moment."""
    everything = set(range(store.partitions))
    wait_until(lambda: store.safe_partitions(everything) == everything, "every partition is safe")


def brand_in(partition: int, partitions: int = 16) -> str:
    """Return the id of a brand in a partition."""
    return next(name for name in (f"Brand {n}" for n in count()) if keys.partition_of(name, partitions) == partition)


def make_offer(store: Store, partition: int, total: int = 1_000_000) -> str:
    """Create a discount of a brand in a partition, and return its id."""
    kind = code_kinds.make("unique", total, {})
    made, _ = discounts.create(
        store, brand_id=brand_in(partition, store.partitions), discount_code="Sale", total_count=total, kind=kind
    )
    return made.id


@dataclass
class Granting:
    """Clients that ask for codes, each for one user after another, and ask again until they are answered.

    Each discount has clients of its own, so that one node's failure takes no client from another node.
    """

    store: Store
    offers: Sequence[str]
    clients: int = 3
    #: Called by a client for each try; the default asks the service in this process.
    grant: Callable[[Store, str, str], str] = lambda store, offer, user: grants.grant(store, offer, user).code
    answers: list[Answer] = field(default_factory=list)
    failures: list[Failure] = field(default_factory=list)
    broken: list[BaseException] = field(default_factory=list)

    def __enter__(self) -> Self:
        self._ended = threading.Event()
        self._users = count()
        self._threads = [
            threading.Thread(target=self._run, args=(offer,)) for offer in self.offers for _ in range(self.clients)
        ]
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        if kind is None:
            assert not self.broken, self.broken[:3]

    def wait_for(self, more: int, offers: Iterable[str] = ()) -> None:
        """Wait until each of the discounts, or of all, has so many answers more."""
        wanted = {offer: self.counts()[offer] + more for offer in offers or self.offers}
        wait_until(
            lambda: self.broken or all(self.counts()[offer] >= goal for offer, goal in wanted.items()),
            f"{more} answers more",
        )

    def counts(self) -> Counter[str]:
        """Return the number of answers of each discount so far."""
        return Counter(each.discount_id for each in list(self.answers))

    def gap(self, offer: str) -> float:
        """Return the longest time in seconds in which a discount gave no answer."""
        ends = sorted(each.ended for each in self.answers if each.discount_id == offer)
        return max((later - earlier for earlier, later in pairwise(ends)), default=0.0)

    def _run(self, offer: str) -> None:
        while not self._ended.is_set():
            user, started = f"user {next(self._users)}", time.monotonic()
            for tries in count(1):
                begun = time.monotonic()
                try:
                    code = self.grant(self.store, offer, user)
                except Unavailable as refusal:
                    self.failures.append(Failure(offer, refusal.slug, begun, time.monotonic()))
                    if self._ended.wait(PAUSE):
                        return
                except BaseException as error:
                    self.broken.append(error)
                    return
                else:
                    self.answers.append(Answer(offer, user, code, started, time.monotonic(), tries))
                    break
            self._ended.wait(PAUSE)


def judge(store: Store, answers: Iterable[Answer]) -> Found:
    """Compare the answers of clients with the data."""
    answers = list(answers)
    lost = []
    users: dict[tuple[str, str], set[str]] = defaultdict(set)
    for first in range(0, len(answers), TOGETHER):
        some = answers[first : first + TOGETHER]
        for each, code in zip(some, held_codes(store, some), strict=True):
            users[each.discount_id, each.code].add(each.user)
            if code != each.code:
                lost.append(each)
    return Found(len(answers), lost, sorted(code for (_, code), own in users.items() if len(own) > 1))


def held_codes(store: Store, answers: Sequence[Answer]) -> list[str]:
    """Return the code that the user of each answer holds, or an empty string, once the data is safe."""
    commands: list[tuple[str, ...]] = []
    for each in answers:
        parsed = parse_discount_id(each.discount_id)
        assert parsed is not None
        bucket = keys.grant_bucket(each.user, parsed.buckets)
        commands.append(("HGET", keys.grants(parsed.partition, each.discount_id, bucket), each.user))

    def ask() -> list[Any]:
        replies = store.each(commands)
        return [] if any(isinstance(each, Unavailable) for each in replies) else replies

    values = wait_until(ask, "what the users of the answers hold") if commands else []
    return [str(each or "").rpartition(" ")[2] for each in values]


def held_code(store: Store, discount_id: str, user: str) -> str | None:
    """Return the code that a user holds, however long the data takes to be safe again."""

    def ask() -> list[str | None]:
        try:
            return [grant_records.held_grant(store, discount_id, user).code]
        except NotGranted:
            return [None]
        except Unavailable:
            return []

    found: list[str | None] = wait_until(ask, f"an answer about {user}")
    return found[0]


def stored_grant(cluster: Cluster, discount_id: str, user: str) -> str:
    """Return the code that the data has for a user, safe or not; an empty string if it has none."""
    parsed = parse_discount_id(discount_id)
    assert parsed is not None
    with cluster.client() as plain:
        value = plain.hget(keys.grants(parsed.partition, discount_id, keys.grant_bucket(user, parsed.buckets)), user)
    return str(value or "").rpartition(" ")[2]


def calls_that_show(offer: str, brand: str, code: str, redemption: str) -> list[tuple[str, str, Any]]:
    """Return calls that show or change a code: method, path and body. Ann holds `code`, and has redeemed it."""
    checkout = {
        "discount_id": offer,
        "user_id": "Ann",
        "code": code,
        "order": {"id": "1", "amount": 100, "currency": "EUR"},
    }
    return [
        ("POST", f"/discount/{offer}/grant", {"user_id": "Bob"}),
        ("POST", f"/discount/{offer}/grant", {"user_id": "Ann"}),
        ("POST", f"/discount/{offer}/grants", {"user_ids": ["Ann", "Cid"]}),
        ("POST", f"/brand/{quote(brand)}/grant", {"user_id": "Ann"}),
        ("GET", f"/discount/{offer}/grant?user_id=Ann", None),
        ("GET", f"/discount/{offer}/grants", None),
        ("GET", f"/discount/{offer}/codes", None),
        ("GET", f"/discount/{offer}/codes?format=ndjson", None),
        ("GET", f"/discount/{offer}/grants?format=csv", None),
        ("GET", f"/user/Ann/grants?brand_id={quote(brand)}", None),
        ("GET", f"/event?brand_id={quote(brand)}", None),
        ("GET", f"/redemption/{redemption}", None),
        ("GET", f"/discount/{offer}/redemptions", None),
        ("POST", "/validation", checkout),
        ("POST", "/redemption", checkout),
    ]


# What can happen to the node of a partition. Each returns once another node has taken over.


def lose_replicas_then_host(cluster: Cluster, partition: int) -> Node:
    """Cut off one replica, then the other, and then pull the master's plug; return the dead master."""
    master = cluster.master_of(partition)
    for replica in cluster.replicas_of(master):
        cluster.cut_replication(replica)
        time.sleep(APART)
    # To the others a machine without power is one that does not answer; nothing that it still had is sent.
    master.pause()
    new = cluster.await_new_master(master, partition)
    # The two replicas are on one side: the survivor gets its data from the new master.
    for replica in cluster.nodes:
        cluster.restore_replication(replica)
    assert new.is_up
    return master


def partition_with_clients(cluster: Cluster, partition: int) -> Node:
    """Cut a master off from all nodes, while its clients still reach it; return it."""
    master = cluster.master_of(partition)
    cluster.cut_off(master)
    cluster.await_new_master(master, partition)
    return master


def freeze(cluster: Cluster, partition: int) -> Node:
    """Let a master hang until another one has its place; return it."""
    master = cluster.master_of(partition)
    master.pause()
    cluster.await_new_master(master, partition)
    return master


def freeze_for_a_moment(cluster: Cluster, partition: int) -> Node:
    """Let a master hang for MOMENT, whether or not another one takes its place meanwhile; return it."""
    master = cluster.master_of(partition)
    master.pause()
    time.sleep(MOMENT)
    master.resume()
    return master


def kill(servers: Cluster, partition: int) -> Node:
    """Kill a master, and return it."""
    master = servers.master_of(partition)
    master.kill()
    servers.await_new_master(master, partition)
    return master


def move(cluster: Cluster, partition: int) -> None:
    """Move a partition to another master, in one step of the servers."""
    source = cluster.master_of(partition)
    target = next(each for each in cluster.masters() if each is not source)
    slot = key_slot(f"{partition:02x}".encode())
    reply = source.ask("CLUSTER", "MIGRATESLOTS", "SLOTSRANGE", slot, slot, "NODE", target.ask("CLUSTER", "MYID"))
    assert reply in (True, "OK"), reply
    wait_until(lambda: cluster.master_of(partition, target) is target, f"partition {partition} has moved")


def kill_primary(sentinels: Sentinels) -> Node:
    """Kill the primary of Sentinels, and return it."""
    primary = sentinels.primary()
    primary.kill()
    sentinels.await_new_primary(primary)
    return primary


def partition_primary(sentinels: Sentinels) -> Node:
    """Cut the primary off from replicas and Sentinels, while its clients still reach it; return it."""
    primary = sentinels.primary()
    sentinels.cut_off(primary)
    sentinels.await_new_primary(primary)
    return primary
