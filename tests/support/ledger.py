"""Check a discount's redemptions after any load and any fault: records, counters, events and answers.

    discount_id = open_discount(base, limits={"total": 100})
    answers = drive(urls, [redeem_call(discount_id, user, order) for ...])
    ledger.check(redis.client(), base, discount_id, answers)

Every redemption is a record with a state. Everything else that is stored or shown of redemptions is a sum over these
records, so a write that was done by half shows as two sums that differ. Raises AssertionError. Limits must not have
been lowered before the check, and no hold may end during it.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count
from typing import Any

from discount.domain import windows
from discount.domain.ids import parse_discount_id
from discount.services.redemption_records import Record
from discount.store import keys
from tests.support import history, records
from tests.support.load import Answer, Call
from tests.support.service import ask, create

CODE = "SUMMER-26"
CURRENCY = "EUR"
#: Far longer than any test takes.
HOLD = 3600
_brands = count(1)


@dataclass(frozen=True, slots=True)
class Ledger:
    """The records of a discount's redemptions by id; `states` are those that GET shows."""

    records: dict[str, dict[str, str]]
    states: dict[str, str]

    @property
    def counts(self) -> Counter[str]:
        """Count the redemptions in each state."""
        return Counter(self.states.values())

    def users(self, *states: str) -> Counter[str]:
        """Count each user's redemptions in these states."""
        return Counter(each["user"] for name, each in self.records.items() if self.states[name] in states)


def open_discount(base: str, **fields: Any) -> str:
    """Create a discount of a new brand: one code for all, 10 % off."""
    given = {"codes": {"kind": "shared", "code": CODE}, "percent_off": 10} | fields
    return create(base, 1_000_000, f"Shop {next(_brands)}", **given)


def redeem_call(
    discount_id: str, user: str, order: str, *, amount: int = 1000, hold: int | None = None, code: str = CODE
) -> Call:
    """Return the call with which a user redeems the code for an order, or holds it for `hold` seconds."""
    body = {"discount_id": discount_id, "user_id": user, "code": code}
    of_order = {"id": order, "amount": amount, "currency": CURRENCY}
    more = {} if hold is None else {"hold_seconds": hold}
    return Call(user, "POST", "/redemption", body | {"order": of_order} | more)


def confirm_call(redemption_id: str) -> Call:
    return Call("", "POST", f"/redemption/{redemption_id}/confirm")


def rollback_call(redemption_id: str, reason: str = "") -> Call:
    body = {"reason": reason} if reason else None
    return Call("", "POST", f"/redemption/{redemption_id}/rollback", body)


def shown_redemptions(answers: Iterable[Answer]) -> Iterator[dict[str, Any]]:
    """Yield every redemption in the answers."""
    for answer in answers:
        if answer.status in (200, 201) and isinstance(answer.body, dict) and "redeemed_at" in answer.body:
            yield answer.body


def check(client: Any, base: str, discount_id: str, answers: Iterable[Answer] = ()) -> Ledger:
    """Check every invariant of one discount's redemptions; `answers` about other discounts are ignored.

    R1 the lists of the discount and of each user have exactly the records; R2 the holds are the held records; R3
    counters and sums match the records; R4 so do the uses of every user; R5 no limit is passed; R6 one event for each
    use, rollback and end of a hold, with the same sums; R7 HTTP shows the records; R8 every answer is in the store,
    and was new once.
    """
    made = _records(client, discount_id)
    states = _states(client, discount_id, made)
    found = Ledger(made, states)
    fields = client.hgetall(keys.discount(int(discount_id[4:6], 16), discount_id))
    _check_lists(client, discount_id, made)
    _check_counters(fields, found)
    _check_uses(client, discount_id, fields, found)
    _check_events(client, discount_id, found)
    _check_shown(base, discount_id, fields, found)
    _check_answers(discount_id, found, list(answers))
    return found


def _records(client: Any, discount_id: str) -> dict[str, dict[str, str]]:
    """Find every record of the discount without its list."""
    stored = records.of_partition(client, int(discount_id[4:6], 16))
    return {name: _fields(each) for name, each in stored.items() if each.discount_id == discount_id}


def _fields(record: Record) -> dict[str, str]:
    names = {"h": "hold_until", "c": "confirmed_at", "b": "rolled_back_at"}
    words = {names[letter]: value for letter, value in record.words.items() if letter in names}
    named = {name: str(getattr(record, name)) for name in ("state", "at", "amount", "currency", "discount_amount")}
    more = {"user": record.user_id, "code": record.code, "order": record.order, "day": record.day, "week": record.week}
    return {"hold_until": ""} | words | named | more


