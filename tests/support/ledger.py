"""What must hold of a discount's redemptions after any load and any fault: records, counters, events and answers.

    discount_id = open_discount(base, limits={"total": 100})
    answers = drive(urls, [redeem_call(discount_id, user, order) for ...])
    ledger.check(redis.client(), base, discount_id, answers)

Every redemption is a record with a state. All else that is stored of redemptions, and all that anybody is shown, are
sums over these records: what was written by half shows as two sums that differ. Raises AssertionError. Limits must not
have been lowered, nor a hold end during the check.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from discount.domain.ids import parse_discount_id
from discount.store import keys
from tests.support import history
from tests.support.load import Answer, Call
from tests.support.service import ask, create

CODE = "SUMMER-26"
CURRENCY = "EUR"
#: Far longer than any test takes.
HOLD = 3600
_brands = count(1)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The records of a discount's redemptions by their ids; `states` are those that stand in GET."""

    records: dict[str, dict[str, str]]
    states: dict[str, str]

    @property
    def counts(self) -> Counter[str]:
        """How many redemptions are in each state."""
        return Counter(self.states.values())

    def users(self, *states: str) -> Counter[str]:
        """How many redemptions in these states each user has."""
        return Counter(each["user"] for name, each in self.records.items() if self.states[name] in states)


def open_discount(base: str, **fields: Any) -> str:
    """A new discount of a brand of its own, with one code for all and 10 % off."""
    given = {"codes": {"kind": "shared", "code": CODE}, "percent_off": 10} | fields
    return create(base, 1_000_000, f"Shop {next(_brands)}", **given)


def redeem_call(
    discount_id: str, user: str, order: str, *, amount: int = 1000, hold: int | None = None, code: str = CODE
) -> Call:
    """A user redeems the code for an order, or holds it."""
    body = {"discount_id": discount_id, "user_id": user, "code": code}
    of_order = {"id": order, "amount": amount, "currency": CURRENCY}
    more = {} if hold is None else {"hold_seconds": hold}
    return Call(user, "POST", "/redemption", body | {"order": of_order} | more)


def confirm_call(redemption_id: str) -> Call:
    return Call("", "POST", f"/redemption/{redemption_id}/confirm")


def rollback_call(redemption_id: str, reason: str = "") -> Call:
    body = {"reason": reason} if reason else None
    return Call("", "POST", f"/redemption/{redemption_id}/rollback", body)


def told(answers: Iterable[Answer]) -> Iterator[dict[str, Any]]:
    """Every redemption that an answer showed."""
    for answer in answers:
        if answer.status in (200, 201) and isinstance(answer.body, dict) and "redeemed_at" in answer.body:
            yield answer.body


def check(client: Any, base: str, discount_id: str, answers: Iterable[Answer] = ()) -> Ledger:
    """Every invariant of one discount's redemptions; `answers` of other discounts are passed over.

    R1 a record stands in the lists of its discount and of its user, and nothing else does; R2 what is held stands
    among the holds; R3 counters and sums are those of the records; R4 so are the uses of every user; R5 no limit is
    passed; R6 one event for each use, rollback and end of a hold, and the sums are theirs; R7 what anybody is shown is
    what stands there; R8 what was answered is there, and was new once.
    """
    records = _records(client, discount_id)
    states = _states(client, discount_id, records)
    found = Ledger(records, states)
    fields = client.hgetall(keys.discount(int(discount_id[4:6], 16), discount_id))
    _check_lists(client, discount_id, records)
    _check_counters(fields, found)
    _check_uses(client, discount_id, fields, found)
    _check_events(client, discount_id, found)
    _check_shown(base, discount_id, fields, found)
    _check_answers(discount_id, found, list(answers))
    return found


def _records(client: Any, discount_id: str) -> dict[str, dict[str, str]]:
    """Every record of the discount, found without its list."""
    start = keys.redemption(int(discount_id[4:6], 16), "")
    names = client.keys(start.replace("{", "[{]") + "*")
    pipeline = client.pipeline(transaction=False)
    for name in names:
        pipeline.hgetall(name)
    several = dict(zip(names, pipeline.execute(), strict=True))
    return {name.removeprefix(start): each for name, each in several.items() if each["discount"] == discount_id}


