"""The service of discounts: create, show, list, change, close."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

from discount.domain import audience as audiences
from discount.domain import (
    code_kinds,
    code_sequence,
    ids,
    rules,
    windows,
)
from discount.domain.audience import Audience
from discount.domain.code_kinds import CodeKind
from discount.domain.durations import Duration
from discount.domain.errors import (
    Expired,
    Invalid,
    NotFound,
    Unavailable,
)
from discount.domain.metadata import NO_METADATA, Metadata, has
from discount.domain.metadata import write as write_metadata
from discount.domain.model import (
    COMMAND,
    Author,
    Definition,
    Discount,
    WebhookBody,
)
from discount.domain.releases import Release
from discount.domain.rules import (
    NO_RULE,
    LimitName,
    Rule,
)
from discount.domain.windows import Hours
from discount.services import copies, next_waits
from discount.services.discount_records import read_discounts, stored_limits, stored_time
from discount.services.pagination import Page, by_id, list_newest, oldest_rows, read_all, read_row_cursor, zsets_of
from discount.store import keys
from discount.store.connection import Store, moment_of

#: Codes made with a discount, few enough to take next to no time: its first grant has the next block made.
FIRST_BLOCK = 16
#: How long an Idempotency-Key is remembered, in seconds: a retry on the next day still finds it.
IDEMPOTENCY_SECONDS = 48 * 3600
#: The limits where a caller names none: each user may redeem a code once.
ONCE: dict[LimitName, int | None] = {"per_user": 1}
NO_BOUNDS: Mapping[str, Any] = {}
#: Definitions that a process keeps.
REMEMBERED = 4096
#: Discounts that one page may examine when it filters by status; the page can be shorter than its limit.
LOOKED_AT = 1000
#: How often the create script is run while other discounts keep taking the shared code.
TRIES = 5


@dataclass(frozen=True, slots=True)
class DiscountPage(Page[Discount]):
    """A page of discounts, and the time by which their status is judged.

    `first` is the number, from 1, of the first item in a list that is read from its oldest entry on.
    """

    now: int = 0
    first: int = 1


def create(
    store: Store,
    *,
    brand_id: str,
    discount_code: str,
    total_count: int | None,
    kind: CodeKind,
    rule: Rule = NO_RULE,
    limits: Mapping[LimitName, int | None] = ONCE,
    timezone: str = "UTC",
    valid_for: Duration | None = None,
    claim_within: Duration | None = None,
    release: Release | None = None,
    returns_use: bool = True,
    starts_at: int | None = None,
    expires_at: int | None = None,
    webhook: tuple[str, Sequence[str]] | None = None,
    webhook_body: WebhookBody = "envelope",
    idempotency_key: str | None = None,
    name: str | None = None,
    metadata: Metadata = NO_METADATA,
    bounds: Mapping[str, Any] = NO_BOUNDS,
    opens: Sequence[Hours] = (),
    audience: Audience | None = None,
    author: Author = COMMAND,
) -> tuple[Discount, int]:
    """Create a discount with its first codes; return it and the time on the Redis server.

    A repeated call with the same idempotency key returns the discount of the first call.

    Args:
        total_count: None for no limit, where the kind allows it; for imported codes an estimate.
        limits: how often codes may be redeemed; None or a missing name for no limit.
        timezone: the time zone of the days and weeks that limits count in.
        valid_for: how long a code is good after its grant; months and years are counted in `timezone`.
        claim_within: how long after its grant an unused code goes back to who waits or to the pool; without months.
        release: the pace at which codes are granted; None for all at once.
        returns_use: whether a use that is rolled back returns to the limits.
        webhook: the address that gets this discount's events, and their types; no types for all.
        webhook_body: the shape of what the webhook gets.
        name: a name for `id_of`. A brand has one discount of a name; a repeated call returns it.
        bounds: any of windows, amount and budget_caps.
        opens: the hours in which codes can be redeemed; none for always.
        audience: who may be granted codes, or redeem them; None for everybody.
        author: who creates it.

    Raises:
        BrandClosed, QuotaReached
        CodeTaken: another discount of the brand, which is not over, has an equal shared code.
        Invalid: expires_at has passed or is not after starts_at, or two fields contradict each other.
        IdempotencyMismatch: the key was used for another request.
    """
    _check_times(starts_at, expires_at)
    rules.check_rule(rule)
    rules.check_zone(timezone)
    _check_bounds(bounds)
    windows.check_hours(opens)
    if valid_for is not None and kind.kind == "shared":
        raise Invalid("/valid_for", "cannot be set for a shared code, which needs no grant")
    if claim_within is not None and kind.kind == "shared":
        raise Invalid("/claim_within", "cannot be set for a shared code, which needs no grant")
    if claim_within is not None and claim_within.months:
        raise Invalid("/claim_within", "cannot have months or years; weeks, days and hours have a fixed length")
    partition = keys.partition_of(brand_id, store.partitions)
    discount_id = ids.make_discount_id(partition, total_count) if name is None else id_of(store, brand_id, name)
    given = {
        "brand": brand_id,
        "discount_code": discount_code,
        "total": _stored_total(total_count, kind),
        **kind.fields(),
        **rule.fields(),
        **stored_limits(limits),
        "timezone": timezone if timezone != "UTC" else "",
        "valid_for": "" if valid_for is None else valid_for.text,
        "claim_within": "" if claim_within is None else claim_within.text,
        "release": "" if release is None else release.text,
        "keeps_use": "" if returns_use else "1",
        "starts_at": stored_time(starts_at),
        "expires_at": stored_time(expires_at),
        "metadata": write_metadata(metadata),
        **windows.stored(bounds),
        "opens": windows.write_hours(opens),
        "audience": audiences.write(audience),
        "asks": "1" if (audience is not None and audience.at != "checkout") or limits.get("per_identity") else "",
    }
    given["bounded"] = "1" if windows.is_bounded(given) else ""
    fields = {name: value for name, value in given.items() if value}
    webhook_id = ids.make_webhook_id(partition, discount_id)
    webhook_fields = _webhook_fields(webhook, webhook_body)
    if webhook is not None:
        fields["webhook"] = webhook_id
    block: list[str] = []
    code_key = ""
    if kind.kind == "unique":
        code_key = code_sequence.make_key()
        sequence = code_sequence.Sequence(code_key, kind.pattern, kind.alphabet)
        block = sequence.codes(0, min(total_count or 0, FIRST_BLOCK))
    fingerprint = ""
    if idempotency_key is not None:
        request = given | {"total_count": str(total_count), "webhook": " ".join(webhook_fields)}
        fingerprint = blake2b(json.dumps(request, sort_keys=True).encode(), digest_size=16).hexdigest()
    held_by = ""
    for _ in range(TRIES):
        try:
            answer = store.run(
                "create",
                [
                    keys.usage(partition),
                    keys.brand(partition, brand_id),
                    keys.discount(partition, discount_id),
                    keys.discounts(partition),
                    keys.brand_discounts(partition, brand_id),
                    keys.numbers(partition),
                    keys.codes(partition, discount_id),
                    keys.shared(partition, brand_id),
                    keys.discount(partition, held_by or discount_id),
                    keys.idempotency(partition, brand_id, idempotency_key or ""),
                    keys.webhook(partition, webhook_id),
                    keys.events(partition),
                ],
                [
                    *store.quotas.arguments,
                    discount_id,
                    fingerprint,
                    IDEMPOTENCY_SECONDS,
                    _flat_json(fields),
                    code_key,
                    json.dumps(block),
                    code_sequence.canonical(kind.code),
                    json.dumps(webhook_fields),
                    author.by,
                    author.request_id,
                    held_by,
                ],
            )
        except Expired:
            raise Invalid("/expires_at", "is in the past") from None
        if answer.status != "held-by":
            if webhook is not None:
                copies.note(store, [keys.webhook(partition, webhook_id)])
            return show(store, answer["discount_id"])
        # Another discount has the code; the next run checks whether that one is over.
        held_by = answer["discount_id"]
    raise Unavailable("This code is being taken over again and again.")


def id_of(store: Store, brand_id: str, name: str) -> str:
    """Return the id of the discount that a brand made, or may make, under a name."""
    partition = keys.partition_of(brand_id, store.partitions)
    return ids.make_discount_id(partition, None, f"{len(brand_id)}:{brand_id}:{name}")


def id_of_shared(store: Store, brand_id: str, code: str) -> str:
    """Return the id of the discount that has this shared code, compared in canonical form.

    Raises:
        NotFound: the brand has no such code.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    found: str | None = store.command("HGET", keys.shared(partition, brand_id), code_sequence.canonical(code))
    if found is None:
        raise NotFound("There is no such code.")
    return found