def _states(client: Any, discount_id: str, made: dict[str, dict[str, str]]) -> dict[str, str]:
    seconds, rest = client.time()
    now = int(seconds) * 1_000_000 + int(rest)
    scores = dict(client.zrange(keys.holds(int(discount_id[4:6], 16), discount_id), 0, -1, withscores=True))
    holds = {name: int(until) for name, until in scores.items() if until > now}
    states = {
        name: "released" if each["state"] == "held" and int(each["hold_until"]) <= now else each["state"]
        for name, each in made.items()
    }
    held = {name: int(made[name]["hold_until"]) for name, state in states.items() if state == "held"}
    assert holds == held, "R2: the holds are the held records, with the same ends"
    return states


def _check_lists(client: Any, discount_id: str, made: dict[str, dict[str, str]]) -> None:
    partition = int(discount_id[4:6], 16)
    listed = records.of_discount(client, discount_id)
    # An order whose hold ended, and that was redeemed again, is at its earlier place as well.
    assert {name: listed.get(name) for name in made} == {name: int(each["at"]) for name, each in made.items()}, (
        "R1: the discount's list"
    )
    of_users: dict[str, set[str]] = defaultdict(set)
    for name, each in made.items():
        of_users[each["user"]].add(name)
    for user, own in of_users.items():
        assert own <= records.of_user(client, partition, user), f"R1: the list of {user}"


def _was_used(record: dict[str, str]) -> bool:
    """Return whether a redeemed or rolled-back record ever counted as a use."""
    return not record["hold_until"] or "confirmed_at" in record


def _counted(fields: dict[str, str], found: Ledger) -> list[dict[str, str]]:
    """Return the records that count against the limits for good."""
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
    for currency, most in windows.read_budget(fields.get("budget")).items():
        live = [each for name, each in found.records.items() if found.states[name] in ("redeemed", "held")]
        spent = sum(int(each["discount_amount"]) for each in live if each["currency"] == currency)
        held = sum(int(each["discount_amount"]) for each in live if each["state"] == "held")
        assert (spent <= most, held) == (True, int(fields.get(f"reserved:{currency}", 0))), "R5: budget"
    if "periods" in fields:
        day, used, day_held = fields["periods"].split()[:3]
        assert int(used) == sum(each["day"] == day for each in _counted(fields, found)), "R3: uses of the day"
        of_day = [name for name, state in found.states.items() if state == "held" and found.records[name]["day"] == day]
        assert int(day_held) == len(of_day), "R3: holds of the day"


def _sums(found: Ledger) -> Counter[str]:
    sums: Counter[str] = Counter()
    for name, each in found.records.items():
        if found.states[name] == "redeemed":
            sums["orders:" + each["currency"]] += int(each["amount"])
            sums["discounts:" + each["currency"]] += int(each["discount_amount"])
    return sums


def _check_uses(client: Any, discount_id: str, fields: dict[str, str], found: Ledger) -> None:
    parsed = parse_discount_id(discount_id)
    assert parsed is not None
    stored: dict[str, str] = {}
    start = keys.uses(parsed.partition, discount_id, 0)[:-1]
    for name in client.keys(start.replace("{", "[{]") + "*"):
        uses = client.hgetall(name)
        for user in uses:
            assert name == start + str(keys.grant_bucket(user, parsed.buckets)), f"R4: {user} in another's bucket"
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
        # A hold that has ended is removed by the user's next call.
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
        events = Counter(each["redemption"] for each in entries if each["type"] == kind)
        assert events == Counter(expected), f"R6: one {kind} each"
    # An order whose hold ended may have been held again, so there may be several of each.
    held, released = (
        Counter(each["redemption"] for each in entries if each["type"] == kind)
        for kind in ("redemption.held", "redemption.released")
    )
    assert released <= held, "R6: only what was held is released"
    ends = [n for n, r in found.records.items() if r["state"] == "released" or (r["hold_until"] and _given_up(r))]
    assert Counter(ends) <= released, "R6: one redemption.released for each hold that was rolled back or released"
    sums: Counter[str] = Counter()
    for each in entries:
        sign = {"code.redeemed": 1, "redemption.rolled-back": -1}.get(each["type"], 0)
        if sign:
            sums["orders:" + each["currency"]] += sign * int(each["amount"])
            sums["discounts:" + each["currency"]] += sign * int(each["discount_amount"])
    assert sums == _sums(found), "R6: uses minus rollbacks are the sums"


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
    for each in shown_redemptions(answers):
        if each["discount_id"] == discount_id:
            record = found.records.get(each["id"])
            assert record is not None, f"R8: answered, but not in the store: {each['id']}"
            stored = (record["user"], record["code"], record["order"].partition("\n")[0], int(record["amount"]))
            order = each["order"]
            assert stored == (each["user_id"], each["code"], order["id"], order["amount"]), "R8: answered as stored"
    # An order whose hold was released or ended may be redeemed again: another use, at a later moment.
    new = [each for each in answers if each.status == 201]
    fresh = Counter((each["id"], each["redeemed_at"]) for each in shown_redemptions(new))
    assert not fresh or max(fresh.values()) == 1, "R8: nothing is new twice"
