"""Check the invariants of a discount after any load and any fault: the clients' answers against the store.

    history.check(redis.client(), base, discount_id, answers)

A lost grant leaves no trace in the store, so the store alone can look right: the answers that clients got are the
second source. Raises AssertionError. The calls must all have been grants.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from discount.domain.code_sequence import Sequence
from discount.domain.ids import parse_discount_id
from discount.services import user_grants
from discount.store import keys
from tests.support.load import Answer
from tests.support.service import ask


@dataclass(frozen=True, slots=True)
class ShownCode:
    """A code that an answer showed to a user. `fresh` is true for a new grant."""

    discount_id: str
    user: str
    code: str
    fresh: bool


@dataclass(frozen=True, slots=True)
class Stored:
    """What the store holds of a discount. `grants` maps users to codes."""

    fields: dict[str, str]
    grants: dict[str, str]
    pool: list[str]


def shown_codes(answers: Iterable[Answer]) -> Iterator[ShownCode]:
    """Yield every code in the answers to grants and bulk grants."""
    for answer in answers:
        if answer.status in (200, 201) and "grants" in answer.body:
            for each in answer.body["grants"]:
                if each["granted"]:
                    yield ShownCode(answer.body["discount_id"], each["user_id"], each["code"], fresh=False)
        elif answer.status in (200, 201):
            body = answer.body
            yield ShownCode(body["discount_id"], body["user_id"], body["code"], answer.status == 201)


def statuses(answers: Iterable[Answer]) -> Counter[tuple[int, str]]:
    """Count the answers by status and slug."""
    return Counter((answer.status, answer.slug) for answer in answers)


def stored(client: Any, discount_id: str) -> Stored:
    """Read a discount key by key, and check that each user is in the bucket of that user alone."""
    parsed = parse_discount_id(discount_id)
    assert parsed is not None
    grants: dict[str, str] = {}
    for bucket in range(parsed.buckets):
        held = client.hgetall(keys.grants(parsed.partition, discount_id, bucket))
        assert not held or client.getbit(keys.buckets(parsed.partition, discount_id), bucket) == 1
        for user, value in held.items():
            assert keys.grant_bucket(user, parsed.buckets) == bucket, f"{user} is in the bucket of other users"
            grants[user] = value.partition(" ")[2]
    return Stored(
        fields=client.hgetall(keys.discount(parsed.partition, discount_id)),
        grants=grants,
        pool=client.lrange(keys.codes(parsed.partition, discount_id), 0, -1),
    )


def granted(client: Any, discount_id: str) -> int:
    """Return the number of grants that the store counts."""
    return int(client.hget(keys.discount(int(discount_id[4:6], 16), discount_id), "granted"))


def check(client: Any, base: str, discount_id: str, answers: Iterable[Answer]) -> Stored:
    """Check every invariant of one discount; `answers` about other discounts are ignored.

    I1 granted codes were made; I2 a code has one user; I3 a user has one code; I4 no code is missing or left over;
    I5 one event a grant; I6 no event is lost; I7 every answer is in the store.
    """
    found = stored(client, discount_id)
    shown = [each for each in shown_codes(answers) if each.discount_id == discount_id]
    made, granted, total = (int(found.fields[name]) for name in ("made", "granted", "total"))
    sequence = Sequence(found.fields["key"], found.fields["pattern"]).codes(0, made)

    assert Counter(found.grants.values()) == Counter(sequence[:granted]), "I1, I2: granted codes are the first made"
    assert found.pool == ([] if "closed" in found.fields else sequence[granted:]), "I4: the pool is all the others"
    assert len(found.grants) == granted <= made <= total, "I4: the counters match the grants"
    _check_answers(found, shown)
    _check_events(client, discount_id, found)
    _check_users(client, discount_id, found)
    live = ask(base, "GET", f"/discount/{discount_id}").json
    counts = (live["granted_count"], live["remaining_count"], live["total_count"])
    assert counts == (granted, total - granted, total), "I4: granted + remaining = total, over HTTP"
    return found


def _check_answers(found: Stored, shown: list[ShownCode]) -> None:
    lost = {(each.user, each.code) for each in shown if found.grants.get(each.user) != each.code}
    assert not lost, f"I7: answered, but not in the store: {sorted(lost)[:5]} of {len(lost)}"
    fresh = Counter(each.user for each in shown if each.fresh)
    assert not fresh or max(fresh.values()) == 1, "I3: no user gets a code twice"


def _check_events(client: Any, discount_id: str, found: Stored) -> None:
    entries = [entry for _, entry in events(client, discount_id)]
    granted = Counter((each["user"], each["code"]) for each in entries if each["type"] == "code.granted")
    stored = Counter(found.grants.items())
    assert granted == stored, f"I5, I6: one code.granted a grant: more {granted - stored}, fewer {stored - granted}"
    assert sum(each["type"] == "discount.created" for each in entries) == 1, "I5: one discount.created"


def _check_users(client: Any, discount_id: str, found: Stored) -> None:
    partition, number = int(discount_id[4:6], 16), found.fields["number"]
    users = list(found.grants)
    pipeline = client.pipeline(transaction=False)
    for user in users:
        pipeline.hget(keys.users(partition, user), user)
    listed = dict(zip(users, pipeline.execute(), strict=True))
    wrong = [user for user, text in listed.items() if _numbers(client, partition, user, text or "").count(number) != 1]
    assert not wrong, f"these hold a code that their list does not name once: {wrong[:5]}"


def _numbers(client: Any, partition: int, user: str, text: str) -> list[str]:
    """The numbers of the discounts in which a user holds a code: the first few, and page by page those beyond."""
    few, _, more = text.partition("+")
    pages = -(-int(more.partition("-")[0] or 0) // user_grants.PAGE)
    beyond = client.hmget(keys.users(partition, user), [f"{user}\n{n}" for n in range(pages)]) if pages else []
    return [number for page in (few, *beyond) for number in (page or "").split()]


def events(client: Any, discount_id: str) -> list[tuple[str, dict[str, str]]]:
    """The events of a discount, oldest first, with their ids."""
    partition = int(discount_id[4:6], 16)
    number = client.hget(keys.discount(partition, discount_id), "number")
    return [each for each in client.xrange(keys.events(partition)) if each[1].get("number") == number]


def event_counts(client: Any, discount_id: str) -> Counter[str]:
    """How many events of each type a discount has."""
    return Counter(entry["type"] for _, entry in events(client, discount_id))


def check_order(answers: Iterable[Answer]) -> None:
    """Check that no call which began after a first `sold-out` got a code; the total must not have changed."""
    answers = list(answers)
    sold_out = min((each.ended for each in answers if each.slug == "sold-out"), default=float("inf"))
    late = [each for each in answers if each.status == 201 and each.started > sold_out]
    assert not late, f"granted after an answer said sold-out: {late[:3]}"
