"""The meaning of each problem and advice, for the pages at `/problems/{slug}` and for doc/problems.md."""

#: By slug: when the problem occurs, and what to do.
ADVICE: dict[str, tuple[str, str]] = {
    "not-found": (
        "No discount has this id, the brand has no discount, or the address does not exist.",
        "Check the id and the path.",
    ),
    "not-granted": (
        "The discount exists, but the user holds no code of it. At a checkout, the code is unknown, "
        "mistyped, or held by another user.",
        "Grant the user a code, or show that there is none.",
    ),
    "revoked": (
        "The brand took the code back from the user, who is granted no other one unless the brand says so.",
        "Ask the brand; with `reissue` it lets the user be granted another code.",
    ),
    "already-granted": (
        "The user holds a code of the discount, so none can be passed on to this user, who need not wait either.",
        "Choose another user or another `back`; or show the code that the user holds.",
    ),
    "sold-out": (
        "Every code of the discount is granted, or no discount of the brand has a code left.",
        "Stop granting, or raise `total_count`.",
    ),
    "not-released": (
        "The discount releases its codes at a pace. The next one that nobody waits for comes at `opens_at`.",
        "Repeat the request at that time, or put the user on the waiting list.",
    ),
    "others-wait": (
        "Codes have become free, and users on the waiting list get them first.",
        "Put the user on the waiting list with `POST /discount/{id}/wait`, or repeat the request later.",
    ),
    "codes-left": (
        "The discount has a code that nobody waits for.",
        "Ask for a grant instead.",
    ),
    "not-waiting": (
        "The user is not on the waiting list: never was, has left it, or got a code.",
        "Look for the user's grant, or put the user on the list.",
    ),
    "not-started": (
        "The discount starts later, at the problem's `starts_at`.",
        "Repeat the request at that time or later.",
    ),
    "expired": (
        "The discount ended at the problem's `expires_at`.",
        "Stop using the discount, or extend it.",
    ),
    "paused": (
        "The brand has paused the discount.",
        "Repeat the request once the discount is resumed.",
    ),
    "closed": (
        "The discount is closed for good: it grants no codes and cannot be changed.",
        "Create another discount.",
    ),
    "below-granted": (
        "The new `total_count` is less than the problem's `granted_count`.",
        "Choose a total of at least that many.",
    ),
    "code-taken": (
        "Another discount of the brand has a shared code that reads the same.",
        "Choose another code.",
    ),
    "brand-taken": (
        "Another brand has this id.",
        "Choose another id, or change the existing brand.",
    ),
    "brand-closed": (
        "The brand is closed for good: it takes no new discounts, keys or changes.",
        "Create another brand.",
    ),
    "address-taken": (
        "Another user has that e-mail address.",
        "Use another address, or the existing user.",
    ),
    "webhook-taken": (
        "The discount already has its own webhook.",
        "Change that webhook.",
    ),
    "too-many-webhooks": (
        "The brand already has 20 webhooks for all of its discounts.",
        "Change or remove one of them.",
    ),
    "webhook-off": (
        "The webhook is switched off: it failed for too long, it answered 410, or the brand switched it off.",
        "Switch it on first, with `PATCH /webhook/{id}`.",
    ),
    "no-longer-kept": (
        "Events after the named one, or the event of a delivery, are older than events are kept.",
        "Leave `after` out, to read from the oldest event that is kept.",
    ),
    "no-ledger": (
        "The service runs without a ledger, the database that keeps the history.",
        "Set `LEDGER_URL`, and run a worker that has it too.",
    ),
    "wrong-kind": (
        "The codes of the discount are of another kind than `imported`.",
        'Create a discount with `"codes": {"kind": "imported"}`.',
    ),
    "limit-reached": (
        "The code was used as often as a limit allows. The problem names the `limit`; a limit by day, week, month or "
        "`window` opens again at `opens_at`. With the limit `amount` the budget in `currency` has only `left`.",
        "Repeat the request at that time or later, or inform the user.",
    ),
    "already-granted-elsewhere": (
        "As many users as `limits.per_identity` allows share the problem's `part`: `email`, `device`, `address` or "
        "`card`.",
        "Inform the user: one person gets one code.",
    ),
    "identity-missing": (
        "The discount has `limits.per_identity`, and the request and earlier ones of the user name no identity.",
        "Send `identity` with at least one of `email`, `device`, `address` and `card`.",
    ),
    "not-in-audience": (
        "The discount is for certain users. The problem names the `condition` that this user misses: `groups`, "
        "`first_order`, `orders_at_least` or `spent_at_least`, with the `least` and what was `stated`.",
        "State `customer` with the request if it is missing, or inform the user.",
    ),
    "outside-hours": (
        "The discount is open at certain hours of certain days, and this is none of them.",
        "Repeat the request at `opens_at`.",
    ),
    "already-redeemed": (
        "The user may redeem a code of this discount once, and has done so.",
        "Inform the user.",
    ),
    "minimum-amount": (
        "The order's amount is below the problem's `minimum_amount`.",
        "Inform the user how much is missing.",
    ),
    "not-combinable": (
        "Two codes of the order do not go together: the discount of one does not allow the class of the other's rule. "
        "`code` is the refused one, and `codes` are those that it does not go together with.",
        "Leave one of them out.",
    ),
    "lines-missing": (
        "The discount is for some products or lines only, and the request has no `order.lines`.",
        "Send the lines of the order.",
    ),
    "no-line-fits": (
        "No line of the order is of the products that the discount is for.",
        "Inform the user what the discount is for.",
    ),
    "minimum-quantity": (
        "The lines that the discount is for have fewer pieces than `minimum_quantity`. `quantity` is how many they "
        "have.",
        "Inform the user how many are missing.",
    ),
    "currency-mismatch": (
        "The order is in another currency than the discount; the problem names the discount's `currency`.",
        "Use another code.",
    ),
    "quota-reached": (
        "The brand has used up a quota. The problem names the `quota` and its `quota_limit`; a quota by day "
        "opens again at `opens_at`.",
        "Wait until then, or ask the admin for a higher quota.",
    ),
    "too-many-holds": (
        "The user has 25 holds of this discount; the first of them ends at `opens_at`.",
        "Confirm or roll back one of them, or repeat the request after that time.",
    ),
    "hold-ended": (
        "The hold has run out, was replaced by the user's next redemption, or was rolled back.",
        "Redeem again.",
    ),
    "too-late": (
        "The use is older than `REDEMPTION_DAYS`. Its counts are final.",
        "Refund the customer without the service. `GET /redemption/{id}` still shows the use.",
    ),
    "too-many-guesses": (
        "Too many wrong codes came from the user or from the address.",
        "Wait for `Retry-After` seconds.",
    ),
    "unauthenticated": (
        "The token is missing, expired, revoked or invalid; see also `WWW-Authenticate`.",
        "Send a valid token.",
    ),
    "forbidden": (
        "The token is valid, but does not allow this: it lacks a `scope`, or belongs to another user.",
        "Use a token that allows it.",
    ),
    "cross-site": (
        "The service is open, and a page of another site sent the request, or `Host` is not a name of this machine.",
        "Call the service as `localhost`, from a program or from its own page; or use tokens.",
    ),
    "too-many-requests": (
        "More requests came with this token or from this address than the rate allows.",
        "Wait for `Retry-After` seconds.",
    ),
    "idempotency-mismatch": (
        "The brand sent another request with this `Idempotency-Key` in the last 48 hours, or redeemed another "
        "code or amount for this order.",
        "Use a new key for a new request.",
    ),
    "invalid": (
        "A field, a parameter or a header cannot be accepted; `errors` names it and the reason.",
        "Correct it first: the same request fails again.",
    ),
    "malformed": (
        "The body is not valid JSON, UTF-8 or CSV.",
        "Correct the body. An import may have stored codes before the error; send the whole file again.",
    ),
    "unavailable": (
        "Redis cannot be reached, is loading, is full or cannot write; or codes are granted faster than they are made.",
        "Repeat the request after `Retry-After` seconds. A grant may always be repeated; send `POST /discount` with "
        "an `Idempotency-Key`.",
    ),
    "not-yet-durable": (
        "The answer may still be lost with one machine: too few replicas of Redis have confirmed it in time.",
        "Repeat the request after `Retry-After` seconds. What it did stands: a repeated grant gives the same code once "
        "it is safe. Send `POST /discount` with an `Idempotency-Key`.",
    ),
    "restoring": (
        "Redis has started again, and was not yet compared with the ledger, or is getting back what it had lost.",
        "Repeat the request after `Retry-After` seconds. Nothing was changed; reads are answered meanwhile.",
    ),
    "method-not-allowed": (
        "The address exists, but not with this method.",
        "Use one of the methods in `Allow`.",
    ),
    "too-large": (
        "The body is too large: at most 64 KiB, for a bulk grant 8 MiB, for an import 256 MiB.",
        "Send less; split a bulk grant into parts.",
    ),
    "unsupported-media-type": (
        "The address does not accept a body of this `Content-Type`.",
        "Send `application/json`; an import may also be `text/plain` or `text/csv`.",
    ),
    "too-many-at-once": (
        "The key, the brand or the service already has as many long calls at once as it may have; or its calls have"
        " used up its share of a processor, and too many wait.",
        "Wait for `Retry-After` seconds, or until one of the calls ends.",
    ),
    "too-slow": (
        "The body came at less than 2,000 bytes a second.",
        "Send it again over a faster connection, or in smaller parts.",
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
        "The request is not valid HTTP: for example, `Content-Length` is not a number, the body is shorter than "
        "that, or the address is not ASCII.",
        "Check the client.",
    ),
    "internal": (
        "The service has failed.",
        "Find the `request_id` in the log, and report it.",
    ),
}
