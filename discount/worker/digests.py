"""Daily digests: e-mails to brands with the figures of the day before."""

from collections.abc import Mapping
from datetime import UTC, date, datetime
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from discount import mails
from discount.domain.digests import Digest
from discount.domain.model import Brand, to_time
from discount.mails import Amounts, Recipient
from discount.services import brands, deliveries, discounts, outbox
from discount.services.deliveries import PlannedDelivery, id_of
from discount.services.partitions import ask_each
from discount.store import keys
from discount.store.connection import Store

if TYPE_CHECKING:
    # Every worker imports this module, and one without a ledger starts in two thirds of the time without SQLAlchemy.
    from discount.ledger.figures import Figure, Figures

#: The type of the deliveries.
TYPE = "brand.digest"
#: The most brands of one partition that a turn looks at.
BRANDS = 100
#: The most discounts that a digest lists, and the most that it says will run out.
MOST_DISCOUNTS, MOST_ENDING = 20, 5
#: Codes that run out within so many microseconds are mentioned.
SOON = 7 * 86_400_000_000
_TARGET = "digest:"


class Digests:
    """The planner of digests that are due, each once.

    The id of a delivery is made from the brand and the day. So a worker that dies between planning a digest and
    setting the next one, or two that plan the same, plan it once.
    """

    def __init__(self, store: Store) -> None:
        self._store = store

    def turn(self, now: int) -> int:
        """Plan the digests that are due; return how many brands were looked at."""
        replies, _ = ask_each(
            self._store,
            lambda partition: (
                *("ZRANGEBYSCORE", keys.digests(partition), "-inf", now, "WITHSCORES", "LIMIT", 0, BRANDS),
            ),
        )
        count = 0
        for partition, rows in replies.items():
            found = brands.read(self._store, rows[::2])
            for brand_id, due_at in zip(rows[::2], rows[1::2], strict=True):
                self._plan(partition, brand_id, found[brand_id], int(float(due_at)), now)
                count += 1
        return count

    def _plan(self, partition: int, brand_id: str, brand: Brand | None, due_at: int, now: int) -> None:
        next_at = ""
        if brand is not None and brand.digest is not None and brand.closed_at is None:
            # After days without a worker, only the latest digest is sent.
            planned = _planned(partition, brand_id, brand.digest.latest_day(now), now)
            deliveries.plan(self._store, partition, now, [("", [planned])])
            next_at = str(brand.digest.next_after(now))
        self._store.run("move_digest", [keys.digests(partition)], [brand_id, due_at, next_at])


def _planned(partition: int, brand_id: str, day: date, now: int) -> PlannedDelivery:
    target = f"{_TARGET}{day}"
    return PlannedDelivery(
        id=id_of(partition, f"digest {brand_id}", "email", target),
        brand_id=brand_id,
        kind="email",
        target=target,
        type=TYPE,
        event_id="",
        discount_id="",
        entry_id="",
        due_at=now,
    )


def day_of(target: str) -> date:
    """Return the day that a delivery's digest is about."""
    return date.fromisoformat(target.removeprefix(_TARGET))


def is_read(store: Store, brand_id: str, until: int) -> bool:
    """Return whether the ledger has all events of a brand before `until`."""
    from discount.ledger import positions  # noqa: PLC0415

    partition = keys.partition_of(brand_id, store.partitions)
    _, oldest = outbox.waiting(store, partition, positions.GROUP)
    return oldest is None or oldest * 1000 >= until


def facts_of(store: Store, figures: "Figures", brand_id: str, digest: Digest, day: date) -> dict[str, Any]:
    """Return the facts of a digest but the brand's name.

    Raises:
        Unavailable
    """
    from discount.ledger.figures import add_up  # noqa: PLC0415

    zone, (since, until) = ZoneInfo(digest.timezone), digest.bounds(day)
    by_id = figures.of_each(brand_id, since, until)
    total = add_up(by_id.values(), since)
    ranked = sorted(by_id, key=lambda each: (by_id[each].granted, by_id[each].redeemed), reverse=True)
    live, now = discounts.read(store, ranked[:MOST_DISCOUNTS])
    forecasts = [each for each in figures.forecasts(brand_id) if (each.runs_out_at or 0) < now + SOON]
    return {
        "day": day,
        "timezone": digest.timezone,
        **_facts(total),
        "refused": total.refused,
        "discounts": [
            {"discount_name": each.discount_code, "left": each.remaining_count, **_facts(by_id[each.id])}
            for each in live
        ],
        "more": max(0, len(ranked) - MOST_DISCOUNTS),
        "ending": [
            {"discount_name": each.discount_code, "runs_out_at": to_time(each.runs_out_at or 0).astimezone(zone)}
            for each in forecasts[:MOST_ENDING]
        ],
    }


def write_preview(
    store: Store, figures: "Figures", brand: Brand, digest: Digest, day: date | None, *, sender: str
) -> EmailMessage:
    """Return the digest of a day as it would be sent; by default of the latest day.

    Raises:
        Unavailable
    """
    about = day or digest.latest_day(store.now())
    to = Recipient(digest.email or brand.email or "nobody@localhost.invalid", None, digest.language)
    facts: Mapping[str, Any] = facts_of(store, figures, brand.id, digest, about) | {"brand_name": brand.name}
    return mails.write("digest", to, facts, sender=sender, message_id="<preview@localhost>", date=datetime.now(UTC))


def _facts(figure: "Figure") -> dict[str, Any]:
    off = {currency: amount for currency, amount in sorted(figure.discount_amounts.items()) if amount}
    return {"granted": figure.granted, "redeemed": figure.redeemed, "taken_off": Amounts(off)}
