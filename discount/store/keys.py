"""Every key that the service has in Redis.

`{pp}` is the tag of a partition, two hex digits. All keys of a brand are in one partition, so every script finds its
keys in one slot of a Redis Cluster. An id from a caller is the last part of its key, or percent-encoded if more
follows; so two different ids never make the same key.

| key | type | holds | written by |
|---|---|---|---|
| `{pp}:installation` | hash | a copy in each partition: `partitions` and `schema`, the layout of this data; `secret`, a digest of SECRET, or a generated secret if none is set; `run`, the start of Redis that was compared with the ledger; `restoring`, while all of it is being restored | start, worker |
| `{pp}:brands` | zset | brands by creation time in microseconds | create_brand |
| `{pp}:brand:<brand>` | hash | name, e-mail, kinds of e-mails that are off, times | create_brand, change_brand, close_brand |
| `{pp}:brand:<brand>:keys` | zset | ids of its API keys by creation time | create_key |
| `{pp}:key:<id>` | hash | an API key: brand, keyed hash, name, scopes, times | create_key, touch, grant, redeem, guess, count |
| `{pp}:rate:<digest>` | string, expires | requests of a caller or an address in this window: grants, validations and redemptions in one, all others in another | grant, redeem, guess, count |
| `{pp}:contact:<user>` | hash | the contact that a user gave: e-mail, name, locale | put_contact |
| `{pp}:brand:<brand>:contact:<user>` | hash | the contact of a user that a brand gave, and whether the user wants no e-mails from the brand | put_contact, enrol, unsubscribe |
| `{pp}:brand:<brand>:contacts` | zset | users of whom a brand has a contact, by the time of the first one | put_contact, enrol |
| `{pp}:brand:<brand>:addresses` | hash | of users with an id that this service made: e-mail → user, `#` → the last id | put_contact, enrol |
| `{pp}:user:<user>:brands` | set | brands of the partition that have a contact of the user, or were unsubscribed | put_contact, enrol, unsubscribe |
| `{pp}:listing` | set | brands that had a list of users | add_to_list |
| `{pp}:brand:<brand>:lists` | hash | its lists of users: name → number of users | add_to_list, drop_list, take_off_list |
| `{pp}:brand:<brand>:list:<name>:<bucket>` | set | digests of the users on a list, 8 bytes each | add_to_list, take_off_list, app |
| `{pp}:brand:<brand>:mailed` | string, expires | the number of e-mails sent for a brand on this day | worker |
| `{pp}:usage` | hash | by brand: quotas of its own; its grants in all; the last day, the grants before it, the estimated bytes of all but grants, and the sum of all totals; its users who wait | create, change, close, grant, revoke, import, move_in, serve, wait, leave, forget, add_to_list, drop_list, take_off_list, app |
| `{pp}:discounts` | zset | ids by creation time in microseconds; no two in a partition are equal | create |
| `{pp}:numbers` | hash | a discount's short number in the partition → its id | create |
| `{pp}:brand:<brand>:discounts` | zset | the same for one brand | create |
| `{pp}:discount:<id>` | hash | definition, counters, sums by currency | create, change, close, grant, revoke, refill, import, move_in, serve, wait, leave, forget, redeem, confirm, rollback, create_webhook |
| `{pp}:discount:<id>:waits` | zset | the waiting list: users who wait for a code, by the time since when in microseconds; no two are equal | wait, leave, serve, import, move_in, change, revoke, close, forget |
| `{pp}:waits` | zset | discounts that users wait for, by the time at which their list has to be looked at | wait, leave, serve, import, move_in, change, revoke, close, forget |
| `{pp}:claims` | zset | discounts and users, of codes that have to be used in time, by that time | app, worker |
| `{pp}:discount:<id>:codes` | list | the pool: codes that no user holds yet | create, refill, import, grant, revoke, change, close, serve |
| `{pp}:brand:<brand>:shared` | hash | canonical shared code → discount | create |
| `{pp}:claim:<digest>` | string | an exclusive code, by its SHA-256: the brand that claimed it, and the code | claim_code |
| `{pp}:discount:<id>:taken:<bucket>` | set | digests of codes granted or imported, 8 bytes each | grant, revoke, import, move_in, change, serve |
| `{pp}:discount:<id>:grants:<bucket>` | hash | user → time in microseconds, space, code, and metadata on a second line, or `-` if the user may be granted none; apart, codes that were taken back | grant, revoke, import, move_in, change, serve, forget |
| `{pp}:discount:<id>:buckets` | string | bitmap of the buckets that hold a grant | grant, revoke, import, move_in, change, serve, forget |
| `{pp}:users:<bucket>` | hash | user → numbers of the discounts of which the user holds a code; from the ninth on in fields by page, and by brand and code; apart, those that know the user without a code, and the first redemptions | grant, redeem, revoke, import, move_in, change, serve, wait, drop, forget, unlist |
| `{pp}:discount:<id>:uses:<bucket>` | hash | user → uses in all, uses of the last day and week, holds | redeem, move_in, confirm, rollback, forget |
| `{pp}:discount:<id>:holds` | zset | redemptions on hold, by the time at which the hold ends | redeem, confirm, rollback, drop |
| `{pp}:discount:<id>:identities:<bucket>` | hash | with `per_identity`: keyed digest of a part of an identity → digests of the users who claimed it; digest of a user → what it claimed | grant, redeem, wait, leave, release_identity |
| `{pp}:discount:<id>:reserved` | zset | with bounds: its holds with what they count for, by the time at which each ends | redeem, move_in, confirm, rollback |
| `{pp}:discount:<id>:redemptions` | zset | the first redemptions by time | redeem, move_in, drop |
| `{pp}:discount:<id>:redemptions:more` | stream | further redemptions; their ids are times in microseconds | redeem, move_in, drop |
| `{pp}:user:<user>:redemptions` | zset | redemptions of one user by time, from the fifth on | redeem, move_in, forget, drop, unlist |
| `{pp}:redemptions:<bucket>` | list | in turn, the short id of a redemption, and its record | redeem, move_in, confirm, rollback, forget, drop |
| `{pp}:let-go` | string | the time of the latest redemption that the ledger has and Redis let go | drop |
| `{pp}:guesses:<digest>` | string, expires | wrong codes that a user or an address tried at a brand | redeem, guess |
| `{pp}:idempotency:<digest>` | string, expires | fingerprint of the request, and the id of what it made | create, redeem |
| `{pp}:brand:<brand>:webhooks` | zset | webhooks for all of the brand's discounts, by creation time | create_webhook |
| `{pp}:targets` | string | a number that rises with each change after which a webhook may get more events | create_webhook, change_webhook |
| `{pp}:webhook:<id>` | hash | URL, event types, version of its secret, failures, when it was switched off | create_webhook, change_webhook, rotate_webhook, create, settle |
| `{pp}:delivery:<id>` | hash, expires once done | one planned webhook call or e-mail, and the result of its last attempt | plan, settle, resend |
| `{pp}:brand:<brand>:deliveries` | zset | its deliveries by time | plan |
| `{pp}:lane:<lane>` | zset | waiting deliveries of one webhook, or e-mails of one brand, by the time at which they are due | plan, settle, resend |
| `{pp}:due:<kind>` | zset | digests of brands with deliveries of this kind, by the time at which their first lane is due | plan, lease_lane, release_lane, resend |
| `{pp}:lanes:<kind>:<digest>` | zset | a brand's lanes that no worker has leased, by the time at which each is due | plan, lease_lane, release_lane, resend |
| `{pp}:leases` | zset | leased lanes, by the end of their lease | lease_lane, settle, release_lane |
| `{pp}:expiring` | zset | discounts, and single grants, that get a reminder of their end, by the time at which it is due | lease_reminder, worker |
| `{pp}:digests` | zset | brands that get a daily digest, by the time at which the next one is due | change_brand, move_digest |
| `{pp}:mailed:<digest>` | string, expires | the number of e-mails sent to an address on this day | worker |
| `{pp}:tallies` | hash | what processes counted of a discount, until the ledger has it: minute, discount and word → number | tally, worker |
| `{pp}:ledger` | string, expires | the process that writes the partition's events into the ledger | worker |
| `{pp}:uncopied` | zset | keys that no event tells of and that changed since the ledger copied them, by version; `` has the next version, once there is a ledger | create_brand, change_brand, close_brand, create_key, touch, put_contact, enrol, unsubscribe, add_to_list, drop_list, take_off_list, claim_code, grant, redeem, wait, leave, release_identity, create_webhook, change_webhook, rotate_webhook, settle, move_digest, note_changes, note_copied, worker |
| `{pp}:reconciled` | string | the result of the latest reconciliation with the ledger, as JSON | worker |
| `{pp}:restoring` | string | while the partition is being restored from the ledger: the last entry that is done | worker |
| `{pp}:trimmed` | string | the last entry that was trimmed off the outbox | worker |
| `{pp}:forgotten` | zset | entries of the outbox that name a forgotten user, by the place that every reader passes before they are cut | app, worker |
| `{pp}:indexed` | string | the last entry of the outbox that is in the indexes of brands | worker |
| `{pp}:indexes` | zset | brands with an index, by the time of their latest entry in it | worker |
| `{pp}:brand:<brand>:events` | zset | index of the brand's entries in the outbox: single ones and stretches, by the time of their end | worker |
| `{pp}:mark` | string | 1: a write that means nothing, after which a node waits for its replicas | app, worker |
| `{pp}:mark:asked` | string, expires | the mark on a node to which the partition is moving | app, worker |
| `{pp}:events` | stream | the outbox: one entry per event, with the number of its discount | create, change, close, import, move_in, grant, revoke, serve, wait, leave, redeem, confirm, rollback, forget, settle, test_webhook, open_group, app |
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from hashlib import blake2b
from zlib import crc32

# Each partition's tag and a colon, with which its keys begin.
_TAGS = [f"{{{partition:02x}}}:" for partition in range(256)]
_TAG = re.compile(r"\{([0-9a-f]{2})\}:")
_BY_TAG = {f"{{{partition:02x}}}:": partition for partition in range(256)}
_CONTACT = re.compile(r"\{[0-9a-f]{2}\}:brand:([^:]+):contact:([^:\n]+)")
_LISTS = re.compile(r"\{[0-9a-f]{2}\}:brand:([^:]+):lists")
_SECRETS = re.compile(r"\{[0-9a-f]{2}\}:(key:|webhook:|brand:[^:]+:(keys\n|webhooks$))")
USER_BUCKETS = 32768


def _outside(text: str) -> str:
    """Encode an id from a caller, so that it cannot run into the next part of a key."""
    return text.replace("%", "%25").replace(":", "%3A")


def _inside(text: str) -> str:
    return text.replace("%3A", ":").replace("%25", "%")


def partition_of(brand_id: str, partitions: int) -> int:
    """Return the partition of a brand's keys."""
    return crc32(brand_id.encode()) % partitions