def _states(client: Any, discount_id: str, records: dict[str, dict[str, str]]) -> dict[str, str]:
    seconds, rest = client.time()
    now = int(seconds) * 1_000_000 + int(rest)
    scores = dict(client.zrange(keys.holds(int(discount_id[4:6], 16), discount_id), 0, -1, withscores=True))
    holds = {name: int(until) for name, until in scores.items() if until > now}
    states = {
        name: "released" if each["state"] == "held" and int(each["hold_until"]) <= now else each["state"]
        for name, each in records.items()
    }
    held = {name: int(records[name]["hold_until"]) for name, state in states.items() if state == "held"}
    assert holds == held, "R2: the holds are those that are held, until then"
    return states


def _check_lists(client: Any, discount_id: str, records: dict[str, dict[str, str]]) -> None:
    partition = int(discount_id[4:6], 16)
    listed = dict(client.zrange(keys.redemptions(partition, discount_id), 0, -1, withscores=True))
    assert listed == {name: int(each["at"]) for name, each in records.items()}, "R1: the discount's list"
    of_users: dict[str, dict[str, int]] = defaultdict(dict)
    for name, each in records.items():
        of_users[each["user"]][name] = int(each["at"])
    pipeline = client.pipeline(transaction=False)
    for user in of_users:
        pipeline.zrange(keys.user_redemptions(partition, user), 0, -1, withscores=True)
    for (user, own), shown in zip(of_users.items(), pipeline.execute(), strict=True):
        assert own.items() <= dict(shown).items(), f"R1: the list of {user}"


def _was_used(record: dict[str, str]) -> bool:
    """Whether a record that is redeemed or rolled back ever counted as a use."""
    return not record["hold_until"] or "confirmed_at" in record


def _counted(fields: dict[str, str], found: Ledger) -> list[dict[str, str]]:
    """The records that count against the limits for good."""
    kept = ("redeemed", "rolled-back") if "keeps_use" in fields else ("redeemed",)
    return [each for name, each in found.records.items() if found.states[name] in kept and _was_used(each)]


def _check_counters(fields: dict[str, str], found: Ledger) -> None:
    counts = found.counts
    assert int(fields.get("redeemed", 0)) == counts["redeemed"], "R3: redeemed"
    assert int(fields.get("rolled_back", 0)) == counts["rolled-back"], "R3: rolled back"
    assert int(fields.get("used", 0)) == len(_counted(fields, found)), "R3: used"
    sums = {name: int(value) for name, value in fields.items() if name.startswith(("orders:", "discounts:"))}
    assert Counter(sums) == _sums(found), "R3: sums by currency"
    if "limit_total" in fields:
        assert len(_counted(fields, found)) + counts["held"] <= int(fields["limit_total"]), "R5: total"


def _sums(found: Ledger) -> Counter[str]:
    sums: Counter[str] = Counter()
    for name, each in found.records.items():
        if found.states[name] == "redeemed":
            sums["orders:" + each["currency"]] += int(each["amount"])
            sums["discounts:" + each["currency"]] += int(each["discount_amount"])
    return sums


def _check_uses(client: Any, discount_id: str, fields: dict[str, str], found: Ledger) -> None:
    place = parse_discount_id(discount_id)
    assert place is not None
    stored: dict[str, str] = {}
    start = keys.uses(place.partition, discount_id, 0)[:-1]
    for name in client.keys(start.replace("{", "[{]") + "*"):
        uses = client.hgetall(name)
        for user in uses:
            assert name == start + str(keys.grant_bucket(user, place.buckets)), f"R4: {user} in another's bucket"
        stored |= uses
    assert stored.keys() == {each["user"] for each in found.records.values()}, "R4: users with a use or a hold"
    counted: dict[str, list[dict[str, str]]] = defaultdict(list)
    for each in _counted(fields, found):
        counted[each["user"]].append(each)
    held: dict[str, dict[str, dict[str, str]]] = defaultdict(dict)
    for name, each in found.records.items():
        if found.states[name] == "held":
            held[each["user"]][name] = each
    for user, text in stored.items():
        used, day, of_day, week, of_week, *holds = text.split()
        own = counted[user]
        days, weeks = Counter(each["day"] for each in own), Counter(each["week"] for each in own)
        assert (int(used), int(of_day), int(of_week)) == (len(own), days[day], weeks[week]), f"R4: uses of {user}"
        # One that has ended may stand there until the user's next call.
        names = {each.partition(",")[0] for each in holds}
        assert names >= held[user].keys(), f"R4: holds of {user}"
        assert {found.states.get(each, "released") for each in names - held[user].keys()} <= {"released"}
        _check_limits(fields, user, own, list(held[user].values()))


