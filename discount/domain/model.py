"""The nouns of the domain: callers, brands, discounts, grants, redemptions, webhooks, deliveries."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Literal

import msgspec
from msgspec import Struct

from discount.domain.audience import Audience
from discount.domain.code_kinds import CodeKind
from discount.domain.digests import Digest
from discount.domain.durations import Duration
from discount.domain.ids import partition_of
from discount.domain.metadata import Metadata
from discount.domain.releases import Release
from discount.domain.rules import (
    NO_RULE,
    LimitName,
    Order,
    Rule,
)
from discount.domain.windows import Hours

#: `empty`: a discount of imported codes before the first import.
Status = Literal["active", "scheduled", "paused", "expired", "sold-out", "empty", "closed"]


#: What a token may be used for. Only the admin key has `admin`.
Scope = Literal["manage", "grant", "redeem", "read", "admin"]
KEY_SCOPES: tuple[Scope, ...] = ("manage", "grant", "redeem", "read")


@dataclass(frozen=True, slots=True)
class Caller:
    """The caller and its scopes: anyone while the service is open, the admin, a brand's API key, or a user."""

    scopes: frozenset[Scope]
    brand_id: str | None = None
    user_id: str | None = None
    key_id: str = ""
    key_digest: str = ""
    #: Microseconds since 1970 UTC.
    expires_at: int | None = None
    issued_at: int | None = None
    issuer: str = ""
    audience: str = ""
    #: Groups that a user's token names.
    groups: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Author:
    """The author of a change, and the id of its request, as the event has them.

    `by` is `open` while the service is open, `admin`, `key:<id>`, `user:<id>`, `person:<name>` for a person who signed
    in at the console by OpenID Connect, `command` for the command line, or `service` for what the service does itself.
    """

    by: str
    request_id: str = ""


#: Whoever runs commands on a machine that reaches Redis.
COMMAND = Author("command")


@dataclass(frozen=True, slots=True)
class Brand:
    """The business that owns discounts: the tenant."""

    id: str
    name: str
    email: str | None
    created_at: int
    closed_at: int | None = None
    #: Kinds of e-mails that the brand does not want sent.
    mails_off: tuple[str, ...] = ()
    digest: Digest | None = None
    #: IANA; that of its times in the console and of its digest. None is UTC.
    timezone: str | None = None


@dataclass(frozen=True, slots=True)
class ApiKey:
    """A brand's key, without its secret."""

    id: str
    brand_id: str
    name: str
    scopes: tuple[Scope, ...]
    created_at: int
    expires_at: int | None = None
    used_at: int | None = None


@dataclass(frozen=True, slots=True)
class Sums:
    """Sums over a discount's redemptions in one currency, without rolled-back ones: of orders, and of what came off."""

    orders: int = 0
    discounts: int = 0


@dataclass(frozen=True, slots=True)
class Definition:
    """The parts of a discount that never change."""

    brand_id: str
    codes: CodeKind
    rule: Rule
    timezone: str
    valid_for: Duration | None
    opens: tuple[Hours, ...] = ()
    audience: Audience | None = None
    #: How many users may share a part of an identity; None for no limit.
    per_identity: int | None = None
    claim_within: Duration | None = None


@dataclass(frozen=True, slots=True)
class Discount:
    """An offer of a brand. Times are microseconds since 1970 UTC by the Redis server's clock."""

    id: str
    number: int
    brand_id: str
    discount_code: str
    total_count: int | None
    granted_count: int
    created_at: int
    starts_at: int | None
    expires_at: int | None
    paused: bool
    closed: str
    codes: CodeKind
    rule: Rule = NO_RULE
    limits: Mapping[LimitName, int] = field(default_factory=dict)
    timezone: str = "UTC"
    valid_for: Duration | None = None
    claim_within: Duration | None = None
    #: The pace at which codes are released; None for all at once.
    release: Release | None = None
    #: Users on the waiting list.
    waiting_count: int = 0
    returns_use: bool = True
    webhook_id: str | None = None
    metadata: Metadata = field(default_factory=dict)
    #: Uses that count against the limits; with `returns_use` off, rolled-back ones count too.
    used_count: int = 0
    redeemed_count: int = 0
    rolled_back_count: int = 0
    on_hold_count: int = 0
    #: Granted codes that were voided one by one.
    revoked_count: int = 0
    sums: Mapping[str, Sums] = field(default_factory=dict)
    opens: tuple[Hours, ...] = ()
    audience: Audience | None = None
    per_identity: int | None = None
    #: Whether a use that would pass the budget takes what is left of it.
    budget_caps: bool = False

    @property
    def partition(self) -> int:
        """The partition that the id carries."""
        return partition_of(self.id)

    @property
    def definition(self) -> Definition:
        return Definition(
            self.brand_id,
            self.codes,
            self.rule,
            self.timezone,
            self.valid_for,
            self.opens,
            self.audience,
            self.per_identity,
            self.claim_within,
        )

    @property
    def remaining_count(self) -> int | None:
        """Codes that nobody holds; None without a total. A closed discount grants none of them."""
        return None if self.total_count is None else self.total_count - self.granted_count

    @property
    def used_up(self) -> bool:
        """True once the limits allow no user to redeem a code any more."""
        total, of_user = self.limits.get("total"), self.limits.get("per_user")
        return (total is not None and self.used_count >= total) or of_user == 0

    def good_until(self, granted_at: int) -> int | None:
        """Return when a code granted at that time stops being good; None for never."""
        return good_until(granted_at, self.expires_at, self.valid_for, self.timezone)

    def status(self, now: int) -> Status:
        """Return the status at that time. The checks have the same order as in the grant script."""
        if self.closed:
            return "closed"
        if self.paused:
            return "paused"
        if self.expires_at is not None and now >= self.expires_at:
            return "expired"
        if self.starts_at is not None and now < self.starts_at:
            return "scheduled"
        if self.total_count == 0:
            return "empty"
        return "sold-out" if self.remaining_count == 0 else "active"


