"""Types of events, and the data of each as callers see it."""

from datetime import datetime
from typing import Annotated

import msgspec
from msgspec import UNSET, Meta, UnsetType

from discount.domain.definitions import SettingsData


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

    `by` is `open` while the service is open, `admin`, `key:<id>`, `user:<id>`, `person:<name>` for a person who signed
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


#: True for a code that was moved in with its holder, and for its uses of before; else absent.
Imported = Annotated[bool | UnsetType, Meta(description="It was moved in from another service.")]


class OfCode(OfDiscount):
    """The data of an event of a granted code."""

    user_id: str
    code: str


class OfGrant(OfCode):
    """The data of an event of a code that was granted now. A user who waited for it did so since `waited_since`."""

    metadata: dict[str, str]
    waited_since: datetime | None
    imported: Imported = UNSET
    granted_at: Annotated[datetime | UnsetType, Meta(description="When it was granted, if it was imported.")] = UNSET


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
    imported: Imported = UNSET
    redeemed_at: Annotated[datetime | UnsetType, Meta(description="When it was redeemed, if it was imported.")] = UNSET


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
    """80 or 95 percent of the total are granted: one event for each, and again if a raised total puts them ahead again.

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
