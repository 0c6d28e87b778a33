"""Events: the data of each type, and the entries of the outbox as the envelopes that callers see."""

import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import blake2b
from typing import Annotated, Any, get_type_hints

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount.domain import definitions, metadata, order_lines
from discount.domain.definitions import SettingsData
from discount.domain.model import to_time

_EVENT_ID = re.compile(r"evt-([0-9a-f]{2})([0-9]{1,16})-([0-9]{1,20})-[0-9a-f]{8}")


class Envelope(msgspec.Struct, tag_field="type"):
    """A fact that happened. Its id never changes, and a brand's events are listed by ascending time."""

    id: str
    time: Annotated[datetime, Meta(tz=True)]
    brand_id: str


class OfDiscount(msgspec.Struct):
    """The data of an event of a discount."""

    discount_id: str


class OfAuthor(OfDiscount):
    """The data of an event of a change, with its author and the id of the request that made it.

    `by` is `open` while the service is open, `admin`, `key:<id>`, `user:<id>`, `person:<name>` for somebody who signed
    in at the console by OpenID Connect, `command` for the command line, or `service` for what the service does itself.
    """

    by: str
    request_id: str


class OfDefinition(OfAuthor):
    """The data of an event of a new discount, with all its settings."""

    definition: SettingsData


class OfChange(OfAuthor):
    """The data of an event of a changed discount, with the settings in question before and after it."""

    before: SettingsData
    after: SettingsData


class OfImport(OfAuthor):
    """The data of an event of imported codes: the number of the first one, from 1, and how many there are."""

    first: int
    count: int


class OfCode(OfDiscount):
    """The data of an event of a granted code."""

    user_id: str
    code: str


class OfGrant(OfCode):
    """The data of an event of a code that was granted now. A user who waited for it did so since `waited_since`."""

    metadata: dict[str, str]
    waited_since: datetime | None


class OfWait(OfDiscount):
    """The data of an event of a user who waits for a code, with the place on the list, from 1."""

    user_id: str
    place: int


class OfWaitsEnd(OfAuthor):
    """The data of an event of a user who left a waiting list."""

    user_id: str


class OfRevocation(OfCode):
    """The data of an event of a code that was taken back.

    `back` says where it went: `void`, `pool`, or `next` for the user `next_user_id`. With `reissue` the user may be
    granted another code.
    """

    reason: str
    back: str
    next_user_id: str | None
    reissue: bool
    by: str
    request_id: str


class OfUser(msgspec.Struct):
    """The data of an event of a user. Without a discount it is about all that the brand had of the user."""

    user_id: str
    discount_id: str | None


class CodeAlone(msgspec.Struct):
    """The body for a grant, in place of the envelope, where a webhook has the body `code`."""

    user_id: str
    discount_code: str
    discount_id: str


class OfIdentity(OfDiscount):
    """The data of an event of a repeated identity; `part` is `email`, `device`, `address` or `card`."""

    part: str


class OfLimit(OfDiscount):
    """The data of an event of a discount's limit."""

    limit: str


class OfShare(OfDiscount):
    """The data of an event of a share of a discount's total that is granted, 80 or 95 percent."""

    percent: int
    granted_count: int
    total_count: int


class OfRedemption(OfCode):
    """The data of an event of a redemption. Amounts are in minor units of the currency."""

    redemption_id: str
    order_id: str
    amount: int
    currency: str
    discount_amount: int
    metadata: dict[str, str]
    lines: Annotated[dict[str, int] | UnsetType, Meta(description="What came off each line, by its id.")] = UNSET
    redeemed_with: Annotated[
        list[str] | UnsetType, Meta(description="Ids of the order's other redemptions, if it has several codes.")
    ] = UNSET


class OfRollback(OfRedemption, kw_only=True):
    """The data of an event of a redemption that was rolled back, or of a released hold, with its reason."""

    reason: str


class OfHold(OfRedemption, kw_only=True):
    """The data of an event of a hold, with its end."""

    hold_until: datetime


class OfWebhook(msgspec.Struct):
    """The data of an event of a webhook."""

    webhook_id: str


class OfDisabledWebhook(OfWebhook):
    """The data of an event of a webhook that was switched off; the reason is `failing` or `gone`."""

    reason: str


class DiscountCreated(Envelope, tag="discount.created"):
    """A discount was created."""

    data: OfDefinition


