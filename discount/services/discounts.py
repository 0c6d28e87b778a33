"""The verbs of discounts: create, show, list, change, close."""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from typing import Any

from discount.domain import (
    code_kinds,
    code_sequence,
    durations,
    ids,
    rules,
)
from discount.domain.code_kinds import CodeKind
from discount.domain.cursors import bad_cursor, make_cursor, read_cursor
from discount.domain.durations import Duration
from discount.domain.errors import (
    Expired,
    Invalid,
    NotFound,
    Unavailable,
)
from discount.domain.model import (
    Definition,
    Discount,
    Sums,
    WebhookBody,
)
from discount.domain.rules import (
    LIMITS,
    NO_RULE,
    LimitName,
    Rule,
)
from discount.services.pagination import newest_rows, read_on
from discount.store import keys
from discount.store.connection import Store, moment_of
from discount.store.replies import pairs

#: Codes made at once. A block of this size takes a replica about 10 ms and Redis less than one.
BLOCK = 1000
#: An idempotency key is remembered for this long, in seconds: a retry on the next day still finds it.
IDEMPOTENCY_SECONDS = 48 * 3600
#: How often a code may be redeemed where nobody says otherwise.
ONCE: dict[LimitName, int | None] = {"per_user": 1}
#: Definitions that a process remembers.
REMEMBERED = 4096
#: How many discounts one page may look at when it filters by status; a page can be shorter than asked for.
LOOKED_AT = 1000
#: Answers of a script that ask for the call once more.
TRIES = 5


@dataclass(frozen=True, slots=True)
class Page:
    """Some discounts, the moment by which their status is told, and where the next page begins.

    `first` counts, from 1, the place of the first of them in a list that is read from its oldest entry on.
    """

    discounts: list[Discount]
    now: int
    next: str | None
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
    returns_use: bool = True,
    starts_at: int | None = None,
    expires_at: int | None = None,
    webhook: tuple[str, Sequence[str]] | None = None,
    webhook_body: WebhookBody = "envelope",
    idempotency_key: str | None = None,
    name: str | None = None,
) -> tuple[Discount, int]:
    """A new discount, its first codes in the pool, and the time on the Redis server.

    With the same idempotency key the brand gets the discount that the first call made.

    Args:
        total_count: None for no limit, where the kind allows it; of imported codes about how many there will be.
        limits: how often codes may be redeemed; None or left out for no limit.
        timezone: whose days and weeks the limits count in.
        valid_for: how long after its grant a code is good; months and years go by `timezone`.
        returns_use: whether a use that is rolled back returns to the limits.
        webhook: where the brand is told of this discount's events, and which types of them; none for all.
        webhook_body: what it is sent.
        name: what `id_of` finds it by. Of one name a brand has one discount: made again, it is the one there is.

    Raises:
        BrandClosed, QuotaReached
        CodeTaken: another discount of the brand, which is not over, has the same shared code, to a reader.
        Invalid: expires_at has passed, or is not after starts_at.
        IdempotencyMismatch: the key was used for another request.
    """
    if starts_at is not None and expires_at is not None and expires_at <= starts_at:
        raise Invalid("/expires_at", "is not after starts_at")
    rules.check_rule(rule)
    rules.check_zone(timezone)
    if valid_for is not None and kind.kind == "shared":
        raise Invalid("/valid_for", "counts from the grant, and a shared code may be used without one")
    partition = keys.partition_of(brand_id, store.partitions)
    discount_id = ids.make_discount_id(partition, total_count) if name is None else id_of(store, brand_id, name)
    wanted = {
        "brand": brand_id,
        "discount_code": discount_code,
        "total": _stored_total(total_count, kind),
        **kind.fields(),
        **rule.fields(),
        **_stored_limits(limits),
        "timezone": timezone if timezone != "UTC" else "",
        "valid_for": "" if valid_for is None else valid_for.text,
        "keeps_use": "" if returns_use else "1",
        "starts_at": _stored_time(starts_at),
        "expires_at": _stored_time(expires_at),
    }
    fields = {name: value for name, value in wanted.items() if value}
    webhook_id = ids.make_webhook_id(partition, discount_id)
    told: list[str] = []
    if webhook is not None:
        fields["webhook"] = webhook_id
        told = ["url", webhook[0], "types", " ".join(webhook[1])]
        told += ["body", webhook_body] if webhook_body != "envelope" else []
    block: list[str] = []
    if kind.kind == "unique":
        fields["key"] = code_sequence.make_key()
        block = code_sequence.Sequence(fields["key"], kind.pattern, kind.alphabet).codes(
            0, min(total_count or 0, BLOCK)
        )
    fingerprint = ""
    if idempotency_key is not None:
        asked = wanted | {"total_count": str(total_count), "webhook": " ".join(told)}
        fingerprint = blake2b(json.dumps(asked, sort_keys=True).encode(), digest_size=16).hexdigest()
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
                    json.dumps(block),
                    code_sequence.canonical(kind.code),
                    json.dumps(told),
                    held_by,
                ],
            )
        except Expired:
            raise Invalid("/expires_at", "is in the past") from None
        if answer.status != "held-by":
            return show(store, answer["discount_id"])
        # The code was another discount's: whether that is over is looked at with the next try.
        held_by = answer["discount_id"]
    raise Unavailable("This code is being taken over again and again.")


