"""Refusals, each with its slug.

A slug is the same in the Lua scripts, here, in the problem types that HTTP callers see and in doc/problems.md; a test
compares the four. Refusals have no HTTP status, because the command line shows them too.
"""

import errno
from typing import Any, ClassVar


class TooSlow(ConnectionResetError):
    """A client sends a large body, or reads a long answer, below the minimum speed."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "The client is too slow.")


class Refusal(Exception):
    """A request that the service understood and refuses. `facts` are values for programs."""

    slug: ClassVar[str]
    title: ClassVar[str]

    def __init__(self, detail: str = "", **facts: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.facts = facts


class NotFound(Refusal):
    slug = "not-found"
    title = "There is no such thing here."


class NotGranted(Refusal):
    slug = "not-granted"
    title = "The user holds no such code."


class Revoked(Refusal):
    slug = "revoked"
    title = "The code was taken back from the user."


class AlreadyGranted(Refusal):
    slug = "already-granted"
    title = "The user holds a code of this discount already."


class SoldOut(Refusal):
    slug = "sold-out"
    title = "Every code of this discount is granted."


class NotReleased(Refusal):
    slug = "not-released"
    title = "The next code of this discount is released later."


class OthersWait(Refusal):
    slug = "others-wait"
    title = "The codes of this discount go to users who wait for one."


class CodesLeft(Refusal):
    slug = "codes-left"
    title = "There is a code to grant; nobody needs to wait."


class NotWaiting(Refusal):
    slug = "not-waiting"
    title = "The user is not on the waiting list of this discount."


class NotStarted(Refusal):
    slug = "not-started"
    title = "The discount has not started."


class Expired(Refusal):
    slug = "expired"
    title = "The discount has expired."


class Paused(Refusal):
    slug = "paused"
    title = "The discount is paused."


class Closed(Refusal):
    slug = "closed"
    title = "The discount is closed."


class BelowGranted(Refusal):
    slug = "below-granted"
    title = "The total cannot be less than the number of granted codes."


class CodeTaken(Refusal):
    slug = "code-taken"
    title = "Another discount of this brand has that code."


class BrandTaken(Refusal):
    slug = "brand-taken"
    title = "Another brand has that id."


class BrandClosed(Refusal):
    slug = "brand-closed"
    title = "The brand is closed."


class AddressTaken(Refusal):
    slug = "address-taken"
    title = "Another user has that e-mail address."


class WebhookTaken(Refusal):
    slug = "webhook-taken"
    title = "The discount has a webhook already."


class TooManyWebhooks(Refusal):
    slug = "too-many-webhooks"
    title = "The brand has the maximum number of webhooks."


class WebhookOff(Refusal):
    slug = "webhook-off"
    title = "The webhook is switched off."


class NoLongerKept(Refusal):
    slug = "no-longer-kept"
    title = "The events that this needs are no longer kept."


class NoLedger(Refusal):
    slug = "no-ledger"
    title = "This service keeps no history."


class WrongKind(Refusal):
    slug = "wrong-kind"
    title = "The codes of this discount are not imported."


class LimitReached(Refusal):
    slug = "limit-reached"
    title = "The code has been used as often as its limits allow."


class OutsideHours(Refusal):
    slug = "outside-hours"
    title = "The code can be redeemed at other hours."


class AlreadyGrantedElsewhere(Refusal):
    slug = "already-granted-elsewhere"
    title = "Another user with the same e-mail, device, address or card has a code of this discount."

    def __init__(self, detail: str = "", *, part: str = "", most: str = "0") -> None:
        super().__init__(detail, limit="per_identity", most=int(most), part=part)


class IdentityMissing(Refusal):
    slug = "identity-missing"
    title = "The discount asks for the user's identity."


class NotInAudience(Refusal):
    slug = "not-in-audience"
    title = "The discount is for other users."


class AlreadyRedeemed(Refusal):
    slug = "already-redeemed"
    title = "The user has redeemed this code."


class TooManyHolds(Refusal):
    slug = "too-many-holds"
    title = "The user has the maximum number of holds of this discount."


class MinimumAmount(Refusal):
    slug = "minimum-amount"
    title = "The order is too small for this code."


class LinesMissing(Refusal):
    slug = "lines-missing"
    title = "The discount is for some lines of an order, and the order has none."


class NoLineFits(Refusal):
    slug = "no-line-fits"
    title = "The discount is for no line of the order."


class MinimumQuantity(Refusal):
    slug = "minimum-quantity"
    title = "The order has too few pieces of what the discount is for."


class NotCombinable(Refusal):
    slug = "not-combinable"
    title = "The code cannot be used together with another code of the order."


class CurrencyMismatch(Refusal):
    slug = "currency-mismatch"
    title = "The order is in another currency."


class HoldEnded(Refusal):
    slug = "hold-ended"
    title = "The hold has ended; redeem again."


class TooLate(Refusal):
    slug = "too-late"
    title = "The redemption is too old to be rolled back."


class TooManyGuesses(Refusal):
    slug = "too-many-guesses"
    title = "Too many wrong codes were tried; wait before the next one."


class Unauthenticated(Refusal):
    slug = "unauthenticated"
    title = "There is no token, or it is not valid."


class Forbidden(Refusal):
    slug = "forbidden"
    title = "The token does not allow this."


class CrossSite(Refusal):
    slug = "cross-site"
    title = "While the service is open, it takes no requests from other sites."


class TooManyRequests(Refusal):
    slug = "too-many-requests"
    title = "Too many requests came with this token or from this address."


class TooManyAtOnce(Refusal):
    slug = "too-many-at-once"
    title = "Too many long or costly calls are under way at the same time."


class IdempotencyMismatch(Refusal):
    slug = "idempotency-mismatch"
    title = "This Idempotency-Key or order was used with another request."


class QuotaReached(Refusal):
    """The brand has used up one of its quotas."""

    slug = "quota-reached"
    title = "The brand has reached a quota."

    def __init__(self, detail: str = "", *, quota: str = "", quota_limit: str = "0", opens_at: str = "") -> None:
        facts: dict[str, Any] = {"quota": quota, "quota_limit": int(quota_limit)} if quota else {}
        said = f"The brand's quota `{quota}` is {int(quota_limit):,}." if quota else ""
        super().__init__(detail or said, **facts, **({"opens_at": opens_at} if opens_at else {}))


class Invalid(Refusal):
    """A field of a request that cannot be accepted, named by its JSON pointer in the body or as a parameter."""

    slug = "invalid"
    title = "The request has a field that cannot be accepted."

    def __init__(self, field: str, detail: str) -> None:
        kind = "pointer" if field.startswith("/") or not field else "parameter"
        super().__init__(f"{field or 'The body'} {detail}.", errors=[{kind: field, "detail": detail}])


class Malformed(Refusal):
    slug = "malformed"
    title = "The body cannot be read in the expected format."


class Unavailable(Refusal):
    """Redis is unreachable, loading, full or cannot write. The request may be repeated safely."""

    slug = "unavailable"
    title = "The service cannot do this right now; try again later."


class NotYetDurable(Unavailable):
    """A change or an answer that may be lost with one machine. The same request asks for it again."""

    slug = "not-yet-durable"
    title = "The answer is not yet safe on enough servers; ask again."


class Restoring(Unavailable):
    """A change while what Redis lost is being put back from the ledger. Nothing was changed."""

    slug = "restoring"
    title = "What Redis has lost is being put back; ask again."


BY_SLUG: dict[str, type[Refusal]] = {
    kind.slug: kind for kind in (*Refusal.__subclasses__(), *Unavailable.__subclasses__())
}
