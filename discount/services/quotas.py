"""The service of quotas: how much a brand may use, and how much it uses."""

from collections.abc import Mapping
from dataclasses import dataclass

from discount.domain.model import QuotaLimit, QuotaName
from discount.services import copies
from discount.store import keys
from discount.store.connection import Store, moment_of
from discount.store.quotas import BYTES_OF_GRANT, BYTES_OF_WAIT, NAMES, OFF

#: The period in which a brand's e-mails are counted, in seconds.
DAY = 86_400
# Stands for a quota that the brand takes from the settings.
_FROM_SETTINGS = "-"


@dataclass(frozen=True, slots=True)
class Quota:
    """A quota of a brand and how much of it is used; `limit` is None for no bound.

    `opens_at` is when counting starts again, in microseconds since 1970 UTC; None if it never does.
    """

    limit: int | None
    used: int
    opens_at: int | None = None


def show(store: Store, brand_id: str) -> dict[QuotaName, Quota]:
    """Return a brand's quotas. A brand that does not exist has those of the settings."""
    partition = keys.partition_of(brand_id, store.partitions)
    mailed = keys.brand_mailed(partition, brand_id)
    (own, counted, granted, waits), discounts, mails, left, time = store.commands(
        [
            (
                "HMGET",
                keys.usage(partition),
                f"quotas {brand_id}",
                f"used {brand_id}",
                f"grants {brand_id}",
                f"waits {brand_id}",
            ),
            ("ZCARD", keys.brand_discounts(partition, brand_id)),
            ("GET", mailed),
            ("TTL", mailed),
            ("TIME",),
        ]
    )
    now = moment_of(time)
    day, grants_before, bytes_beside, codes = map(int, (counted or "0 0 0 0").split())
    grants = int(granted or 0)
    today = now // (DAY * 1_000_000)
    used: dict[QuotaName, tuple[int, int | None]] = {
        "discounts": (discounts, None),
        "codes": (codes, None),
        "grants_a_day": (grants - grants_before if day == today else 0, (today + 1) * DAY * 1_000_000),
        "emails_a_day": (int(mails or 0), now + left * 1_000_000 if left > 0 else None),
        "stored_bytes": (bytes_beside + grants * BYTES_OF_GRANT + int(waits or 0) * BYTES_OF_WAIT, None),
    }
    limits = _limits(store, own)
    return {name: Quota(limits[name], *usage) for name, usage in used.items()}


def change(store: Store, brand_id: str, wanted: Mapping[QuotaName, QuotaLimit]) -> None:
    """Set quotas of a brand; None returns a quota to the settings."""
    usage, field = keys.usage(keys.partition_of(brand_id, store.partitions)), f"quotas {brand_id}"
    own = _own_limits(store.command("HGET", usage, field))
    own |= {name: _FROM_SETTINGS if most is None else str(most) for name, most in wanted.items()}
    store.command("HSET", usage, field, " ".join(own.values()))
    copies.note(store, [f"{usage}\n{field}"])


def count_email(store: Store, brand_id: str) -> bool:
    """Count an e-mail that is about to be sent for a brand; return whether it may be sent."""
    partition = keys.partition_of(brand_id, store.partitions)
    mailed = keys.brand_mailed(partition, brand_id)
    own, _, count = store.commands(
        [
            ("HGET", keys.usage(partition), f"quotas {brand_id}"),
            ("SET", mailed, 0, "EX", DAY, "NX"),
            ("INCR", mailed),
        ]
    )
    limit = _limits(store, own)["emails_a_day"]
    if limit is not None and count > limit:
        uncount_email(store, brand_id)
        return False
    return True


def uncount_email(store: Store, brand_id: str) -> None:
    """Undo the count of an e-mail that was not sent."""
    store.command("DECR", keys.brand_mailed(keys.partition_of(brand_id, store.partitions), brand_id))


def _own_limits(own: str | None) -> dict[QuotaName, str]:
    """Return a brand's own quotas as they are stored."""
    return dict(zip(NAMES, (own or " ".join([_FROM_SETTINGS] * len(NAMES))).split(), strict=True))


def _limits(store: Store, own: str | None) -> dict[QuotaName, int | None]:
    limits = {
        name: store.quotas.most(name) if limit == _FROM_SETTINGS else limit for name, limit in _own_limits(own).items()
    }
    return {name: None if limit == OFF else int(limit) for name, limit in limits.items()}