def id_of(store: Store, brand_id: str, name: str) -> str:
    """The id of the discount that a brand made, or may make, under that name."""
    partition = keys.partition_of(brand_id, store.partitions)
    return ids.make_discount_id(partition, None, f"{len(brand_id)}:{brand_id}:{name}")


def id_of_shared(store: Store, brand_id: str, code: str) -> str:
    """The id of the discount whose shared code this is, however it was typed.

    Raises:
        NotFound: the brand has no such code.
    """
    partition = keys.partition_of(brand_id, store.partitions)
    found: str | None = store.command("HGET", keys.shared(partition, brand_id), code_sequence.canonical(code))
    if found is None:
        raise NotFound("There is no such code.")
    return found


def show(store: Store, discount_id: str) -> tuple[Discount, int]:
    """A discount with its live counts, and the time on the Redis server.

    Raises:
        NotFound
    """
    parsed = parse_id(store, discount_id)
    found, time = store.commands([("HGETALL", keys.discount(parsed.partition, discount_id)), ("TIME",)])
    if not found:
        raise NotFound(f"There is no discount {discount_id}.")
    now = moment_of(time)
    return _discounts(store, {discount_id: found}, now)[0], now


def get_definition(store: Store, discount_id: str) -> Definition:
    """What of a discount can never change; looked up once by a process.

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
    store: Store, *, brand_id: str | None = None, status: str | None = None, limit: int = 100, cursor: str | None = None
) -> Page:
    """Discounts, newest first: all of them or a brand's. A page with a status can be shorter than `limit`.

    Raises:
        Invalid: the cursor is none of ours.
    """
    before = _read_place(cursor) if cursor else None
    partitions = keys.partitions_of(brand_id, store.partitions)
    zsets = [keys.discounts(each) if brand_id is None else keys.brand_discounts(each, brand_id) for each in partitions]
    found: list[Discount] = []
    looked_at = 0
    while True:
        wanted = limit - len(found) if status is None else min(1000, max(limit, 100))
        rows = newest_rows(store, zsets, before, wanted + 1)
        more = len(rows) > wanted
        rows = rows[:wanted]
        *hashes, time = store.commands(
            [("HGETALL", keys.discount(int(discount_id[4:6], 16), discount_id)) for _, discount_id in rows]
            + [("TIME",)]
        )
        now = moment_of(time)
        read = _discounts(
            store, {discount_id: fields for (_, discount_id), fields in zip(rows, hashes, strict=True)}, now
        )
        for (score, discount_id), discount in zip(rows, read, strict=True):
            before = (score, discount_id)
            if status is None or discount.status(now) == status:
                found.append(discount)
                if len(found) == limit:
                    more = more or discount_id != rows[-1][1]
                    return Page(found, now, make_cursor(*before) if more else None)
        looked_at += len(rows)
        if not more or looked_at >= LOOKED_AT:
            return Page(found, now, make_cursor(*before) if more and before else None)


def list_all(store: Store, *, brand_id: str | None = None) -> Iterator[Discount]:
    """Every discount, or every one of a brand, newest first, in constant memory."""
    return read_on(partial(list_page, store, brand_id=brand_id, limit=LOOKED_AT), lambda page: page.discounts)


def list_oldest(store: Store, brand_id: str, *, limit: int = LOOKED_AT, cursor: str | None = None) -> Page:
    """A brand's discounts, oldest first.

    Raises:
        Invalid: the cursor is none of ours.
    """
    since = f"({_read_place(cursor)[0]}" if cursor else "-inf"
    partition = keys.partition_of(brand_id, store.partitions)
    zset = keys.brand_discounts(partition, brand_id)
    rows = list(pairs(store.command("ZRANGEBYSCORE", zset, since, "+inf", "WITHSCORES", "LIMIT", 0, limit + 1)))
    more = len(rows) > limit
    rows = rows[:limit]
    *hashes, before, time = store.commands(
        [("HGETALL", keys.discount(partition, each)) for each, _ in rows]
        + [("ZCOUNT", zset, "-inf", since.removeprefix("(")), ("TIME",)]
    )
    now = moment_of(time)
    found = _discounts(store, {each: fields for (each, _), fields in zip(rows, hashes, strict=True)}, now)
    following = make_cursor(int(float(rows[-1][1])), rows[-1][0]) if more else None
    return Page(found, now, following, first=before + 1)


def change(store: Store, discount_id: str, changes: Mapping[str, Any]) -> tuple[Discount, int]:
    """Change a discount: any of paused, total_count, starts_at, expires_at, discount_code; None takes one away.

    Also `limits`: those that are named are set, None takes one away. They are judged from the next use on.

    Raises:
        NotFound, Closed, QuotaReached
        BelowGranted: total_count is less than what is granted.
        CodeTaken: past its end, another discount has taken the shared code over.
        Invalid: expires_at would not be after starts_at, or the kind of code does not allow that total.
    """
    parsed = parse_id(store, discount_id)
    definition = get_definition(store, discount_id)
    if "total_count" in changes:
        _check_total(changes["total_count"], show(store, discount_id)[0])
    fields: dict[str, str] = {}
    for name, value in changes.items():
        if name in ("starts_at", "expires_at"):
            fields[name] = _stored_time(value)
        elif name == "paused":
            fields[name] = "1" if value else ""
        elif name == "total_count":
            fields["total"] = "" if value is None else str(value)
        elif name == "limits":
            fields |= _stored_limits(value)
        else:
            fields[name] = value
    answer = store.run(
        "change",
        [
            keys.usage(parsed.partition),
            keys.discount(parsed.partition, discount_id),
            keys.codes(parsed.partition, discount_id),
            keys.shared(parsed.partition, definition.brand_id),
            keys.events(parsed.partition),
        ],
        [
            *store.quotas.arguments,
            _flat_json(fields),
            discount_id,
            code_sequence.canonical(definition.codes.code),
        ],
    )
    if answer.status == "ends-first":
        raise Invalid(
            "/expires_at" if "expires_at" in changes else "/starts_at", "lets the discount end before it starts"
        )
    return show(store, discount_id)


def close(store: Store, discount_id: str, *, void: bool = False) -> tuple[Discount, int]:
    """Close a discount for good, paused or not. Its granted codes stay good unless `void`; closing again may void them.

    A shared code stays good for those who were granted it. A brand's own codes that nobody holds stay in the export.

    Raises:
        NotFound
    """
    parsed = parse_id(store, discount_id)
    store.run(
        "close",
        [
            keys.discount(parsed.partition, discount_id),
            keys.codes(parsed.partition, discount_id),
            keys.events(parsed.partition),
        ],
        ["void" if void else "keep"],
    )
    return show(store, discount_id)


def parse_id(store: Store, discount_id: str) -> ids.DiscountId:
    """Where a discount's keys stand.

    Raises:
        NotFound: no discount of this service can have that id.
    """
    parsed = ids.parse_discount_id(discount_id)
    if parsed is None or parsed.partition >= store.partitions:
        raise NotFound("There is no such discount.")
    return parsed


def _discounts(store: Store, replies: Mapping[str, list[str]], now: int) -> list[Discount]:
    """Discounts from their hashes. Only of one that may have holds now are these counted."""
    several = {discount_id: dict(pairs(reply)) for discount_id, reply in replies.items()}
    holding = [each for each, fields in several.items() if int(fields.get("last_hold", 0)) > now]
    held: dict[str, int] = {}
    if holding:
        names = [keys.holds(int(each[4:6], 16), each) for each in holding]
        counts = store.commands([("ZCOUNT", name, f"({now}", "+inf") for name in names])
        held = dict(zip(holding, counts, strict=True))
    return [_discount(each, fields, held.get(each, 0)) for each, fields in several.items()]


def _discount(discount_id: str, fields: Mapping[str, str], on_hold_count: int) -> Discount:
    return Discount(
        id=discount_id,
        number=int(fields["number"]),
        brand_id=fields["brand"],
        discount_code=fields["discount_code"],
        total_count=int(fields["total"]) if "total" in fields else None,
        granted_count=int(fields["granted"]),
        created_at=int(fields["created_at"]),
        starts_at=_read_time(fields.get("starts_at")),
        expires_at=_read_time(fields.get("expires_at")),
        paused="paused" in fields,
        closed=fields.get("closed", ""),
        codes=code_kinds.kind_of(fields),
        rule=rules.rule_of(fields),
        limits={name: int(fields["limit_" + name]) for name in LIMITS if "limit_" + name in fields},
        timezone=fields.get("timezone", "UTC"),
        valid_for=durations.read(fields["valid_for"]) if "valid_for" in fields else None,
        returns_use="keeps_use" not in fields,
        webhook_id=fields.get("webhook"),
        used_count=int(fields.get("used", 0)),
        redeemed_count=int(fields.get("redeemed", 0)),
        on_hold_count=on_hold_count,
        rolled_back_count=int(fields.get("rolled_back", 0)),
        sums={
            name[7:]: Sums(int(value), int(fields.get("discounts:" + name[7:], 0)))
            for name, value in sorted(fields.items())
            if name.startswith("orders:")
        },
    )


def _stored_limits(limits: Mapping[LimitName, int | None]) -> dict[str, str]:
    return {f"limit_{name}": "" if value is None else str(value) for name, value in limits.items()}


def _flat_json(fields: Mapping[str, str]) -> str:
    return json.dumps([part for field in fields.items() for part in field])


def _stored_total(total_count: int | None, kind: CodeKind) -> str:
    if kind.kind == "imported":
        return "0"
    return "" if total_count is None else str(total_count)


def _check_total(total_count: int | None, discount: Discount) -> None:
    kind = discount.codes.kind
    if kind == "imported":
        raise Invalid("/total_count", "is how many codes were imported; import more")
    if kind == "unique":
        if total_count is None:
            raise Invalid("/total_count", "cannot be without limit for unique codes")
        code_kinds.check_space(total_count, discount.codes.pattern, discount.codes.alphabet)


def _stored_time(moment: int | None) -> str:
    return "" if moment is None else f"{moment:016d}"


def _read_time(text: str | None) -> int | None:
    return int(text) if text else None


def _read_place(cursor: str) -> tuple[int, str]:
    score, discount_id = read_cursor(cursor)
    if ids.parse_discount_id(discount_id) is None:
        raise bad_cursor()
    return score, discount_id
