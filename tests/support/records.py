"""The redemptions in Redis, for tests that look at them or change them past the service.

records.change(redis, redemption_id, hold_until=now, day="20261120")
records.of_partition(redis, partition)      # by id
"""

from dataclasses import replace
from typing import Any

from discount.domain import ids, rules
from discount.services.redemption_records import Record, read_record
from discount.store import keys

_LETTERS = {"redeemed": "r", "held": "h", "rolled-back": "b", "released": "l"}
_WORDS = {"hold_until": "h", "confirmed_at": "c", "rolled_back_at": "b"}


def write(record: Record) -> str:
    """Return the text of a record."""
    first = f"{_LETTERS[record.state]}{record.at:016d}"
    numbers = (record.number, record.amount, record.currency, record.discount_amount, record.day, record.week)
    words = (f"{letter}{record.words[letter]}" for letter in "hcbe" if letter in record.words)
    head = " ".join(map(str, (first, *numbers, record.left, *words)))
    reason = f"\n{'' if chr(10) in record.order else chr(10)}{record.reason}" if record.reason else ""
    return "\n".join((head, record.user_id, record.code, record.order + reason))


def put(redis: Any, redemption_id: str, record: Record) -> None:
    """Write a record, in place of the one there may be."""
    name, place = _place(redis, redemption_id)
    if place is None:
        redis.rpush(keys.records(redemption_id)[0], ids.short_of(redemption_id), write(record))
    else:
        redis.lset(name, place + 1, write(record))


def change(redis: Any, redemption_id: str, **changes: Any) -> None:
    """Change fields of a record, or its further words by their names."""
    record = get(redis, redemption_id)
    words = {_WORDS[name]: str(changes.pop(name)) for name in list(changes) if name in _WORDS}
    put(redis, redemption_id, replace(record, words={**record.words, **words}, **changes))


def get(redis: Any, redemption_id: str) -> Record:
    """Return the record of a redemption."""
    name, place = _place(redis, redemption_id)
    assert place is not None
    return _read(redis, ids.partition_of(redemption_id), redis.lindex(name, place + 1))


def of_partition(redis: Any, partition: int) -> dict[str, Record]:
    """Return every record of a partition, by id, without the lists of discounts."""
    found = {}
    for name in redis.keys(f"[{{]{partition:02x}}}:redemptions:*"):
        texts = redis.lrange(name, 0, -1)
        for short, text in zip(texts[::2], texts[1::2], strict=True):
            redemption_id = ids.redemption_of(partition, short)
            assert name in keys.records(redemption_id)
            found[redemption_id] = _read(redis, partition, text)
    return found


def of_discount(redis: Any, discount_id: str) -> dict[str, int]:
    """Return the times of the redemptions that a discount's lists have, by id."""
    partition = ids.partition_of(discount_id)
    packed = redis.zrange(keys.redemptions(partition, discount_id), 0, -1, withscores=True)
    stream = redis.xrange(keys.more_redemptions(partition, discount_id))
    found = {short: int(at) for short, at in packed} | {
        fields["r"]: int(entry_id.partition("-")[0]) for entry_id, fields in stream
    }
    return {ids.redemption_of(partition, short): at for short, at in found.items()}


def of_user(redis: Any, partition: int, user_id: str) -> set[str]:
    """Return the redemptions that a user's lists have."""
    few = redis.hget(keys.users(partition, user_id), f"{user_id}\n$") or ""
    shorts = [few[first : first + 16] for first in range(0, len(few), 16)]
    shorts += redis.zrange(keys.user_redemptions(partition, user_id), 0, -1)
    return {ids.redemption_of(partition, short) for short in shorts}


def _place(redis: Any, redemption_id: str) -> tuple[str, int | None]:
    for name in keys.records(redemption_id):
        place = redis.lpos(name, ids.short_of(redemption_id))
        if place is not None:
            return name, place
    return "", None


def _read(redis: Any, partition: int, text: str) -> Record:
    """Return a record with its day and week, which the text has only if they are not those of its time."""
    record = read_record(text, redis.hget(keys.numbers(partition), text.split(" ", 2)[1]))
    if record.day:
        return record
    zone = redis.hget(keys.discount(partition, record.discount_id), "timezone") or "UTC"
    for each in rules.calendar(zone, record.at).split(";"):
        starts_at, ends_at, day, week, _ = each.split(",")
        if int(starts_at) <= record.at < int(ends_at):
            return replace(record, day=day, week=week)
    raise AssertionError("the calendar has not the day")