class DiscountChanged(Envelope, tag="discount.changed"):
    """A discount was paused, resumed or renamed, or its times, total, limits or metadata were changed."""

    data: OfChange


class DiscountClosed(Envelope, tag="discount.closed"):
    """A discount was closed, or its granted codes were voided later."""

    data: OfChange


class DiscountRunningLow(Envelope, tag="discount.running-low"):
    """80 or 95 percent of the total are granted, told once each; again after a raised total, if they lie ahead again.

    The last code has `discount.sold-out` alone.
    """

    data: OfShare


class DiscountSoldOut(Envelope, tag="discount.sold-out"):
    """The last code was granted; happens again after a raised total is used up."""

    data: OfDiscount


class DiscountLimitReached(Envelope, tag="discount.limit-reached"):
    """The last use that the limit `total` allows was counted."""

    data: OfLimit


class CodesImported(Envelope, tag="codes.imported"):
    """Codes of the brand's own were added to a discount. A large import has an event for each 500 of them."""

    data: OfImport


class CodeGranted(Envelope, tag="code.granted"):
    """A user was granted a code, for the first time."""

    data: OfGrant


class WaitStarted(Envelope, tag="wait.started"):
    """A user began to wait for a code of a discount. A `code.granted` ends the wait, and so does a closed discount."""

    data: OfWait


class WaitEnded(Envelope, tag="wait.ended"):
    """A user left the waiting list of a discount without a code."""

    data: OfWaitsEnd


class CodeRevoked(Envelope, tag="code.revoked"):
    """A code was taken back from a user. If it went to another one, that one's `code.granted` follows at once."""

    data: OfRevocation


class CodeRedeemed(Envelope, tag="code.redeemed"):
    """A use was counted: at once, or when its hold was confirmed."""

    data: OfRedemption


class RedemptionRolledBack(Envelope, tag="redemption.rolled-back"):
    """A use was undone; its `code.redeemed` came before."""

    data: OfRollback


class RedemptionHeld(Envelope, tag="redemption.held"):
    """A use was put on hold until `hold_until`. It counts in the limits, but not yet in the sums."""

    data: OfHold


class RedemptionConfirmed(Envelope, tag="redemption.confirmed"):
    """A hold was made final. Its `code.redeemed` follows at once and is the one to count."""

    data: OfRedemption


class RedemptionReleased(Envelope, tag="redemption.released"):
    """A hold was rolled back, with its `reason`, or released for the user's next checkout, without one."""

    data: OfRollback


class IdentityRepeated(Envelope, tag="identity.repeated"):
    """A user was refused because others have the same e-mail, device, address or card; once for each of these."""

    data: OfIdentity


class UserForgotten(Envelope, tag="user.forgotten"):
    """A user was forgotten: one event for each discount of which the user had something, and one for the rest."""

    data: OfUser


class WebhookDisabled(Envelope, tag="webhook.disabled"):
    """A webhook was switched off, because it kept failing or answered 410 Gone."""

    data: OfDisabledWebhook


class WebhookTest(Envelope, tag="webhook.test"):
    """A test was requested; only the tested webhook gets this event."""

    data: OfWebhook


#: The types, by name.
TYPES: dict[str, type[Envelope]] = {
    str(each.__struct_config__.tag): each
    for each in (
        DiscountCreated,
        DiscountChanged,
        DiscountClosed,
        DiscountRunningLow,
        DiscountSoldOut,
        DiscountLimitReached,
        CodesImported,
        CodeGranted,
        WaitStarted,
        WaitEnded,
        CodeRevoked,
        CodeRedeemed,
        RedemptionRolledBack,
        RedemptionHeld,
        RedemptionConfirmed,
        RedemptionReleased,
        IdentityRepeated,
        UserForgotten,
        WebhookDisabled,
        WebhookTest,
    )
}
# Names of fields in an entry, where they differ from those of the data.
_STORED = {
    "user_id": "user",
    "redemption_id": "redemption",
    "webhook_id": "webhook",
    "request_id": "request",
    "next_user_id": "next",
    "granted_count": "granted",
    "total_count": "total",
}
#: Fields of an entry that only Redis keeps: addresses, what codes are made with, and long lists.
ONLY_IN_REDIS = ("email", "key", "codes")
_DATA = {name: get_type_hints(kind)["data"] for name, kind in TYPES.items()}