def show(store: Store, discount_id: str) -> tuple[Discount, int]:
    """Return a discount with its live counts, and the time on the Redis server.

    Raises:
        NotFound
    """
    parsed = parse_id(store, discount_id)
    found, time = store.commands([("HGETALL", keys.discount(parsed.partition, discount_id)), ("TIME",)])
    if not found:
        raise NotFound(f"There is no discount {discount_id}.")
    now = moment_of(time)
    return read_discounts(store, {discount_id: found}, now)[0], now


def read(store: Store, discount_ids: Sequence[str]) -> tuple[list[Discount], int]:
    """Return those of the discounts that exist, and the time on the Redis server."""
    *hashes, time = store.commands(
        [("HGETALL", keys.discount(ids.partition_of(each), each)) for each in discount_ids] + [("TIME",)]
    )
    now = moment_of(time)
    found = {each: fields for each, fields in zip(discount_ids, hashes, strict=True) if fields}
    return read_discounts(store, found, now), now


def get_definition(store: Store, discount_id: str) -> Definition:
    """Return a discount's immutable definition, cached per process.

    Raises:
        NotFound
    """
    known: Definition | None = store.definitions.get(discount_id)
    if known is None:
        known = show(store, discount_id)[0].definition
        if len(store.definitions) >= REMEMBERED:
            store.definitions.clear()
        store.definitions[discount_id] = known
    return known


