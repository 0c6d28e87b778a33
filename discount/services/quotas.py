"""The verbs of quotas: how much a brand may have, and how much it has."""

from collections.abc import Mapping
from dataclasses import dataclass

from discount.domain.model import QuotaLimit, QuotaName
from discount.store import keys
from discount.store.connection import Store, moment_of
from discount.store.quotas import NAMES, OFF

#: In which e-mails of a day are counted, in seconds.
DAY = 86_400
_UNSAID = "-"


@dataclass(frozen=True, slots=True)
class Quota:
    """How much a brand may have of something, None for no bound, and how much it has.

    `opens_at`: when it begins anew, in microseconds; None for one that does not.
    """

    limit: int | None
    used: int
    opens_at: int | None = None


def show(store: Store, brand_id: str) -> dict[QuotaName, Quota]:
    """A brand's quotas. A brand that was never made has those of the settings."""
    partition = keys.partition_of(brand_id, store.partitions)
    mailed = keys.brand_mailed(partition, brand_id)
    (own, counted), discounts, mails, left, time = store.commands(
        [
            ("HMGET", keys.usage(partition), f"quotas {brand_id}", f"used {brand_id}"),
            ("ZCARD", keys.brand_discounts(partition, brand_id)),
            ("GET", mailed),
            ("TTL", mailed),
            ("TIME",),
        ]
    )
    now = moment_of(time)
    day, of_day, stored, codes = map(int, (counted or "0 0 0 0").split())
    today = now // (DAY * 1_000_000)
    used: dict[QuotaName, tuple[int, int | None]] = {
        "discounts": (discounts, None),
        "codes": (codes, None),
        "grants_a_day": (of_day if day == today else 0, (today + 1) * DAY * 1_000_000),
        "emails_a_day": (int(mails or 0), now + left * 1_000_000 if left > 0 else None),
        "stored_bytes": (stored, None),
    }
    limits = _limits(store, own)
    return {name: Quota(limits[name], *told) for name, told in used.items()}


def change(store: Store, brand_id: str, wanted: Mapping[QuotaName, QuotaLimit]) -> None:
    """Set quotas of a brand's own; None gives it those of the settings again."""
    usage, field = keys.usage(keys.partition_of(brand_id, store.partitions)), f"quotas {brand_id}"
    words = _words(store.command("HGET", usage, field))
    words |= {name: _UNSAID if most is None else str(most) for name, most in wanted.items()}
    store.command("HSET", usage, field, " ".join(words.values()))


def count_email(store: Store, brand_id: str) -> bool:
    """Count an e-mail of a brand that is about to be sent; whether it may be."""
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
    """Take back the count of an e-mail that was not sent."""
    store.command("DECR", keys.brand_mailed(keys.partition_of(brand_id, store.partitions), brand_id))


def _words(own: str | None) -> dict[QuotaName, str]:
    """A brand's own quotas as they are stored."""
    return dict(zip(NAMES, (own or " ".join([_UNSAID] * len(NAMES))).split(), strict=True))


def _limits(store: Store, own: str | None) -> dict[QuotaName, int | None]:
    found = {name: store.quotas.most(name) if word == _UNSAID else word for name, word in _words(own).items()}
    return {name: None if word == OFF else int(word) for name, word in found.items()}
