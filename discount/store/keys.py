"""Every key that the service has in Redis.

`{pp}` is the tag of a partition, two hex digits: all keys of a brand stand in one partition, so that every script
finds its keys in one slot of a Redis Cluster. Ids from outside are the last part of their key, or percent-encoded
where something follows, so that two different ids can never give the same key.

| key | type | holds | written by |
|---|---|---|---|
| `{00}:installation` | hash | `partitions`, `schema`: what this data was laid out for; `secret`: a digest of SECRET, or a secret where none is set | start |
| `{pp}:brands` | zset | brand by creation time in microseconds | create_brand |
| `{pp}:brand:<brand>` | hash | name, e-mail, e-mails that are off, times | create_brand, change_brand, close_brand |
| `{pp}:brand:<brand>:keys` | zset | ids of its API keys by creation time | create_key |
| `{pp}:key:<id>` | hash | an API key: brand, keyed hash, name, scopes, times | create_key, touch, grant, redeem, guess |
| `{pp}:rate:<digest>` | string, expires | grants, validations and redemptions that a caller, or an address, asked for in this window | grant, redeem, guess |
| `{pp}:contact:<user>` | hash | where a user is reached, in the user's own words: e-mail, name, locale | put_contact |
| `{pp}:brand:<brand>:contact:<user>` | hash | the same in a brand's words, and whether the user wants no e-mails of it | put_contact, enrol, unsubscribe |
| `{pp}:brand:<brand>:contacts` | zset | users that a brand knows, by the time since when | put_contact, enrol |
| `{pp}:brand:<brand>:addresses` | hash | of users that got their id here: e-mail → user, `#` → the last id | put_contact, enrol |
| `{pp}:user:<user>:brands` | set | brands of the partition that know, or were told, how the user is reached | put_contact, enrol, unsubscribe |
| `{pp}:brand:<brand>:mailed` | string, expires | e-mails that were sent for a brand within this day | worker |
| `{pp}:usage` | hash | by brand: quotas of its own; the last day with its grants, bytes as estimated, the sum of its totals | create, change, grant, import, app |
| `{pp}:discounts` | zset | id by creation time in microseconds; no two equal within the partition | create |
| `{pp}:numbers` | hash | a discount's short number in the partition → its id | create |
| `{pp}:brand:<brand>:discounts` | zset | the same for one brand | create |
| `{pp}:discount:<id>` | hash | definition, counters, sums by currency | create, change, close, grant, refill, import, redeem, confirm, rollback, create_webhook |
| `{pp}:discount:<id>:codes` | list | the pool: codes that nobody holds | create, refill, import, grant, change, close |
| `{pp}:brand:<brand>:shared` | hash | canonical shared code → discount | create |
| `{pp}:claim:<digest>` | string | a code, by its SHA-256, of which no other brand may have one, and the brand that has it | claim_code |
| `{pp}:discount:<id>:taken:<bucket>` | set | digests of codes given or imported, 8 bytes each | grant, import |
| `{pp}:discount:<id>:grants:<bucket>` | hash | user → time in microseconds, space, code | grant, forget |
| `{pp}:discount:<id>:buckets` | string | bitmap of the buckets that hold a grant | grant, forget |
| `{pp}:users:<bucket>` | hash | user → numbers of the discounts in which the user holds a code; of the ninth on in fields of their own, by page and by brand and code | grant, forget |
| `{pp}:discount:<id>:uses:<bucket>` | hash | user → uses in all, of the last day and week, holds | redeem, confirm, rollback, forget |
| `{pp}:discount:<id>:holds` | zset | redemptions that are on hold, by the time at which they end | redeem, confirm, rollback, drop |
| `{pp}:discount:<id>:redemptions` | zset | redemptions by time | redeem, drop |
| `{pp}:user:<user>:redemptions` | zset | the same for one user | redeem, forget, drop |
| `{pp}:redemption:<id>` | hash | one use, and its state | redeem, confirm, rollback, forget, drop |
| `{pp}:guesses:<digest>` | string, expires | wrong codes that a user, or an address, has tried at a brand | redeem, guess |
| `{pp}:idempotency:<digest>` | string, expires | fingerprint of the request, and what it made | create, redeem |
| `{pp}:brand:<brand>:webhooks` | zset | webhooks for all of its discounts, by creation time | create_webhook |
| `{pp}:webhook:<id>` | hash | address, types, version of its secret, how it goes | create_webhook, change_webhook, rotate_webhook, create, settle |
| `{pp}:delivery:<id>` | hash, expires once done | one webhook call or e-mail that is owed, and how it went | plan, settle, resend |
| `{pp}:brand:<brand>:deliveries` | zset | its deliveries by time | plan |
| `{pp}:lane:<lane>` | zset | deliveries of one webhook, or e-mails of one brand, that wait, by the time when they are due | plan, settle, resend |
| `{pp}:due:<kind>` | zset | digests of brands with webhook calls, or e-mails, to be made, by when the first of their lanes is due | plan, lease_lane, release_lane, resend |
| `{pp}:lanes:<kind>:<digest>` | zset | a brand's lanes that nobody works on, by when the first of each is due | plan, lease_lane, release_lane, resend |
| `{pp}:leases` | zset | lanes that a worker has, by the time until when | lease_lane, settle, release_lane |
| `{pp}:expiring` | zset | discounts, and single grants, of whose end users are to be told, by when | lease_reminder, worker |
| `{pp}:mailed:<digest>` | string, expires | e-mails that went to an address within this day | worker |
| `{pp}:trimmed` | string | the last entry that was cut off the outbox | worker |
| `{pp}:events` | stream | the outbox: one entry an event, its discount by number | create, change, close, grant, redeem, confirm, rollback, settle, test_webhook, open_group |
Besides these, the limits library counts all other requests in `LIMITS:LIMITER/…`, strings that expire.
"""

