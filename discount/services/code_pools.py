"""The verbs of pools: make the next codes, take a brand's own codes in, give codes out."""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice

from discount.domain import code_kinds, code_sequence
from discount.domain.errors import (
    Closed,
    Malformed,
    NotFound,
    WrongKind,
)
from discount.domain.ids import DiscountId
from discount.services import discounts, slices
from discount.store import autopipeline, keys
from discount.store.connection import Store

#: Codes made at once. A block of this size takes a replica about 10 ms and Redis less than one.
BLOCK = discounts.BLOCK
#: Codes that one call of the import script takes: about a millisecond of Redis.
AT_ONCE = 500
#: Calls of the import script sent together.
CALLS = 8
#: Lines that one import may have.
MOST_LINES = 20_000_000
#: Lines that a report names one by one; all are counted.
NAMED = 100
#: The longest code that is taken in.
LONGEST = 64
# What stands where bytes were not UTF-8.
_UNREADABLE = "\ufffd"


@dataclass(slots=True)
class Line:
    """A line of an import that was not added, and why."""

    line: int
    reason: str


@dataclass(slots=True)
class Report:
    """What became of an import. `lines` names the first repeats and bad lines, in the file's order."""

    added_count: int = 0
    repeated_count: int = 0
    bad_count: int = 0
    lines: list[Line] = field(default_factory=list)


def import_codes(store: Store, discount_id: str, lines: Iterable[tuple[int, str]]) -> Report:
    """Add a brand's own codes, in constant memory; `lines` are numbers and codes.

    What comes again, within the import or of an earlier one, is counted and not stored, so an import that was cut off
    can be sent again whole. A reader that fails half way leaves the batches read before it.

    Raises:
        NotFound, Closed
        WrongKind: the discount's codes are not imported.
        QuotaReached: batches that were added before stay.
        Malformed: there are more lines than an import may have; those before are added.
    """
    parsed = discounts.parse_id(store, discount_id)
    discount, _ = discounts.show(store, discount_id)
    if discount.codes.kind != "imported":
        raise WrongKind()
    if discount.closed:
        raise Closed()
    report = Report()
    several = _bounded(lines)
    while some := list(islice(several, AT_ONCE * CALLS)):
        _import_some(store, parsed, some, report)
    return report


def known_codes(store: Store, discount_id: str, several: Sequence[str]) -> list[bool]:
    """Whether each of some codes was imported before.

    Raises:
        NotFound: no discount of this service can have that id.
    """
    parsed = discounts.parse_id(store, discount_id)
    digests = [code_kinds.digest(code) for code in several]
    names = [keys.taken(parsed.partition, discount_id, digest % parsed.buckets) for digest in digests]
    replies = store.commands([("SISMEMBER", *each) for each in zip(names, digests, strict=True)])
    return [bool(reply) for reply in replies]


def refusal_of(code: str) -> str:
    """Why a code cannot be taken in; empty if it can."""
    if not code:
        return "is empty"
    if len(code) > LONGEST:
        return f"is longer than {LONGEST}"
    if _UNREADABLE in code:
        return "has bytes that are not UTF-8, or not of the charset that was named"
    if not code.isprintable():
        return "has a character that cannot be read"
    return "" if code_sequence.canonical(code) else "has nothing but blanks and dashes"


def list_waiting(store: Store, discount_id: str) -> Iterator[str]:
    """The codes that nobody holds, in the order in which they would be given; in constant memory.

    Of unique codes also those that are not made. A code that is granted meanwhile may still come; none is left out.

    Raises:
        NotFound
    """
    parsed = discounts.parse_id(store, discount_id)
    discount, _ = discounts.show(store, discount_id)
    if discount.codes.kind == "unique":
        secret = store.command("HGET", keys.discount(parsed.partition, discount_id), "key")
        sequence = code_sequence.Sequence(secret, discount.codes.pattern, discount.codes.alphabet)
        return map(sequence.code, range(discount.granted_count, discount.total_count or 0))
    return _read_pool(store, parsed)


def refill(store: Store, discount_id: str, wanted: int = 1) -> None:
    """Make more codes for a pool that has less than `wanted`; another replica may do so meanwhile.

    Raises:
        NotFound
    """
    parsed = discounts.parse_id(store, discount_id)
    key, pool = keys.discount(parsed.partition, discount_id), keys.codes(parsed.partition, discount_id)
    # One thread makes the block; the others that ran dry wait for it instead of making it too.
    with store.refill_lock, autopipeline.unbatched():
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


def _bounded(lines: Iterable[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    """The lines of an import, in slices, up to as many as there may be."""
    for count, line in enumerate(lines, 1):
        if count > MOST_LINES:
            raise Malformed(f"An import may have {MOST_LINES:,} lines; send the rest as another one.")
        if count % AT_ONCE == 0:
            slices.between()
        yield line


def _import_some(store: Store, parsed: DiscountId, some: list[tuple[int, str]], report: Report) -> None:
    good: list[tuple[int, str]] = []
    lines: list[Line] = []
    for number, code in some:
        reason = refusal_of(code)
        if reason:
            report.bad_count += 1
            lines.append(Line(number, reason))
        else:
            good.append((number, code))
    several = [good[first : first + AT_ONCE] for first in range(0, len(good), AT_ONCE)]
    answers = store.run_many(
        "import", [_import_call(parsed, [code for _, code in each], store.quotas.arguments) for each in several]
    )
    for each, answer in zip(several, answers, strict=True):
        refusal = answer.refusal()
        if refusal is not None:
            raise refusal
        report.added_count += int(answer["added_count"])
        for position in map(int, answer["repeated"].split()):
            report.repeated_count += 1
            lines.append(Line(each[position][0], "is there already"))
    lines.sort(key=lambda line: line.line)
    report.lines += lines[: NAMED - len(report.lines)]


def _import_call(parsed: DiscountId, some: list[str], quotas: Sequence[str]) -> tuple[list[str], list[str | int]]:
    partition = parsed.partition
    names = [keys.usage(partition), keys.discount(partition, parsed.text), keys.codes(partition, parsed.text)]
    places: dict[int, int] = {}
    arguments: list[str | int] = [*quotas]
    for code in some:
        digest = code_kinds.digest(code)
        bucket = digest % parsed.buckets
        if bucket not in places:
            names.append(keys.taken(parsed.partition, parsed.text, bucket))
            places[bucket] = len(places) + 1
        arguments += [places[bucket], digest, code]
    return names, arguments


def _read_pool(store: Store, parsed: DiscountId) -> Iterator[str]:
    names = [keys.discount(parsed.partition, parsed.text), keys.codes(parsed.partition, parsed.text)]
    place = 0
    while True:
        answer = store.run("waiting", names, [place, BLOCK])
        found = answer.rest("codes")
        if not found:
            return
        yield from found
        place = int(answer["first"]) + len(found)