def partitions_of(brand_id: str | None, partitions: int) -> list[int]:
    """Return the partition of a brand; without a brand, all partitions."""
    return list(range(partitions)) if brand_id is None else [partition_of(brand_id, partitions)]


def partition_in(key: str) -> int:
    """Return the partition of a key."""
    return int(key[1:3], 16)


def find_contact(key: str) -> tuple[str, str] | None:
    """Return the brand and the user of the key of a brand's contact; None for any other key."""
    match = _CONTACT.fullmatch(key)
    return (_inside(match[1]), _inside(match[2])) if match else None


def find_brand_of_lists(key: str) -> str | None:
    """Return the brand of the key of its lists of users; None for any other key."""
    match = _LISTS.fullmatch(key)
    return _inside(match[1]) if match else None


def is_secret(key: str) -> bool:
    """Return whether a key, or a part of one, is that of an API key or of a webhook."""
    return _SECRETS.match(key) is not None


def partition_of_command(command: Sequence[str | int]) -> int | None:
    """Return the partition of a command's keys, which are all in one; None for a command without keys."""
    try:
        # Nearly every command has its first key here.
        return _BY_TAG[command[3 if command[0] == "EVALSHA" else 1][:5]]  # type: ignore[index]
    except (KeyError, TypeError, IndexError):
        pass
    for each in command[1:]:
        if match := _TAG.match(str(each)):
            return int(match[1], 16)
    return None