from hashlib import blake2b
from zlib import crc32

INSTALLATION = "{00}:installation"
USER_BUCKETS = 32768


def _outside(text: str) -> str:
    return text.replace("%", "%25").replace(":", "%3A")


def partition_of(brand_id: str, partitions: int) -> int:
    """The partition in which a brand's keys stand."""
    return crc32(brand_id.encode()) % partitions


def partitions_of(brand_id: str | None, partitions: int) -> list[int]:
    """The partition of a brand; all of them where there is none."""
    return list(range(partitions)) if brand_id is None else [partition_of(brand_id, partitions)]


def partition_in(key: str) -> int:
    """The partition in which a key stands."""
    return int(key[1:3], 16)


def brands(partition: int) -> str:
    return f"{{{partition:02x}}}:brands"


def brand(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}"


def brand_keys(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:keys"


def api_key(partition: int, key_id: str) -> str:
    return f"{{{partition:02x}}}:key:{key_id}"


def rate(partition: int, kind: str, who: str) -> str:
    return f"{{{partition:02x}}}:rate:{_digest(kind, who)}"


def contact(user_id: str, partitions: int) -> str:
    return f"{{{partition_of(user_id, partitions):02x}}}:contact:{_outside(user_id)}"


def brand_contact(partition: int, brand_id: str, user_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:contact:{_outside(user_id)}"


def brand_contacts(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:contacts"


def addresses(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:addresses"


def user_brands(partition: int, user_id: str) -> str:
    return f"{{{partition:02x}}}:user:{_outside(user_id)}:brands"


def brand_mailed(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:mailed"


def usage(partition: int) -> str:
    return f"{{{partition:02x}}}:usage"


def discounts(partition: int) -> str:
    return f"{{{partition:02x}}}:discounts"


def numbers(partition: int) -> str:
    return f"{{{partition:02x}}}:numbers"


def events(partition: int) -> str:
    return f"{{{partition:02x}}}:events"


def brand_webhooks(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:webhooks"


def webhook(partition: int, webhook_id: str) -> str:
    return f"{{{partition:02x}}}:webhook:{webhook_id}"


def delivery(partition: int, delivery_id: str) -> str:
    return f"{{{partition:02x}}}:delivery:{delivery_id}"


def brand_deliveries(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:deliveries"


def lane(partition: int, name: str) -> str:
    return f"{{{partition:02x}}}:lane:{name}"


def due(partition: int, kind: str) -> str:
    return f"{{{partition:02x}}}:due:{kind}"


def lanes(partition: int, kind: str, brand_digest: str) -> str:
    return f"{{{partition:02x}}}:lanes:{kind}:{brand_digest}"


def leases(partition: int) -> str:
    return f"{{{partition:02x}}}:leases"


def expiring(partition: int) -> str:
    return f"{{{partition:02x}}}:expiring"


def mailed(address: str, partitions: int) -> str:
    return f"{{{partition_of(address.lower(), partitions):02x}}}:mailed:{_digest('', address.lower())}"


def trimmed(partition: int) -> str:
    return f"{{{partition:02x}}}:trimmed"


def brand_discounts(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:discounts"


def discount(partition: int, discount_id: str) -> str:
    return f"{{{partition:02x}}}:discount:{discount_id}"


def codes(partition: int, discount_id: str) -> str:
    return f"{{{partition:02x}}}:discount:{discount_id}:codes"


def shared(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:shared"


def claim(digest: str, partitions: int) -> str:
    return f"{{{partition_of(digest, partitions):02x}}}:claim:{digest}"


def taken(partition: int, discount_id: str, bucket: int) -> str:
    return f"{{{partition:02x}}}:discount:{discount_id}:taken:{bucket}"


def buckets(partition: int, discount_id: str) -> str:
    return f"{{{partition:02x}}}:discount:{discount_id}:buckets"


def grants(partition: int, discount_id: str, bucket: int) -> str:
    return f"{{{partition:02x}}}:discount:{discount_id}:grants:{bucket}"


def users(partition: int, user_id: str) -> str:
    return f"{{{partition:02x}}}:users:{crc32(user_id.encode()) % USER_BUCKETS}"


def uses(partition: int, discount_id: str, bucket: int) -> str:
    return f"{{{partition:02x}}}:discount:{discount_id}:uses:{bucket}"


def holds(partition: int, discount_id: str) -> str:
    return f"{{{partition:02x}}}:discount:{discount_id}:holds"


def redemptions(partition: int, discount_id: str) -> str:
    return f"{{{partition:02x}}}:discount:{discount_id}:redemptions"


def user_redemptions(partition: int, user_id: str) -> str:
    return f"{{{partition:02x}}}:user:{_outside(user_id)}:redemptions"


def redemption(partition: int, redemption_id: str) -> str:
    return f"{{{partition:02x}}}:redemption:{redemption_id}"


def guesses(partition: int, brand_id: str, kind: str, who: str) -> str:
    return f"{{{partition:02x}}}:guesses:{_digest(brand_id, kind, who)}"


def idempotency(partition: int, brand_id: str, key: str, user_id: str | None = None) -> str:
    # Hashed: a key of 255 letters from outside would cost its length for a day, and all parts are free text.
    whose = (brand_id,) if user_id is None else (brand_id, user_id)
    return f"{{{partition:02x}}}:idempotency:{_digest(*whose, key)}"


def _digest(*parts: str) -> str:
    return blake2b("".join(f"{len(each)}:{each}:" for each in parts).encode(), digest_size=16).hexdigest()


def grant_bucket(user_id: str, buckets_count: int) -> int:
    """The bucket of a discount in which a user's grant stands."""
    return crc32(user_id.encode()) & (buckets_count - 1)
