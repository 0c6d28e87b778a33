"""The service of code pools: make the next codes, import a brand's own codes, list codes that nobody holds."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TypeVar

from discount.domain import code_kinds, code_sequence
from discount.domain.errors import (
    Closed,
    Malformed,
    NotFound,
    WrongKind,
)
from discount.domain.ids import DiscountId
from discount.domain.model import COMMAND, Author, Discount
from discount.services import discounts, next_waits, slices
from discount.store import autopipeline, keys
from discount.store.connection import Store

Item = TypeVar("Item")

#: Codes made at once. A block of this size takes a replica about 3 ms and Redis less than one.
BLOCK = 1000
#: Codes in one call of the import script: about a millisecond of Redis.
AT_ONCE = 500
#: Calls of the import script sent together.
CALLS = 8
#: The most lines of one import.
MOST_LINES = 20_000_000
#: The most lines that a report names; all are counted.
NAMED = 100
#: The longest code that can be imported, in characters.
LONGEST = 64
# What the reader puts in place of bytes that are not UTF-8.
_UNREADABLE = "\ufffd"


@dataclass(slots=True)
class Line:
    """A line of an import that was not added, and the reason."""

    line: int
    reason: str


@dataclass(slots=True)
class Report:
    """The result of an import. `lines` names the first repeated and bad lines, in the order of the file."""

    added_count: int = 0
    repeated_count: int = 0
    bad_count: int = 0
    lines: list[Line] = field(default_factory=list)


def import_codes(
    store: Store, discount_id: str, lines: Iterable[tuple[int, str]], *, author: Author = COMMAND
) -> Report:
    """Add a brand's own codes, in constant memory.

    A code that is repeated, within the import or after an earlier one, is counted and not stored. So an interrupted
    import can be sent again as a whole. If reading fails, the batches read before stay.

    Args:
        lines: pairs of a line number and a code.
        author: who imports them.

    Raises:
        NotFound, Closed
        WrongKind: the discount's codes are not imported.
        QuotaReached: batches that were added before it stay.
        Malformed: there are more than MOST_LINES lines; those up to there are added.
    """
    parsed = discounts.parse_id(store, discount_id)
    discount, _ = discounts.show(store, discount_id)
    if discount.codes.kind != "imported":
        raise WrongKind()
    if discount.closed:
        raise Closed()
    report = Report()
    read = bounded(lines)
    while batch := list(islice(read, AT_ONCE * CALLS)):
        import_batch(store, parsed, batch, report, author)
    return report


def known_codes(store: Store, discount_id: str, codes: Sequence[str]) -> list[bool]:
    """Return for each code whether it was imported before.

    Raises:
        NotFound: no discount here can have that id.
    """
    parsed = discounts.parse_id(store, discount_id)
    digests = [code_kinds.digest(code) for code in codes]
    names = [keys.taken(parsed.partition, discount_id, digest % parsed.buckets) for digest in digests]
    replies = store.commands([("SISMEMBER", *each) for each in zip(names, digests, strict=True)])
    return [bool(reply) for reply in replies]


def refusal_of(code: str) -> str:
    """Return why a code cannot be imported; empty if it can."""
    if not code:
        return "is empty"
    if len(code) > LONGEST:
        return f"is longer than {LONGEST} characters"
    if _UNREADABLE in code:
        return "has bytes that are not valid in UTF-8 or in the declared charset"
    if not code.isprintable():
        return "has an unprintable character"
    return "" if code_sequence.canonical(code) else "has only spaces and dashes"


def list_waiting(store: Store, discount_id: str) -> Iterator[str]:
    """Yield the codes that nobody holds, in the order in which they would be granted, in constant memory.

    Unique codes that are not made yet are included. A code that is granted meanwhile may be listed; none is missed.

    Raises:
        NotFound
    """
    parsed = discounts.parse_id(store, discount_id)
    discount, _ = discounts.show(store, discount_id)
    waiting = read_pool(store, parsed)
    if discount.codes.kind != "unique":
        return (code for _, code in waiting)
    secret = store.command("HGET", keys.discount(parsed.partition, discount_id), "key")
    sequence = code_sequence.Sequence(secret, discount.codes.pattern, discount.codes.alphabet)
    return _with_unmade(waiting, sequence, discount)


def refill(store: Store, discount_id: str, wanted: int = 1) -> None:
    """Make more codes for a pool that has fewer than `wanted`. Another replica may do the same at the same time.

    Raises:
        NotFound
    """
    autopipeline.leave()
    parsed = discounts.parse_id(store, discount_id)
    key, pool = keys.discount(parsed.partition, discount_id), keys.codes(parsed.partition, discount_id)
    # One thread makes the block; the others wait for it instead of making it too.
    with store.refill_lock:
        (secret, pattern, alphabet, made, total), waiting = store.commands(
            [("HMGET", key, "key", "pattern", "alphabet", "made", "total"), ("LLEN", pool)]
        )
        if secret is None:
            raise NotFound(f"There is no discount {discount_id}.")
        if waiting >= wanted:
            return
        sequence = code_sequence.Sequence(secret, pattern, alphabet)
        start = int(made)
        end = min(start + max(wanted - waiting, BLOCK), int(total))
        for first in range(start, end, BLOCK):
            block = sequence.codes(first, min(BLOCK, end - first))
            store.run("refill", [key, pool], [str(first), json.dumps(block)])


def refill_ahead(store: Store, discount_id: str) -> None:
    """Make the next block of codes in the background: the present answer does not need it yet."""
    store.background.submit(refill, store, discount_id, BLOCK)


def bounded(lines: Iterable[tuple[int, Item]]) -> Iterator[tuple[int, Item]]:
    """Yield the lines of an import up to the most that it may have, with pauses for other calls."""
    for count, line in enumerate(lines, 1):
        if count > MOST_LINES:
            raise Malformed(f"An import may have at most {MOST_LINES:,} lines; send the rest as another import.")
        if count % AT_ONCE == 0:
            slices.between()
        yield line


def import_batch(
    store: Store, parsed: DiscountId, batch: Sequence[tuple[int, str]], report: Report, author: Author
) -> None:
    """Add codes to a pool, and count them in a report."""
    good: list[tuple[int, str]] = []
    lines: list[Line] = []
    for number, code in batch:
        reason = refusal_of(code)
        if reason:
            report.bad_count += 1
            lines.append(Line(number, reason))
        else:
            good.append((number, code))
    pieces = [good[first : first + AT_ONCE] for first in range(0, len(good), AT_ONCE)]
    definition = discounts.get_definition(store, parsed.text)
    # The codes of each call go to the users after those of the call before.
    waits = next_waits.read_for(store, parsed, definition, len(pieces))
    first = [*store.quotas.arguments, author.by, author.request_id]
    calls = [
        import_call(parsed, [code for _, code in each], first, next_in_line)
        for each, next_in_line in zip(pieces, waits, strict=True)
    ]
    answers = store.run_many("import", calls)
    for each, answer in zip(pieces, answers, strict=True):
        refusal = answer.refusal()
        if refusal is not None:
            raise refusal
        report.added_count += int(answer["added_count"])
        for position in map(int, answer["repeated"].split()):
            report.repeated_count += 1
            lines.append(Line(each[position][0], "was imported already"))
    lines.sort(key=lambda line: line.line)
    report.lines += lines[: NAMED - len(report.lines)]


def import_call(
    parsed: DiscountId, codes: list[str], first: Sequence[str], waits: next_waits.NextWaits = next_waits.NO_USERS
) -> tuple[list[str], list[str | int]]:
    """Return the keys and arguments of the import script.

    Args:
        first: its arguments before the codes, after the users who wait.
    """
    partition = parsed.partition
    names = [
        *next_waits.list_keys(parsed),
        keys.usage(partition),
        keys.discount(partition, parsed.text),
        keys.codes(partition, parsed.text),
        keys.buckets(partition, parsed.text),
        keys.events(partition),
    ]
    key_numbers: dict[int, int] = {}
    triples: list[str | int] = []
    for code in codes:
        digest = code_kinds.digest(code)
        bucket = digest % parsed.buckets
        if bucket not in key_numbers:
            names.append(keys.taken(parsed.partition, parsed.text, bucket))
            key_numbers[bucket] = len(key_numbers) + 1
        triples += [key_numbers[bucket], digest, code]
    sets = len(key_numbers)
    return [*names, *waits.user_keys], [waits.text, *first, sets, *triples]


def _with_unmade(
    waiting: Iterator[tuple[int, str]], sequence: code_sequence.Sequence, discount: Discount
) -> Iterator[str]:
    # The pool may begin with codes that were taken back; after them its positions are those of the sequence.
    position, end = discount.granted_count, discount.total_count or 0
    for place, code in waiting:
        yield code
        position = place + 1
    for first in range(position, end, BLOCK):
        yield from sequence.codes(first, min(BLOCK, end - first))


def read_pool(store: Store, parsed: DiscountId) -> Iterator[tuple[int, str]]:
    """Yield the codes of a pool in constant memory, each with its position."""
    names = [keys.discount(parsed.partition, parsed.text), keys.codes(parsed.partition, parsed.text)]
    position = 0
    while True:
        answer = store.run("waiting", names, [position, BLOCK])
        found = answer.rest("codes")
        if not found:
            return
        first = int(answer["first"])
        yield from enumerate(found, first)
        position = first + len(found)