class Grant(Struct, frozen=True):
    """A code granted to a user. `fresh`: this call granted it. `void`: it was voided when the discount was closed."""

    discount_id: str
    user_id: str
    code: str
    granted_at: int
    fresh: bool = False
    good_until: int | None = None
    void: bool = False
    metadata: Metadata | None = None
    #: When an unused code goes back; None for never.
    claim_until: int | None = None


def good_until(granted_at: int, expires_at: int | None, valid_for: Duration | None, zone: str) -> int | None:
    """Return when a code stops being good: at its own end or the discount's, the earlier; None for never."""
    if valid_for is None:
        return expires_at
    end = valid_for.after(granted_at, zone)
    return end if expires_at is None else min(end, expires_at)


RedemptionState = Literal["held", "redeemed", "rolled-back", "released"]


class Redemption(Struct, frozen=True):
    """A use of a code at a checkout. `fresh`: this call counted it.

    `left` is what is left of each limit now; in lists and repeated answers, what was left right after the use.
    """

    id: str
    discount_id: str
    brand_id: str
    user_id: str
    code: str
    state: RedemptionState
    order: Order
    discount_amount: int
    left: Mapping[LimitName, int]
    redeemed_at: int
    hold_until: int | None = None
    confirmed_at: int | None = None
    rolled_back_at: int | None = None
    reason: str = ""
    metadata: Metadata = msgspec.field(default_factory=dict)
    fresh: bool = False
    #: What came off each line of the order, by the line's id; empty without lines.
    lines: Mapping[str, int] = msgspec.field(default_factory=dict)
    #: Ids of the order's other redemptions, if it has several codes.
    redeemed_with: tuple[str, ...] = ()


_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def to_time(microseconds: int) -> datetime:
    """Return a moment as an aware datetime in UTC."""
    return _EPOCH + timedelta(microseconds=microseconds)


def to_text(microseconds: int) -> str:
    """Return a moment in RFC 3339, UTC, with microseconds: 2026-11-20T10:27:57.202420Z."""
    return to_time(microseconds).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def from_time(moment: datetime) -> int:
    """Return an aware datetime as microseconds since 1970 UTC."""
    return int(moment.replace(microsecond=0).timestamp()) * 1_000_000 + moment.microsecond


WebhookBody = Literal["envelope", "code"]


@dataclass(frozen=True, slots=True)
class Webhook:
    """An address that gets the events of a brand or of one discount; no types for all.

    With the body `code`, a grant is sent as user, code and discount only, and every other event as an envelope.

    The secret is derived from the id and `version`; until `before_until` the previous version signs too.
    """

    id: str
    brand_id: str
    discount_id: str | None
    url: str
    types: tuple[str, ...]
    version: int
    created_at: int
    before_until: int | None = None
    off_at: int | None = None
    off_reason: str = ""
    failing_since: int | None = None
    failures: int = 0
    body: WebhookBody = "envelope"


QuotaName = Literal["discounts", "codes", "grants_a_day", "emails_a_day", "stored_bytes"]
#: The limit of a quota; `off` for no bound, None for the limit of the settings.
QuotaLimit = int | Literal["off"] | None
DeliveryKind = Literal["webhook", "email"]
DeliveryState = Literal["waiting", "delivered", "failed"]


@dataclass(frozen=True, slots=True)
class Delivery:
    """One webhook call or e-mail that an event leads to, and its state. `answer` is cut to 500 characters.

    `entry_id` is the id of the event's entry in the outbox; it is empty for a reminder, which has no event.
    """

    id: str
    brand_id: str
    kind: DeliveryKind
    target: str
    type: str
    event_id: str
    discount_id: str
    entry_id: str
    lane: str
    state: DeliveryState
    attempts: int
    created_at: int
    due_at: int | None
    last_at: int | None
    status: str
    answer: str
    milliseconds: int | None
    #: Attempts since the delivery was planned or last resent, and when that was.
    tries: int = 0
    since: int = 0


Outcome = Literal["delivered", "retry", "failed"]


@dataclass(frozen=True, slots=True)
class Receipt:
    """The answer of the receiver to one attempt.

    Args:
        status: the protocol's status number, or a short reason why there was no answer.
        retry_after: seconds that the receiver asks to wait.
        gone: the receiver wants no further deliveries.
    """

    outcome: Outcome
    status: str
    answer: str
    milliseconds: int
    retry_after: float | None = None
    gone: bool = False
