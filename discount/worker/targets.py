"""Remember which types of events have a recipient, so that most events cost nothing but their reading."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

from discount.domain.event_types import TYPES
from discount.services import claims, contacts, webhooks
from discount.store import keys
from discount.store.connection import Store
from discount.worker import email_delivery

#: Brands and discounts of a partition that are remembered; then all of them are forgotten.
REMEMBERED = 20_000
_ALL = frozenset(TYPES)
_NONE = frozenset[str]()
_GRANTED = "code.granted"
_OF_CLAIMS = frozenset({_GRANTED, *claims.UNDONE})
# Events that lead to more than webhook calls, if e-mails can be sent. Those of grants depend on the user.
_FOR_MAILS = frozenset(email_delivery.KINDS.keys() | {"discount.created", "discount.changed"}) - {_GRANTED}


@dataclass(slots=True)
class _Known:
    """The types of events that webhooks want, of one version of a partition's webhooks.

    Args:
        brands: by brand id, of the webhooks for all of its discounts.
        discounts: by short number, of a discount's own webhook.
    """

    version: str | None = ""
    brands: dict[str, frozenset[str]] = field(default_factory=dict)
    discounts: dict[str, frozenset[str]] = field(default_factory=lambda: {"": _NONE})


class Targets:
    """The types of events that have a recipient, by brand and discount.

    Each change that may add a target raises the version of its partition in Redis, in the same script. A version that
    was read after some events is therefore at least as new as all targets that were there before these events.

    Args:
        mails: whether e-mails can be sent.
    """

    def __init__(self, store: Store, *, mails: bool) -> None:
        self._store = store
        self._mails = mails
        self._always = frozenset({"webhook.test"}) | (_FOR_MAILS if mails else _NONE)
        self._known = [_Known() for _ in range(store.partitions)]

    def split(self, partition: int, version: str | None, rows: Sequence[Any]) -> tuple[list[Any], list[str]]:
        """Return the rows that have to be planned, and the ids of the entries of all others.

        Args:
            version: the partition's version, as read after the rows.
            rows: entries as Redis answers them; the first fields of each are its type, time and brand.
        """
        known = self._remember(partition, version, rows)
        brands, discounts, always = known.brands, known.discounts, self._always
        wanted: list[Any] = []
        granted: list[Any] = []
        others: list[str] = []
        for row in rows:
            entry_id, fields = row
            kind = fields[1]
            if (
                kind in always
                or kind not in _ALL
                or "email" in fields
                or kind in brands[fields[5]]
                or kind in discounts[_number_in(fields)]
            ):
                wanted.append(row)
            elif self._mails and kind == _GRANTED:
                granted.append(row)
            else:
                others.append(entry_id)
        if granted:
            pairs = [(fields[5], fields[fields.index("user", 6) + 1]) for _, fields in granted]
            for row, has_address in zip(granted, contacts.have_addresses(self._store, pairs), strict=True):
                if has_address:
                    wanted.append(row)
                else:
                    others.append(row[0])
        return wanted, others

    def _remember(self, partition: int, version: str | None, rows: Sequence[Any]) -> _Known:
        """Return what is known of a partition, with all brands and discounts of the rows."""
        known = self._known[partition]
        if known.version != version or len(known.brands) + len(known.discounts) > REMEMBERED:
            known = self._known[partition] = _Known(version)
        brand_ids = {fields[5] for _, fields in rows} - known.brands.keys()
        numbers = {_number_in(fields) for _, fields in rows} - known.discounts.keys()
        if brand_ids or numbers:
            self._look_up(partition, known, sorted(brand_ids), sorted(numbers))
        return known

    def _look_up(self, partition: int, known: _Known, brand_ids: Sequence[str], numbers: Sequence[str]) -> None:
        *of_brands, discount_ids = self._store.commands(
            [("ZRANGE", keys.brand_webhooks(partition, each), 0, -1) for each in brand_ids]
            + [("HMGET", keys.numbers(partition), *(numbers or [""]))]
        )
        found = {number: each for number, each in zip(numbers, discount_ids, strict=False) if each}
        own = self._store.commands(
            [("HMGET", keys.discount(partition, each), "webhook", "claim_within") for each in found.values()]
        )
        of_discounts = {number: each for number, (each, _) in zip(found, own, strict=True) if each}
        # When a grant has to be used is noted by whoever plans its event, or that a use of it was undone.
        claimed = {number for number, (_, within) in zip(found, own, strict=True) if within}
        every = webhooks.read(
            self._store, sorted({*of_discounts.values(), *(each for ids in of_brands for each in ids)})
        )

        def types_of(webhook_ids: Collection[str]) -> frozenset[str]:
            several = [every[each] for each in webhook_ids]
            return _NONE.union(*(each.types or _ALL for each in several if each is not None))

        known.brands |= {brand_id: types_of(ids) for brand_id, ids in zip(brand_ids, of_brands, strict=True)}
        known.discounts |= {
            each: types_of([of_discounts[each]] if each in of_discounts else [])
            | (_OF_CLAIMS if each in claimed else _NONE)
            for each in numbers
        }


def _number_in(fields: Sequence[str]) -> str:
    """Return the short number of the discount of an event; empty if it has none."""
    return fields[7] if len(fields) > 7 and fields[6] == "number" else ""