@dataclass(frozen=True, slots=True)
class Entry:
    """An entry of a partition's outbox."""

    partition: int
    entry_id: str
    fields: Mapping[str, str]

    @property
    def event_id(self) -> str:
        """The event's id. It has a digest of the content, because a Redis that lost data may give a new event the same
        entry id. What the ledger does not have is left out, so that a restored entry has the id of before."""
        content = sorted(each for each in self.fields.items() if each[0] not in ONLY_IN_REDIS)
        digest = blake2b(repr(content).encode(), digest_size=4).hexdigest()
        return f"evt-{self.partition:02x}{self.entry_id}-{digest}"


def read_entries(partition: int, reply: Iterable[Any]) -> list[Entry]:
    """Return the entries in a reply of Redis, without deleted ones."""
    return [
        Entry(
            partition,
            entry_id,
            dict(zip(fields[::2], fields[1::2], strict=True)) if isinstance(fields, list) else fields,
        )
        for entry_id, fields in reply
        if fields
    ]


def is_of(row: Sequence[Any], brand_id: str, types: Collection[str]) -> bool:
    """Return whether a row of a reply is a brand's event of one of the types; no types for any. Faster than an entry.

    Every script writes the fields `type`, `at` and `brand` first, in that order.
    """
    fields = row[1]
    return bool(fields) and fields[5] == brand_id and (not types or fields[1] in types)


def place_of(event_id: str) -> tuple[int, str] | None:
    """Return the partition and the entry id of an event; None if this service cannot have made its id."""
    match = _EVENT_ID.fullmatch(event_id)
    # Redis counts the entries of a millisecond in 64 bits.
    return (int(match[1], 16), f"{match[2]}-{match[3]}") if match and int(match[3]) < 1 << 64 else None


def parts(entry_id: str) -> tuple[int, int]:
    """Return the id of an entry as numbers, by which entries are ordered: milliseconds, and a count in them."""
    milliseconds, _, number = entry_id.partition("-")
    return int(milliseconds), int(number or 0)


def numbers_in(entries: Iterable[Entry]) -> list[str]:
    """Return the short numbers of the discounts that entries refer to."""
    return sorted({entry.fields["number"] for entry in entries if "number" in entry.fields})


def envelope(entry: Entry, discounts: Mapping[str, str]) -> Envelope:
    """Return an entry as callers see it.

    Args:
        discounts: ids of discounts by short number.
    """
    fields = entry.fields
    kind = fields["type"]
    given = {"discount_id": discounts.get(fields["number"], "") if "number" in fields else None}
    data: dict[str, Any] = {
        name: given[name] if name in given else _value(name, fields) for name in _DATA[kind].__struct_fields__
    }
    data = {name: value for name, value in data.items() if value is not UNSET}
    typed: dict[str, Any] = {"data": msgspec.convert(data, _DATA[kind], strict=False)}
    return TYPES[kind](id=entry.event_id, time=to_time(int(fields["at"])), brand_id=fields["brand"], **typed)


def _value(name: str, fields: Mapping[str, str]) -> Any:
    """Return a field of an event's data from the fields of its entry."""
    if name in _READ:
        return _READ[name](fields)
    return fields.get(_STORED.get(name, name), "")


def _metadata(fields: Mapping[str, str]) -> metadata.Metadata:
    return metadata.of_order(fields["order"])[1] if "order" in fields else metadata.read(fields.get("metadata"))


def _lines(fields: Mapping[str, str]) -> Any:
    return order_lines.read_lines(metadata.lines_of_order(fields.get("order", ""))) or UNSET


# Fields of the data that are more than a text or a number of the entry.
_READ: dict[str, Callable[[Mapping[str, str]], Any]] = {
    "definition": lambda fields: definitions.read(fields.get("definition", "")),
    "before": lambda fields: definitions.read(fields.get("before", "")),
    "after": lambda fields: definitions.read(fields.get("after", "")),
    "hold_until": lambda fields: to_time(int(fields["hold_until"])),
    "order_id": lambda fields: metadata.of_order(fields.get("order", ""))[0],
    "metadata": _metadata,
    "lines": _lines,
    "redeemed_with": lambda fields: metadata.others_of_order(fields.get("order", ""), fields["redemption"]) or UNSET,
    "waited_since": lambda fields: to_time(int(fields["waited"])) if "waited" in fields else None,
    "next_user_id": lambda fields: fields.get("next") or None,
    "reissue": lambda fields: fields.get("reissue") == "1",
}
