"""The service of tallies: count repeated grants and refusals of a discount, without an exchange for each.

They are approximate: a process that is killed loses those of its last second, and so does one that cannot reach Redis.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import wraps
from itertools import islice
from typing import Concatenate, Literal, ParamSpec, TypeVar

from discount.deferred import Deferred
from discount.domain import ids
from discount.domain.errors import Refusal, Unavailable
from discount.domain.model import Grant
from discount.store import keys
from discount.store.connection import Store

#: Seconds until Redis has what a process counted.
FLUSH_SECONDS = 1.0
#: The most numbers of a partition that wait for the ledger.
MOST = 20_000
#: Numbers that are written with one script.
TOGETHER = 500
#: The words of figures: a grant that was asked for again, and the beginnings of refusals, before the slug.
REPEATED, NO_GRANT, NO_REDEMPTION = "code.repeated", "no-grant:", "no-redemption:"
# These say nothing about a discount, which may not even exist.
_NOT_OF_DISCOUNT = frozenset(
    ("not-found", "unauthenticated", "forbidden", "too-many-requests", "invalid", "unavailable", "not-yet-durable")
)
R = TypeVar("R", bound=Refusal)
T = TypeVar("T")
P = ParamSpec("P")


@dataclass(frozen=True, slots=True)
class Tally:
    """A number that processes counted of a discount in one minute."""

    at: int
    discount_id: str
    word: str
    count: int


def start(store: Store) -> None:
    """Have a process count, and write once a second what it counted."""
    store.tallies.start(Deferred("tallies", FLUSH_SECONDS, lambda: write(store)).ask)


def of_grants(grant: Callable[Concatenate[Store, str, P], Grant]) -> Callable[Concatenate[Store, str, P], Grant]:
    """Return a function that grants, and counts what it refuses and what was granted before."""

    @wraps(grant)
    def counted(store: Store, discount_id: str, /, *arguments: P.args, **named: P.kwargs) -> Grant:
        try:
            found = grant(store, discount_id, *arguments, **named)
        except Refusal as refusal:
            refused(store, discount_id, "grant", refusal)
            raise
        if not found.fresh:
            store.tallies.count(discount_id, REPEATED)
        return found

    return counted


def of_outcomes(store: Store, discount_id: str, outcomes: Iterable[Grant | Refusal]) -> None:
    """Count the outcomes of many grants."""
    for each in outcomes:
        if isinstance(each, Refusal):
            refused(store, discount_id, "grant", each)
        elif not each.fresh:
            store.tallies.count(discount_id, REPEATED)


def refused(store: Store, discount_id: str, what: Literal["grant", "redemption"], refusal: R) -> R:
    """Count a refusal by its slug, and return it."""
    if refusal.slug not in _NOT_OF_DISCOUNT:
        store.tallies.count(discount_id, f"{NO_GRANT if what == 'grant' else NO_REDEMPTION}{refusal.slug}")
    return refusal


def write(store: Store) -> None:
    """Add what the process counted to the numbers of this minute in Redis. It is lost if Redis cannot be reached."""
    held = store.tallies.take()
    by_partition: dict[int, list[str | int]] = {}
    for (discount_id, word), count in held.items():
        by_partition.setdefault(ids.partition_of(discount_id), []).extend((f"{discount_id} {word}", count))
    calls = [
        ([keys.tallies(partition)], [MOST, *numbers])
        for partition, several in by_partition.items()
        for numbers in _slices(several, 2 * TOGETHER)
    ]
    if calls:
        try:
            store.run_many("tally", calls)
        except Unavailable:
            return


def read(store: Store, partition: int) -> list[Tally]:
    """Return the numbers of a partition that wait for the ledger."""
    stored = iter(store.command("HGETALL", keys.tallies(partition)))
    found = []
    for field, count in zip(stored, stored, strict=True):
        at, discount_id, word = field.split(" ")
        found.append(Tally(int(at), discount_id, word, int(count)))
    return found


def drop(store: Store, partition: int, done: Sequence[Tally]) -> None:
    """Remove numbers of a partition whose minute is over and that the ledger has."""
    fields = [f"{each.at} {each.discount_id} {each.word}" for each in done]
    for some in _slices(fields, TOGETHER):
        store.command("HDEL", keys.tallies(partition), *some)


def _slices(values: Sequence[T], size: int) -> Iterator[list[T]]:
    remaining = iter(values)
    while some := list(islice(remaining, size)):
        yield some
