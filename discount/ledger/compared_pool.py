"""Compare the codes of a pool with the rows: none of them may be granted."""

from functools import partial
from itertools import islice

from discount.domain.code_sequence import canonical
from discount.ledger import repair, windows
from discount.ledger.compared_grants import entries_of, holders_of
from discount.ledger.database import Database
from discount.ledger.differences import Comparison
from discount.services import code_pools, slices
from discount.store.connection import Store


def compare_pool(store: Store, database: Database, found: Comparison) -> None:
    """Find codes in the pool of a discount that are granted, or were voided."""
    partition = found.parsed.partition
    waiting = (code for _, code in code_pools.read_pool(store, found.parsed))
    while True:
        slices.between()
        before = windows.place_in(store.command(*windows.last_entry(partition)))
        codes = list(islice(waiting, code_pools.BLOCK))
        if not codes:
            return
        after = windows.place_in(store.command(*windows.last_entry(partition)))
        with database.snapshot() as connection:
            place = windows.position(connection, partition)
            holders = holders_of(connection, found, list(map(canonical, codes)))
        entries = entries_of(windows.between(store, partition, place, before, after), found)
        moved = {canonical(each.fields["code"]) for each in entries if "code" in each.fields}
        for code in codes:
            if canonical(code) in holders.keys() - moved:
                fix = partial(repair.waiting, store, found.parsed, code)
                found.note("pool", code, ("waits", ", ".join(sorted(holders[canonical(code)]))), fix)