def list_page(
    store: Store,
    *,
    brand_id: str | None = None,
    status: str | None = None,
    name: str = "",
    metadata: Metadata = NO_METADATA,
    limit: int = 100,
    cursor: str | None = None,
) -> DiscountPage:
    """Return a page of all discounts, or of a brand's, newest first. With a filter it can be shorter than `limit`.

    Args:
        name: a part of the name, in any case.

    Raises:
        Invalid: this service did not make the cursor.
    """
    partitions = keys.partitions_of(brand_id, store.partitions)
    zsets = [keys.discounts(each) if brand_id is None else keys.brand_discounts(each, brand_id) for each in partitions]
    now = 0

    def read_page(discount_ids: list[str]) -> dict[str, Discount]:
        nonlocal now
        found, now = read(store, discount_ids)
        return {each.id: each for each in found}

    page = list_newest(
        zsets_of(store, zsets),
        by_id(read_page),
        is_id=ids.parse_discount_id,
        limit=limit,
        cursor=cursor,
        keep=lambda each: (
            (status is None or each.status(now) == status)
            and name.casefold() in each.discount_code.casefold()
            and has(each.metadata, metadata)
        ),
        batch=limit if status is None and not metadata and not name else min(1000, max(limit, 100)),
        most_rows=LOOKED_AT,
    )
    return DiscountPage(page.items, page.next, page.missing, now)


def list_all(store: Store, *, brand_id: str | None = None) -> Iterator[Discount]:
    """Yield every discount, or every one of a brand, newest first, in constant memory."""
    return read_all(partial(list_page, store, brand_id=brand_id, limit=LOOKED_AT))


def list_oldest(store: Store, brand_id: str, *, limit: int = LOOKED_AT, cursor: str | None = None) -> DiscountPage:
    """Return a page of a brand's discounts, oldest first.

    Raises:
        Invalid: this service did not make the cursor.
    """
    after = read_row_cursor(cursor, ids.parse_discount_id) if cursor else None
    partition = keys.partition_of(brand_id, store.partitions)
    zset = keys.brand_discounts(partition, brand_id)
    rows, following = oldest_rows(store, zset, after, limit)
    *hashes, before, time = store.commands(
        [("HGETALL", keys.discount(partition, each)) for _, each in rows]
        + [("ZCOUNT", zset, "-inf", after[0] if after else "-inf"), ("TIME",)]
    )
    now = moment_of(time)
    found = read_discounts(store, {each: fields for (_, each), fields in zip(rows, hashes, strict=True)}, now)
    return DiscountPage(found, following, now=now, first=before + 1)