def _check_limits(fields: dict[str, str], user: str, own: list[dict[str, str]], held: list[dict[str, str]]) -> None:
    both = own + held
    per_day = max(Counter(each["day"] for each in both).values(), default=0)
    per_week = max(Counter(each["week"] for each in both).values(), default=0)
    for name, number in (("per_user", len(both)), ("per_user_per_day", per_day), ("per_user_per_week", per_week)):
        most = fields.get("limit_" + name)
        assert most is None or number <= int(most), f"R5: {name} of {user}"


def _check_events(client: Any, discount_id: str, found: Ledger) -> None:
    entries = [entry for _, entry in history.events(client, discount_id)]
    for kind, expected in (
        ("code.redeemed", [n for n, r in found.records.items() if _final(found.states[n]) and _was_used(r)]),
        (
            "redemption.rolled-back",
            [n for n, r in found.records.items() if found.states[n] == "rolled-back" and _was_used(r)],
        ),
        ("redemption.confirmed", [n for n, r in found.records.items() if "confirmed_at" in r]),
    ):
        told_of = Counter(each["redemption"] for each in entries if each["type"] == kind)
        assert told_of == Counter(expected), f"R6: one {kind} each"
    # An order whose hold was over may have been held again, so there may be several of each.
    held, released = (
        Counter(each["redemption"] for each in entries if each["type"] == kind)
        for kind in ("redemption.held", "redemption.released")
    )
    assert released <= held, "R6: only what was held is released"
    ends = [n for n, r in found.records.items() if r["state"] == "released" or (r["hold_until"] and _given_up(r))]
    assert Counter(ends) <= released, "R6: one redemption.released for each hold that was given up or gave way"
    sums: Counter[str] = Counter()
    for each in entries:
        sign = {"code.redeemed": 1, "redemption.rolled-back": -1}.get(each["type"], 0)
        if sign:
            sums["orders:" + each["currency"]] += sign * int(each["amount"])
            sums["discounts:" + each["currency"]] += sign * int(each["discount_amount"])
    assert sums == _sums(found), "R6: uses less rollbacks are the sums"


def _given_up(record: dict[str, str]) -> bool:
    return record["state"] == "rolled-back" and not _was_used(record)


def _final(state: str) -> bool:
    return state in ("redeemed", "rolled-back")


def _check_shown(base: str, discount_id: str, fields: dict[str, str], found: Ledger) -> None:
    counts = found.counts
    shown = ask(base, "GET", f"/discount/{discount_id}").json
    assert (shown["redeemed_count"], shown["on_hold_count"], shown["rolled_back_count"]) == (
        counts["redeemed"],
        counts["held"],
        counts["rolled-back"],
    ), "R7: the counts of the discount"
    sums = {
        f"{word}:{currency}": each[word] for currency, each in shown["sums"].items() for word in ("orders", "discounts")
    }
    assert Counter(sums) == _sums(found), "R7: the sums of the discount"
    states: dict[str, str] = {}
    cursor = ""
    while cursor is not None:
        page = ask(base, "GET", f"/discount/{discount_id}/redemptions?limit=1000{cursor}").json
        states |= {each["id"]: each["state"] for each in page["redemptions"]}
        cursor = page["next"] and f"&cursor={page['next']}"
    assert states == found.states, "R7: the list of the discount"


def _check_answers(discount_id: str, found: Ledger, answers: list[Answer]) -> None:
    for each in told(answers):
        if each["discount_id"] == discount_id:
            record = found.records.get(each["id"])
            assert record is not None, f"R8: answered, but not there: {each['id']}"
            there = (record["user"], record["code"], record["order"], int(record["amount"]))
            order = each["order"]
            assert there == (each["user_id"], each["code"], order["id"], order["amount"]), "R8: what was answered"
    # A hold that gave way or ended leaves its order free: made again, it is another use, of a later moment.
    new = [each for each in answers if each.status == 201]
    fresh = Counter((each["id"], each["redeemed_at"]) for each in told(new))
    assert not fresh or max(fresh.values()) == 1, "R8: nothing is new twice"
