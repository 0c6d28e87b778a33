"""Events: what each type tells, and the entries of the outbox as the envelopes that everybody else sees."""

import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import Meta

from discount.domain.model import to_time

_EVENT_ID = re.compile(r"evt-([0-9a-f]{2})([0-9]{1,16})-([0-9]{1,20})-[0-9a-f]{8}")


class Envelope(msgspec.Struct, tag_field="type"):
    """A fact that happened. Its id is the same however often it is told; a brand's are told by ascending time."""

    id: str
    time: Annotated[datetime, Meta(tz=True)]
    brand_id: str


class OfDiscount(msgspec.Struct):
    """What an event of a discount is about."""

    discount_id: str


class OfCode(OfDiscount):
    """What an event of a granted code is about."""

    user_id: str
    code: str


class CodeAlone(msgspec.Struct):
    """What a webhook of personal codes is told of a grant, in place of the envelope."""

    user_id: str
    discount_code: str
    discount_id: str


class OfLimit(OfDiscount):
    """A limit of a discount."""

    limit: str


class OfRedemption(OfCode):
    """A use of a code. Amounts are in minor units of the currency."""

    redemption_id: str
    amount: int
    currency: str
    discount_amount: int


class OfRollback(OfRedemption):
    """A use that was undone, or a hold that was released, and why."""

    reason: str


class OfHold(OfRedemption):
    """A use that is on hold, and until when."""

    hold_until: datetime


class OfWebhook(msgspec.Struct):
    """A webhook."""

    webhook_id: str


class OfDisabledWebhook(OfWebhook):
    """A webhook, and why nothing is sent there any more: `failing` or `gone`."""

    reason: str


class DiscountCreated(Envelope, tag="discount.created"):
    """A discount was made."""

    data: OfDiscount


class DiscountChanged(Envelope, tag="discount.changed"):
    """It was paused, resumed, renamed, moved in time or resized."""

    data: OfDiscount


class DiscountClosed(Envelope, tag="discount.closed"):
    """It was closed, or its granted codes were voided after that."""

    data: OfDiscount


class DiscountSoldOut(Envelope, tag="discount.sold-out"):
    """That was the last code; told again after a raised total is gone."""

    data: OfDiscount


class DiscountLimitReached(Envelope, tag="discount.limit-reached"):
    """That was the last use of the limit `total`."""

    data: OfLimit


class CodeGranted(Envelope, tag="code.granted"):
    """A user was given a code, for the first time."""

    data: OfCode


class CodeRedeemed(Envelope, tag="code.redeemed"):
    """A use was counted: at once, or when its hold was confirmed."""

    data: OfRedemption


class RedemptionRolledBack(Envelope, tag="redemption.rolled-back"):
    """A use was undone; its `code.redeemed` came before."""

    data: OfRollback


class RedemptionHeld(Envelope, tag="redemption.held"):
    """A use was put on hold until `hold_until`. It counts in the limits, and not yet in the sums."""

    data: OfHold


class RedemptionConfirmed(Envelope, tag="redemption.confirmed"):
    """A hold was made final. Its `code.redeemed` follows at once and is what counts."""

    data: OfRedemption


class RedemptionReleased(Envelope, tag="redemption.released"):
    """A hold was rolled back, with that `reason`, or gave way to its holder's next attempt, with none."""

    data: OfRollback


class WebhookDisabled(Envelope, tag="webhook.disabled"):
    """A webhook was switched off, because it failed for long or said that it is gone (410)."""

    data: OfDisabledWebhook


class WebhookTest(Envelope, tag="webhook.test"):
    """Somebody asked for a test; only the webhook that is tested is told."""

    data: OfWebhook


#: The types, by name.
TYPES: dict[str, type[Envelope]] = {
    str(each.__struct_config__.tag): each
    for each in (
        DiscountCreated,
        DiscountChanged,
        DiscountClosed,
        DiscountSoldOut,
        DiscountLimitReached,
        CodeGranted,
        CodeRedeemed,
        RedemptionRolledBack,
        RedemptionHeld,
        RedemptionConfirmed,
        RedemptionReleased,
        WebhookDisabled,
        WebhookTest,
    )
}
# Fields of the data that are moments; an entry has them in microseconds since 1970.
_MOMENTS = ("hold_until",)
# What a field of the data is called in an entry, where it is called otherwise there.
_STORED = {"user_id": "user", "redemption_id": "redemption", "webhook_id": "webhook"}
_DATA = {name: get_type_hints(kind)["data"] for name, kind in TYPES.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a partition's outbox."""

    partition: int
    place: str
    fields: Mapping[str, str]

    @property
    def event_id(self) -> str:
        """The event's id. After a Redis lost its last moment, another event may come to stand in the same place: so
        its content is part of its name."""
        digest = blake2b(repr(sorted(self.fields.items())).encode(), digest_size=4).hexdigest()
        return f"evt-{self.partition:02x}{self.place}-{digest}"


def read_entries(partition: int, reply: Iterable[Any]) -> list[Entry]:
    """The entries in an answer of Redis; those that were deleted are left out."""
    return [
        Entry(
            partition, place, dict(zip(fields[::2], fields[1::2], strict=True)) if isinstance(fields, list) else fields
        )
        for place, fields in reply
        if fields
    ]


def is_of(row: Sequence[Any], brand_id: str, types: Collection[str]) -> bool:
    """Whether a row of an answer of Redis is a brand's event of some types, or of any; no entry is made of it.

    Every script writes the fields `type`, `at` and `brand` first, in that order.
    """
    fields = row[1]
    return bool(fields) and fields[5] == brand_id and (not types or fields[1] in types)


def place_of(event_id: str) -> tuple[int, str] | None:
    """The partition of an event and its place in the outbox; None if this service cannot have made the id."""
    match = _EVENT_ID.fullmatch(event_id)
    # Redis counts the entries of a millisecond in 64 bits.
    return (int(match[1], 16), f"{match[2]}-{match[3]}") if match and int(match[3]) < 1 << 64 else None


def numbers_in(entries: Iterable[Entry]) -> list[str]:
    """The short numbers of the discounts that entries speak of."""
    return sorted({entry.fields["number"] for entry in entries if "number" in entry.fields})


def envelope(entry: Entry, discounts: Mapping[str, str]) -> Envelope:
    """An entry as everybody else sees it. `discounts`: ids by short number."""
    fields = entry.fields
    kind = fields["type"]
    given = {"discount_id": discounts.get(fields.get("number", ""), "")}
    data: dict[str, Any] = {
        name: given.get(name, fields.get(_STORED.get(name, name), "")) for name in _DATA[kind].__struct_fields__
    }
    data |= {name: to_time(int(data[name])) for name in _MOMENTS if name in data}
    told: dict[str, Any] = {"data": msgspec.convert(data, _DATA[kind], strict=False)}
    return TYPES[kind](id=entry.event_id, time=to_time(int(fields["at"])), brand_id=fields["brand"], **told)