def change(
    store: Store, discount_id: str, changes: Mapping[str, Any], *, author: Author = COMMAND
) -> tuple[Discount, int]:
    """Change a discount, and return it with the time on the Redis server.

    Args:
        changes: any of paused, total_count, starts_at, expires_at, discount_code, limits, windows, amount, budget_caps,
            release and metadata. None removes a value. Limits apply from the next use on; those that are not named
            stay. Windows, budgets and metadata are replaced as a whole.
        author: who changes it.

    Raises:
        NotFound, Closed, QuotaReached
        BelowGranted: total_count is less than what is granted.
        CodeTaken: after its end another discount took over the shared code.
        Invalid: expires_at would not be after starts_at, or the kind of code does not allow that total.
    """
    parsed = parse_id(store, discount_id)
    definition = get_definition(store, discount_id)
    if "total_count" in changes:
        _check_total(changes["total_count"], show(store, discount_id)[0])
    _check_bounds(changes)
    fields = windows.stored(changes)
    for name, value in changes.items():
        if name in ("starts_at", "expires_at"):
            fields[name] = stored_time(value)
        elif name == "paused":
            fields[name] = "1" if value else ""
        elif name == "total_count":
            fields["total"] = "" if value is None else str(value)
        elif name == "limits":
            fields |= stored_limits(value)
        elif name == "metadata":
            fields[name] = write_metadata(value)
        elif name == "release":
            fields[name] = "" if value is None else value.text
        elif name == "discount_code":
            fields[name] = value
    if windows.is_bounded(fields):
        fields["bounded"] = "1"
    # Codes may become free: for a higher total, an earlier start, or an end of the pause.
    waits = next_waits.read(store, parsed, definition)
    answer = store.run(
        "change",
        [
            *next_waits.list_keys(parsed),
            keys.usage(parsed.partition),
            keys.discount(parsed.partition, discount_id),
            keys.codes(parsed.partition, discount_id),
            keys.shared(parsed.partition, definition.brand_id),
            keys.buckets(parsed.partition, discount_id),
            keys.events(parsed.partition),
            *waits.places,
        ],
        [
            waits.text,
            *store.quotas.arguments,
            *(_next_block(store, parsed, definition, changes) if waits.text else ("", "")),
            _flat_json(fields),
            discount_id,
            code_sequence.canonical(definition.codes.code),
            author.by,
            author.request_id,
        ],
    )
    if answer.status == "ends-first":
        raise Invalid(
            "/expires_at" if "expires_at" in changes else "/starts_at", "would let the discount end before it starts"
        )
    return show(store, discount_id)


def close(store: Store, discount_id: str, *, void: bool = False, author: Author = COMMAND) -> tuple[Discount, int]:
    """Close a discount for good. Granted codes stay good unless `void`; a second call may void them.

    Nobody waits any more. A shared code stays good for the users who were granted it. Imported codes that nobody holds
    stay in the export.

    Raises:
        NotFound
    """
    parsed = parse_id(store, discount_id)
    store.run(
        "close",
        [
            keys.usage(parsed.partition),
            keys.discount(parsed.partition, discount_id),
            keys.codes(parsed.partition, discount_id),
            *next_waits.list_keys(parsed),
            keys.events(parsed.partition),
        ],
        [discount_id, "void" if void else "keep", author.by, author.request_id],
    )
    return show(store, discount_id)


def parse_id(store: Store, discount_id: str) -> ids.DiscountId:
    """Return the parts of a discount's id, which name its keys.

    Raises:
        NotFound: no discount here can have that id.
    """
    parsed = ids.parse_discount_id(discount_id)
    if parsed is None or parsed.partition >= store.partitions:
        raise NotFound("There is no such discount.")
    return parsed


def _next_block(
    store: Store, parsed: ids.DiscountId, definition: Definition, changes: Mapping[str, Any]
) -> tuple[str, str]:
    """Return the counter of the next code to make, and codes from there on for users who wait, as a JSON list."""
    total, kind = changes.get("total_count"), definition.codes
    if total is None or kind.kind != "unique":
        return "", ""
    secret, made = store.command("HMGET", keys.discount(parsed.partition, parsed.text), "key", "made")
    count = max(0, min(next_waits.AT_ONCE, total - int(made)))
    return made, json.dumps(code_sequence.Sequence(secret, kind.pattern, kind.alphabet).codes(int(made), count))


def _check_times(starts_at: int | None, expires_at: int | None) -> None:
    if starts_at is not None and expires_at is not None and expires_at <= starts_at:
        raise Invalid("/expires_at", "must be after starts_at")


def _check_bounds(given: Mapping[str, Any]) -> None:
    windows.check_windows(given.get("windows") or ())
    windows.check_budget(given.get("amount") or {})


def _check_total(total_count: int | None, discount: Discount) -> None:
    kind = discount.codes.kind
    if kind == "imported":
        raise Invalid("/total_count", "cannot be set: it is the number of imported codes; import more instead")
    if kind == "unique":
        if total_count is None:
            raise Invalid("/total_count", "cannot be null for unique codes")
        code_kinds.check_space(total_count, discount.codes.pattern, discount.codes.alphabet)


def _stored_total(total_count: int | None, kind: CodeKind) -> str:
    if kind.kind == "imported":
        return "0"
    return "" if total_count is None else str(total_count)


def _webhook_fields(webhook: tuple[str, Sequence[str]] | None, body: WebhookBody) -> list[str]:
    """Return the fields of a discount's own webhook as a flat list; empty without one."""
    if webhook is None:
        return []
    fields = ["url", webhook[0], "types", " ".join(webhook[1])]
    return fields if body == "envelope" else [*fields, "body", body]


def _flat_json(fields: Mapping[str, str]) -> str:
    return json.dumps([part for field in fields.items() for part in field])
