"""The service of discounts: create one, or find one by its id, its name or its shared code."""

import json
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from typing import Any

from discount.domain import audience as audiences
from discount.domain import code_sequence, ids, rules, windows
from discount.domain.audience import Audience
from discount.domain.code_kinds import CodeKind
from discount.domain.durations import Duration
from discount.domain.errors import Expired, Invalid, NotFound, Unavailable
from discount.domain.metadata import NO_METADATA, Metadata
from discount.domain.metadata import write as write_metadata
from discount.domain.model import COMMAND, Author, Definition, Discount, WebhookBody
from discount.domain.releases import Release
from discount.domain.rules import NO_RULE, LimitName, Rule
from discount.domain.windows import Hours
from discount.services import copies
from discount.services.discount_records import flat_json, read_discounts, stored_limits, stored_time
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
#: How often the create script is run while other discounts keep taking the shared code.
TRIES = 5


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
        claim_within: how long after its grant an unused code goes to the next user or to the pool; without months.
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
    windows.check_bounds(bounds)
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
                    flat_json(fields),
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


def parse_id(store: Store, discount_id: str) -> ids.DiscountId:
    """Return the parts of a discount's id, which name its keys.

    Raises:
        NotFound: no discount here can have that id.
    """
    parsed = ids.parse_discount_id(discount_id)
    if parsed is None or parsed.partition >= store.partitions:
        raise NotFound("There is no such discount.")
    return parsed


def _check_times(starts_at: int | None, expires_at: int | None) -> None:
    if starts_at is not None and expires_at is not None and expires_at <= starts_at:
        raise Invalid("/expires_at", "must be after starts_at")


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