def installation(partition: int) -> str:
    return f"{_TAGS[partition]}installation"


def brands(partition: int) -> str:
    return f"{_TAGS[partition]}brands"


def brand(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}"


def brand_keys(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:keys"


def api_key(partition: int, key_id: str) -> str:
    return f"{_TAGS[partition]}key:{key_id}"


def rate(partition: int, kind: str, who: str) -> str:
    return f"{_TAGS[partition]}rate:{_digest(kind, who)}"


def contact(user_id: str, partitions: int) -> str:
    return f"{_TAGS[partition_of(user_id, partitions)]}contact:{_outside(user_id)}"


def brand_contact(partition: int, brand_id: str, user_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:contact:{_outside(user_id)}"


def brand_contacts(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:contacts"


def addresses(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:addresses"


def user_brands(partition: int, user_id: str) -> str:
    return f"{_TAGS[partition]}user:{_outside(user_id)}:brands"


def brand_mailed(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:mailed"


def listing(partition: int) -> str:
    return f"{_TAGS[partition]}listing"


def user_lists(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:lists"


def user_list(partition: int, brand_id: str, name: str, bucket: int) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:list:{_outside(name)}:{bucket}"


def usage(partition: int) -> str:
    return f"{_TAGS[partition]}usage"


def discounts(partition: int) -> str:
    return f"{_TAGS[partition]}discounts"


def numbers(partition: int) -> str:
    return f"{_TAGS[partition]}numbers"


def forgotten(partition: int) -> str:
    return f"{{{partition:02x}}}:forgotten"


def indexed(partition: int) -> str:
    return f"{{{partition:02x}}}:indexed"


def indexes(partition: int) -> str:
    return f"{{{partition:02x}}}:indexes"


def brand_events(partition: int, brand_id: str) -> str:
    return f"{{{partition:02x}}}:brand:{_outside(brand_id)}:events"


def events(partition: int) -> str:
    return f"{_TAGS[partition]}events"


def brand_webhooks(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:webhooks"


def targets(partition: int) -> str:
    return f"{_TAGS[partition]}targets"


def webhook(partition: int, webhook_id: str) -> str:
    return f"{_TAGS[partition]}webhook:{webhook_id}"


def delivery(partition: int, delivery_id: str) -> str:
    return f"{_TAGS[partition]}delivery:{delivery_id}"


def brand_deliveries(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:deliveries"


def lane(partition: int, name: str) -> str:
    return f"{_TAGS[partition]}lane:{name}"


def due(partition: int, kind: str) -> str:
    return f"{_TAGS[partition]}due:{kind}"


def lanes(partition: int, kind: str, brand_digest: str) -> str:
    return f"{_TAGS[partition]}lanes:{kind}:{brand_digest}"


def leases(partition: int) -> str:
    return f"{_TAGS[partition]}leases"


def expiring(partition: int) -> str:
    return f"{_TAGS[partition]}expiring"


def digests(partition: int) -> str:
    return f"{_TAGS[partition]}digests"


def mailed(address: str, partitions: int) -> str:
    return f"{_TAGS[partition_of(address.lower(), partitions)]}mailed:{_digest('', address.lower())}"


def tallies(partition: int) -> str:
    return f"{_TAGS[partition]}tallies"


def ledger_lease(partition: int) -> str:
    return f"{{{partition:02x}}}:ledger"


def uncopied(partition: int) -> str:
    return f"{_TAGS[partition]}uncopied"


def reconciled(partition: int) -> str:
    return f"{_TAGS[partition]}reconciled"


def restoring(partition: int) -> str:
    return f"{_TAGS[partition]}restoring"


def mark(partition: int) -> str:
    return f"{_TAGS[partition]}mark"


def mark_of_asked(partition: int) -> str:
    return f"{_TAGS[partition]}mark:asked"


def trimmed(partition: int) -> str:
    return f"{_TAGS[partition]}trimmed"


def brand_discounts(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:discounts"


def discount(partition: int, discount_id: str) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}"


def waits(partition: int, discount_id: str) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:waits"


def waits_due(partition: int) -> str:
    return f"{_TAGS[partition]}waits"


def claims(partition: int) -> str:
    return f"{_TAGS[partition]}claims"


def codes(partition: int, discount_id: str) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:codes"


def shared(partition: int, brand_id: str) -> str:
    return f"{_TAGS[partition]}brand:{_outside(brand_id)}:shared"


def claim(digest: str, partitions: int) -> str:
    return f"{_TAGS[partition_of(digest, partitions)]}claim:{digest}"


def taken(partition: int, discount_id: str, bucket: int) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:taken:{bucket}"


def buckets(partition: int, discount_id: str) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:buckets"


def grants(partition: int, discount_id: str, bucket: int) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:grants:{bucket}"


def users(partition: int, user_id: str) -> str:
    return users_of_bucket(partition, crc32(user_id.encode()) % USER_BUCKETS)


def users_of_bucket(partition: int, bucket: int) -> str:
    return f"{_TAGS[partition]}users:{bucket}"


def uses(partition: int, discount_id: str, bucket: int) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:uses:{bucket}"


def holds(partition: int, discount_id: str) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:holds"


def identities(partition: int, discount_id: str, bucket: int) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:identities:{bucket}"


def reserved(partition: int, discount_id: str) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:reserved"


def redemptions(partition: int, discount_id: str) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:redemptions"


def user_redemptions(partition: int, user_id: str) -> str:
    return f"{_TAGS[partition]}user:{_outside(user_id)}:redemptions"


def more_redemptions(partition: int, discount_id: str) -> str:
    return f"{_TAGS[partition]}discount:{discount_id}:redemptions:more"


def records(redemption_id: str) -> tuple[str, str, str]:
    """Return the three lists of which one has the record of a redemption: few of them at first, then more."""
    number, start = int(redemption_id[6:12], 16), f"{{{redemption_id[4:6]}}}:redemptions:"
    return f"{start}{number & 0x3FF}", f"{start}{number & 0x3FFF | 0x4000}", f"{start}{number & 0x3FFFF | 0x40000}"


def let_go(partition: int) -> str:
    return f"{_TAGS[partition]}let-go"


def guesses(partition: int, brand_id: str, kind: str, who: str) -> str:
    return f"{_TAGS[partition]}guesses:{_digest_of(f'{_start(brand_id, kind)}{len(who)}:{who}:')}"


def idempotency(partition: int, brand_id: str, key: str, user_id: str | None = None) -> str:
    # Hashed: all parts are free text, and a key of 255 letters would take that much memory for a day.
    scope = (brand_id,) if user_id is None else (brand_id, user_id)
    return f"{_TAGS[partition]}idempotency:{_digest(*scope, key)}"


# Cached: most redemptions have no Idempotency-Key, and many come from one address.
@lru_cache(maxsize=4096)
def _digest(*parts: str) -> str:
    return _digest_of(_joined(parts))


# Cached: most calls are for few brands.
@lru_cache(maxsize=1024)
def _start(brand_id: str, kind: str) -> str:
    return _joined((brand_id, kind))


def _joined(parts: Sequence[str]) -> str:
    return "".join([f"{len(each)}:{each}:" for each in parts])


def _digest_of(text: str) -> str:
    return blake2b(text.encode(), digest_size=16).hexdigest()


def grant_bucket(user_id: str, buckets_count: int) -> int:
    """Return the bucket of a discount that holds a user's grant."""
    return crc32(user_id.encode()) & (buckets_count - 1)
