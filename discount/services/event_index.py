"""An index of the outbox by brand, so that a quiet brand finds its events beside a loud one.

The worker reads the outbox in blocks, behind its writers. For each brand it notes stretches: single entries, or all
from the first to the last one if a brand has many in a block. What is not indexed yet is read entry by entry.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from discount.domain.events import parts
from discount.store import keys
from discount.store.connection import Store

#: Entries of one block.
BLOCK = 500
#: A brand with so many entries in a block has one stretch for all of them.
MANY = 10
#: Blocks of one partition that a turn indexes.
BLOCKS = 20
#: Stretches of one brand that a read fetches.
STRETCHES = 100
#: Brands whose index is removed in one turn after all its entries were trimmed.
BRANDS = 100


@dataclass(frozen=True, slots=True)
class Stretch:
    """A range of entries in which a brand has some, from the first to the last, both included."""

    first: str
    last: str

    @property
    def cost(self) -> int:
        """The most entries that reading it examines."""
        return 1 if self.first == self.last else BLOCK


def extend(store: Store, partition: int) -> int:
    """Index further blocks of the outbox; return how many. Two workers that do the same write the same."""
    stream, done = keys.events(partition), 0
    while done < BLOCKS:
        indexed = store.command("GET", keys.indexed(partition))
        rows = store.command("XRANGE", stream, f"({indexed}" if indexed else "-", "+", "COUNT", BLOCK)
        if len(rows) < BLOCK:
            break
        entry_ids: dict[str, list[str]] = {}
        for entry_id, fields in rows:
            # Every script writes the fields `type`, `at` and `brand` first, in that order.
            if fields[5]:
                entry_ids.setdefault(fields[5], []).append(entry_id)
        found = {brand: _stretches(own) for brand, own in entry_ids.items()}
        trimmed = store.command("GET", keys.trimmed(partition))
        oldest = f"({parts(trimmed)[0]}" if trimmed else None
        commands: list[tuple[str | int, ...]] = []
        for brand, stretches in found.items():
            name = keys.brand_events(partition, brand)
            for each in stretches:
                member = each.first if each.first == each.last else f"{each.first} {each.last}"
                commands.append(("ZADD", name, parts(each.last)[0], member))
            if oldest is not None:
                commands.append(("ZREMRANGEBYSCORE", name, "-inf", oldest))
            latest = parts(stretches[-1].last)[0]
            commands.append(("ZADD", keys.indexes(partition), "GT", latest, brand))
        store.commands(commands)
        # Last, so that everything up to this entry is in the index.
        store.command("SET", keys.indexed(partition), rows[-1][0])
        done += 1
    return done


def cut(store: Store, partition: int) -> int:
    """Remove the indexes of brands whose entries were all trimmed; return how many."""
    trimmed = store.command("GET", keys.trimmed(partition))
    if not trimmed:
        return 0
    name, bound = keys.indexes(partition), f"({parts(trimmed)[0]}"
    brands = store.command("ZRANGEBYSCORE", name, "-inf", bound, "LIMIT", 0, BRANDS)
    for brand in brands:
        store.command("ZREMRANGEBYSCORE", keys.brand_events(partition, brand), "-inf", bound)
        # A brand that has new entries meanwhile has a later score, and stays.
        score = store.command("ZSCORE", name, brand)
        if score is not None and int(float(score)) < parts(trimmed)[0]:
            store.command("ZREM", name, brand)
    return len(brands)


def next_batch(stretches: Sequence[Stretch]) -> Iterator[Stretch]:
    """Yield the first stretches that one exchange reads: at least one, and BLOCK entries at most."""
    cost = 0
    for each in stretches:
        cost += each.cost
        if cost > BLOCK:
            return
        yield each


def stretches_after(store: Store, partition: int, brand_id: str, start: str) -> tuple[list[Stretch], str]:
    """Return where a brand has entries after another entry, in order, and the entry up to which that is known.

    Args:
        start: an entry's id, or '' for the beginning.
    """
    floor = parts(start)[0] if start else "-inf"
    indexed, members = store.commands(
        [
            ("GET", keys.indexed(partition)),
            ("ZRANGEBYSCORE", keys.brand_events(partition, brand_id), floor, "+inf", "LIMIT", 0, STRETCHES),
        ]
    )
    if not indexed or (start and parts(indexed) <= parts(start)):
        return [], start
    found = sorted((_stretch(each) for each in members), key=lambda each: parts(each.first))
    after = parts(start) if start else None
    left = [each for each in found if after is None or parts(each.last) > after]
    # After a full read, more stretches may follow the last one.
    return left, (found[-1].last if len(members) == STRETCHES else indexed)


def _stretches(entry_ids: list[str]) -> list[Stretch]:
    if len(entry_ids) >= MANY:
        return [Stretch(entry_ids[0], entry_ids[-1])]
    return [Stretch(each, each) for each in entry_ids]


def _stretch(member: str) -> Stretch:
    first, _, last = member.partition(" ")
    return Stretch(first, last or first)
