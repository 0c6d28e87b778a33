"""What each problem means and what to do about it, for the pages at `/problems/{slug}` and for doc/problems.md."""

#: By word: when it is told, and what to do.
ADVICE: dict[str, tuple[str, str]] = {
    "not-found": (
        "No discount has this id, the brand has no discount, or no such address exists.",
        "Look at the id and the path.",
    ),
    "not-granted": (
        "The discount exists, the user holds no code of it; at a checkout: the code is unknown, "
        "another's, or mistyped.",
        "Grant one, or show that there is none.",
    ),
    "sold-out": (
        "Every code is granted; for a brand: none of its discounts has a code to give.",
        "Stop asking, or raise `total_count`.",
    ),
    "not-started": (
        "`starts_at`, which the problem names, lies ahead.",
        "Ask again from then on.",
    ),
    "expired": (
        "`expires_at`, which the problem names, has passed.",
        "Stop asking, or extend the discount.",
    ),
    "paused": (
        "The brand has paused the discount.",
        "Ask again once it is resumed.",
    ),
    "closed": (
        "The discount is closed for good: it grants nothing and cannot be changed.",
        "Make another discount.",
    ),
    "below-granted": (
        "The new `total_count` is less than `granted_count`, which the problem names.",
        "Choose that or more.",
    ),
    "code-taken": (
        "Another discount of the brand has this shared code, to a reader.",
        "Choose another code.",
    ),
    "brand-taken": (
        "There is another brand with this id.",
        "Choose another id, or change that brand.",
    ),
    "brand-closed": (
        "The brand is closed for good: no new discounts, keys or changes.",
        "Make another brand.",
    ),
    "address-taken": (
        "Another user has that e-mail address.",
        "Use another one, or the user there is.",
    ),
    "webhook-taken": (
        "The discount has a webhook of its own.",
        "Change that one.",
    ),
    "too-many-webhooks": (
        "The brand has 20 webhooks for all of its discounts.",
        "Change or remove one.",
    ),
    "webhook-off": (
        "The webhook was switched off: it failed for long, or answered 410.",
        "Switch it on with `PATCH /webhook/{id}` first.",
    ),
    "no-longer-kept": (
        "Events after the one that is named, or the event of a delivery, were cut off after their time.",
        "Read from the oldest event that is kept.",
    ),
    "wrong-kind": (
        "Codes are imported into a discount whose codes are not `imported`.",
        'Create one with `"codes": {"kind": "imported"}`.',
    ),
    "limit-reached": (
        "The code was used as often as a limit allows; the problem names the `limit` and when it `opens_at` again.",
        "Ask again from then on, or tell the user.",
    ),
    "already-redeemed": (
        "The user may redeem a code of this discount once, and did.",
        "Tell the user.",
    ),
    "minimum-amount": (
        "The order is below `minimum_amount`, which the problem names.",
        "Tell the user how much is missing.",
    ),
    "currency-mismatch": (
        "The rule has an amount, and the order another currency than `currency`.",
        "Use another code.",
    ),
    "quota-reached": (
        "The brand has as much as a quota allows; the problem names the `quota`, its "
        "`quota_limit` and when it `opens_at` again.",
        "Wait until then, or ask the admin for more.",
    ),
    "too-many-holds": (
        "The user has 100 holds of this discount; the first of them ends at `opens_at`.",
        "Confirm or roll back one of them, or ask again from then on.",
    ),
    "hold-ended": (
        "The time of the hold is over, it gave way to its holder's next attempt, or it was rolled back.",
        "Redeem again.",
    ),
    "too-many-guesses": (
        "The user, or the address, tried too many wrong codes.",
        "Wait for `Retry-After` seconds.",
    ),
    "unauthenticated": (
        "There is no token, or it is expired, revoked, or was never good; `WWW-Authenticate` says so too.",
        "Bring a good one.",
    ),
    "forbidden": (
        "The token is good, but not for this: it lacks a `scope`, or a user acts for another.",
        "Use a token that may.",
    ),
    "cross-site": (
        "The service is open, and a page of another site sent this, or `Host` is no name of this machine.",
        "Call it by `localhost`, from a program or from its own page; or use tokens.",
    ),
    "too-many-requests": (
        "More requests came with this token, or from this address, than its rate allows.",
        "Wait for `Retry-After` seconds.",
    ),
    "idempotency-mismatch": (
        "The brand used this `Idempotency-Key` with another request in the last 48 hours, or this order "
        "with another code or amount.",
        "Use a new key for a new request.",
    ),
    "invalid": (
        "A field, a parameter or a header cannot be accepted; `errors` says which and why.",
        "Change what is named; the same request fails again.",
    ),
    "malformed": (
        "The body is not JSON, or not UTF-8, or not CSV.",
        "Change the body. Codes of an import that stand well before the fault are kept: send it again whole.",
    ),
    "unavailable": (
        "Redis is away, loading, full or cannot write, or codes are taken faster than they are made.",
        "Repeat after `Retry-After` seconds. A grant may always be repeated; give `POST /discount` an "
        "`Idempotency-Key`.",
    ),
    "method-not-allowed": (
        "The address exists, the method does not; `Allow` lists those that do.",
        "Use one of them.",
    ),
    "too-large": (
        "The body is larger than the address takes: 64 KiB, for a bulk grant 8 MiB, for an import 256 MiB.",
        "Send less; cut a bulk grant in parts.",
    ),
    "unsupported-media-type": (
        "The body's `Content-Type` is none that the address takes.",
        "Send `application/json`; an import also takes `text/plain` and `text/csv`.",
    ),
    "too-many-at-once": (
        "As many calls that take long are under way for this key, this brand or in all as may be.",
        "Wait for `Retry-After` seconds, or for one of them to end.",
    ),
    "too-slow": (
        "A body came with less than 2,000 bytes a second.",
        "Send it again over a better line, in smaller parts.",
    ),
    "uri-too-long": (
        "The address is longer than 8 KiB.",
        "Shorten it.",
    ),
    "headers-too-large": (
        "A header is longer than 8 KiB, or there are more than 64.",
        "Send fewer or shorter headers.",
    ),
    "bad-request": (
        "HTTP itself cannot be read: `Content-Length` is no number, the body ends before it, "
        "or the address is not ASCII.",
        "Look at the client.",
    ),
    "internal": (
        "A fault of the service.",
        "Find `request_id` in the log, report it.",
    ),
}
