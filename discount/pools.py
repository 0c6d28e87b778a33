"""The verbs of pools: make more codes, take codes in, give codes out."""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from typing import Literal

from discount import discounts, grants_read, kinds
from discount.codes import Sequence
from discount.discounts import BLOCK
from discount.errors import NotFound, WrongKind
from discount.store import Store, keys

#: Codes that one call of the import script takes: less than a millisecond of Redis.
IMPORTED_AT_ONCE = 500
#: Repeats and bad lines that a report names; all are counted.
NAMED = 100
#: The longest code that is taken in, in characters.
LONGEST = 64

def refill(store: Store, discount_id: str, wanted: int = 1) -> None:
    """Make more codes for an empty pool, at least `wanted` if the total allows; another replica may do so meanwhile.

    Raises:
        NotFound
    """
    parsed = locate(store, discount_id)
    key = keys.discount(parsed.partition, discount_id)
    secret, pattern, made, total = store.command("HMGET", key, "key", "pattern", "made", "total")
    if secret is None:
        raise NotFound(f"There is no discount {discount_id}.")
    sequence = codes.Sequence(secret, pattern)
    start = int(made)
    end = min(start + max(wanted, BLOCK), int(total))
    for first in range(start, end, BLOCK):
        block = sequence.codes(first, min(BLOCK, end - first))
        store.run("refill", [key, keys.codes(parsed.partition, discount_id)], [str(first), json.dumps(block)])


