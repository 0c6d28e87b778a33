"""The service of discounts that change: change one, or close it for good."""

import json
from collections.abc import Mapping
from typing import Any

from discount.domain import code_kinds, code_sequence, ids, windows
from discount.domain.errors import Invalid
from discount.domain.metadata import write as write_metadata
from discount.domain.model import COMMAND, Author, Definition, Discount
from discount.services import next_waits
from discount.services.discount_records import flat_json, stored_limits, stored_time
from discount.services.discounts import get_definition, parse_id, show
from discount.store import keys
from discount.store.connection import Store


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
    windows.check_bounds(changes)
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
            *waits.user_keys,
        ],
        [
            waits.text,
            *store.quotas.arguments,
            *(_next_block(store, parsed, definition, changes) if waits.text else ("", "")),
            flat_json(fields),
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

    The waiting list ends. A shared code stays good for the users who were granted it. Imported codes that nobody holds
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


def _check_total(total_count: int | None, discount: Discount) -> None:
    kind = discount.codes.kind
    if kind == "imported":
        raise Invalid("/total_count", "cannot be set: it is the number of imported codes; import more instead")
    if kind == "unique":
        if total_count is None:
            raise Invalid("/total_count", "cannot be null for unique codes")
        code_kinds.check_space(total_count, discount.codes.pattern, discount.codes.alphabet)
