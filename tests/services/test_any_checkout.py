"""Checkouts in any order: grants, validations, redemptions, holds, confirms, rollbacks, changed limits, passing time.

The model keeps a list of uses and counts them again for every question. Time moves only in steps of its own, so that
the exact microsecond of a midnight or of a hold's end occurs.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from discount.domain import code_kinds, durations
from discount.domain.code_sequence import canonical
from discount.domain.errors import Refusal
from discount.domain.ids import make_redemption_id
from discount.domain.model import Redemption
from discount.domain.rules import Order, Rule
from discount.services import checkouts, discounts, redemption_lists, redemptions
from discount.services.checkouts import Checkout
from tests.services.harness import (
    SECOND,
    ServiceHarness,
    fake_harness,
    real_harness,
)
from tests.support.clock import Clock
from tests.support.machines import run_in_batches
from tests.support.redis_server import RedisServer

BRANDS = ["IKEA", "Åhléns"]
#: Fields of entries that the ledger alone needs, and those that all have.
INNER = ("brand", "number", "left", "held_at", "earlier_at", "undone")
USERS = ["Ann", "Bo", "Cy"]
ADDRESSES = ["192.0.2.1", "192.0.2.2"]
# Mostly a new order; the others come again and again.
ORDERS = st.sampled_from(["", "", "", "A-1", "A-2", "A-3"])
ZONES = ["UTC", "Europe/Stockholm", "America/Sao_Paulo", "Pacific/Apia"]
#: Hours before a clock change, at midnight in São Paulo; before Samoa left a day out; before a year in its 53rd week.
EVES = [
    ("Europe/Stockholm", "2026-03-28T21:00"),
    ("Europe/Stockholm", "2026-10-24T22:00"),
    ("America/Sao_Paulo", "2018-11-03T21:00"),
    ("America/Sao_Paulo", "2018-02-17T21:00"),
    ("Pacific/Apia", "2011-12-29T21:00"),
    ("Pacific/Apia", "2021-04-03T22:00"),
    ("UTC", "2026-12-31T22:00"),
]
DAY = 86400
#: Wrong codes that a user, and an address, may try, and for how many seconds they count.
GUESSES, ADDRESS_GUESSES, GUESS_SECONDS = 4, 7, 900
#: Limits, the narrowest last.
NARROW = ["total", "per_user", "per_user_per_week", "per_user_per_day"]
#: The model's moment for what never happens.
NEVER = 10**17
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "total": st.sampled_from([9, 5, 0, 3, 2, 1, 20]),
        "per_user": st.sampled_from([2, 1, 0, 3, 1, 9, 9]),
        "per_user_per_day": st.sampled_from([1, 2, 0, 3, 1, 2, 2]),
        "per_user_per_week": st.sampled_from([2, 3, 0, 1, 4, 2, 3]),
    },
)
RULES = st.one_of(
    st.just(Rule()),
    st.builds(Rule, percent=st.integers(1, 10_000)),
    st.builds(Rule, percent=st.just(3333), currency=st.just("EUR"), maximum_discount=st.just(100)),
    st.builds(Rule, percent=st.just(1250), currency=st.just("EUR"), minimum_amount=st.just(500)),
    st.builds(Rule, amount_off=st.just(700), currency=st.just("EUR"), minimum_amount=st.sampled_from([None, 500])),
)
PURCHASES = st.tuples(st.sampled_from([1, 499, 500, 1001, 1004]), st.sampled_from(["EUR", "EUR", "EUR", "JPY"]))
HOLDS = st.sampled_from([60, 7200, DAY])
KEYS = st.sampled_from([None, None, None, "key 1", "key 2"])
WINDOWS = st.sampled_from([(None, None)] * 5 + [(60, None), (None, DAY), (60, 9 * DAY)])
# Whose code is typed, mostly the user's own; and what the call names, mostly the discount.
TYPED = st.sampled_from(["own"] * 12 + ["nobody's", "another's"])
NAMED = st.sampled_from(["discount"] * 4 + ["brand", "brand", "both", "another brand"])
NAMED_RIGHT = st.sampled_from(["discount", "brand", "both"])


#: A brand, an order or idempotency key, and the user whose space it is in, unless it is the brand's.
Place = tuple[str, str, str | None]


@dataclass
class Use:
    """The use of a code for an order."""

    brand: str
    order: Order
    discount: "Model"
    user: str
    code: str
    hold_seconds: int | None
    key: str | None
    address: str
    by_user: bool
    at: int
    off: int
    left: dict[str, int]
    hold_until: int | None
    state: str
    confirmed_at: int | None = None
    rolled_back_at: int | None = None
    reason: str = ""
    #: Whether the limits count it once it is more than a hold.
    counted: bool = True

    @property
    def content(self) -> Any:
        return self.discount.id, self.user, self.order, self.hold_seconds

    @property
    def final(self) -> bool:
        """Whether it was ever more than a hold."""
        return self.hold_until is None or self.confirmed_at is not None

    @property
    def id(self) -> str:
        own = self.user if self.by_user else None
        return make_redemption_id(int(self.discount.id[4:6], 16), self.brand, self.order.id, own)

    def live(self, now: int) -> bool:
        return self.state == "held" and (self.hold_until or 0) > now

    def state_at(self, now: int) -> str:
        return "released" if self.state == "held" and not self.live(now) else self.state


def month_after(moment: int, zone: str) -> int:
    """Return the same time a month later, on the last day if there is no such day."""
    local = datetime.fromtimestamp(moment // SECOND, ZoneInfo(zone))
    last = (local.replace(day=1) + timedelta(days=62)).replace(day=1) - timedelta(days=1)
    ended = last.replace(day=min(local.day, last.day))
    return int(ended.timestamp()) * SECOND + moment % SECOND


@dataclass
class Model:
    """The plainest model of a discount."""

    id: str
    brand: str
    kind: str
    total: int | None
    shared_code: str
    rule: Rule
    limits: dict[str, int]
    zone: str
    valid_for: str | None
    returns_use: bool
    starts_at: int | None
    expires_at: int | None
    paused: bool = False
    closed: str = ""
    grants: dict[str, tuple[int, str]] = field(default_factory=dict)
    events: list[dict[str, str]] = field(default_factory=list)

    def code_of(self, user: str) -> str | None:
        if self.kind == "shared":
            return self.shared_code
        return self.grants[user][1] if user in self.grants else None

    def off(self, amount: int) -> int:
        if self.rule.amount_off is not None:
            return min(self.rule.amount_off, amount)
        exact = Decimal(amount) * Decimal(self.rule.percent or 0) / 10_000
        found = int(exact.quantize(Decimal(1), ROUND_HALF_UP))
        return min(found, amount, self.rule.maximum_discount if self.rule.maximum_discount is not None else amount)

    def refusals_of(self, order: Order) -> list[tuple[str, dict[str, Any]]]:
        currency, minimum = self.rule.currency, self.rule.minimum_amount
        if currency not in (None, order.currency):
            return [("currency-mismatch", {"currency": currency})]
        if order.amount < (minimum or 0):
            return [("minimum-amount", {"minimum_amount": minimum, "currency": currency})]
        return []

    def period(self, name: str, moment: int) -> Any:
        """Return the day or week of a moment that a limit counts by; a constant for other limits."""
        day: date = datetime.fromtimestamp(moment // SECOND, ZoneInfo(self.zone)).date()
        return {"per_user_per_day": day, "per_user_per_week": day.isocalendar()[:2]}.get(name)

    def end_of(self, name: str, moment: int) -> int:
        """Return the end of the period of a moment, by the calendar alone."""
        ended, period = moment + 9 * DAY * SECOND, self.period(name, moment)
        if self.period(name, ended) == period:
            return NEVER
        while ended - moment > 1:
            middle = (ended + moment) // 2
            moment, ended = (middle, ended) if self.period(name, middle) == period else (moment, middle)
        return ended

    def ends_for(self, user: str) -> int:
        """Return when this user's code expires."""
        ends = [NEVER if self.expires_at is None else self.expires_at]
        if self.valid_for is not None and user in self.grants:
            at = self.grants[user][0]
            ends.append(at + 3 * DAY * SECOND if self.valid_for == "P3D" else month_after(at, self.zone))
        return min(ends)


class Calls(RuleBasedStateMachine):
    """The services on one side, the model on the other."""

    harness: ServiceHarness
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.harness.redis.flushall()
        self.harness.store.definitions.clear()
        self.harness.store.prepare()
        self.models: list[Model] = []
        self.uses: dict[Place, Use] = {}
        self.keys: dict[Place, tuple[Any, int]] = {}
        self.guesses: dict[tuple[str, str, str], list[int]] = {}
        self.touched: Model | None = None
        self.user = ""
        self.steps = self.orders = 0

    @initialize(
        rules=st.tuples(RULES, RULES),
        limits=st.tuples(LIMITS, LIMITS),
        eve=st.sampled_from([None, *EVES]),
        zone=st.sampled_from(ZONES),
        returns_use=st.tuples(st.booleans(), st.booleans()),
    )
    def begin(
        self,
        rules: tuple[Rule, Rule],
        limits: tuple[dict[str, int], dict[str, int]],
        eve: tuple[str, str] | None,
        zone: str,
        returns_use: tuple[bool, bool],
    ) -> None:
        self.clock.reset()
        if eve:
            zone = eve[0]
            here = datetime.fromisoformat(eve[1]).replace(tzinfo=ZoneInfo(zone))
            self.clock.reset(int(here.timestamp()) * SECOND)
        self.create("IKEA", "shared", rules[0], limits[0], zone, None, returns_use[0], (None, None))
        self.create("IKEA", "unique", rules[1], limits[1], zone, None, returns_use[1], (None, None))
        for user in USERS[:2]:
            self.grant_of(self.models[1], user)

    # Helpers

    def pick(self, data: st.DataObject) -> Model:
        self.touched = self.models[data.draw(st.integers(0, 2**32)) % len(self.models)]
        return self.touched

    def pick_use(self, data: st.DataObject) -> Use:
        use = data.draw(st.sampled_from(list(self.uses.values())))
        self.touched = use.discount
        return use

    def outcome(self, call: Any) -> Any:
        """Return the answer, or the refusal as a slug and facts."""
        try:
            return call()
        except Refusal as refusal:
            return self.slug_and_facts(refusal)

    def slug_and_facts(self, refusal: Refusal) -> tuple[str, dict[str, Any]]:
        facts = {name: int(value) if name.endswith("_at") else value for name, value in refusal.facts.items()}
        return refusal.slug, facts

    def create(
        self, brand: str, kind: str, rule: Rule, limits: dict[str, int], zone: str,
        valid_for: str | None, returns_use: bool, window: tuple[int | None, int | None],
    ) -> None:  # fmt: skip
        now = self.clock.now()
        starts_at, expires_at = (None if each is None else now + each * SECOND for each in window)
        number = len(self.models)
        # Beyond ASCII the script asks its caller to compare.
        code = f"{'Sålé' if number % 2 else 'SALE'}-{number}"
        given = {"shared": {"code": code}, "personal": {"template": "{user}-{id}"}}.get(kind, {})
        total = None if kind in ("shared", "personal") else 2 + number % 2
        found = self.harness.create(
            total=total,
            brand=brand,
            kind=code_kinds.make(kind, total, given),  # type: ignore[arg-type]
            rule=rule,
            limits=limits,
            timezone=zone,
            valid_for=durations.read(valid_for) if valid_for else None,
            returns_use=returns_use,
            starts_at=starts_at,
            expires_at=expires_at,
        )
        if kind == "imported":
            self.harness.import_lines(found.id, [f"É-own {number} {each}" for each in range(total or 0)])
        self.touched = Model(
            found.id, brand, kind, total, code, rule, dict(limits), zone, valid_for, returns_use, starts_at, expires_at
        )
        self.models.append(self.touched)

    def order(self, name: str, purchase: tuple[int, str]) -> Order:
        self.orders += 1
        return Order(name or f"new {self.orders}", *purchase)

    # What the model expects

    def count(self, model: Model, name: str, user: str, now: int, without: list[Use]) -> int:
        """Count the uses and holds that a limit counts at a moment, except some."""
        found = 0
        for use in self.uses.values():
            if use.discount is not model or (name != "total" and use.user != user):
                continue
            if model.period(name, use.at) != model.period(name, now):
                continue
            if use.final:
                found += use.counted
            else:
                found += use.live(now) and use not in without
        return found

    def judge(self, model: Model, user: str, now: int, without: list[Use]) -> tuple[dict[str, int], list[Any]]:
        """Return what is left of each limit, and the reasons for those that are used up."""
        left: dict[str, int] = {}
        hit: list[Any] = []
        for name in ("total", "per_user", "per_user_per_day", "per_user_per_week"):
            if name not in model.limits:
                continue
            most = model.limits[name]
            left[name] = max(0, most - self.count(model, name, user, now, without))
            if left[name] == 0:
                once = name == "per_user" and most == 1
                ends = [use.hold_until or 0 for use in self.uses.values() if use.discount is model and use.live(now)]
                moments = sorted([*ends, model.end_of(name, now)])
                opens = [each for each in moments if each < NEVER]
                opens = [each for each in opens if self.count(model, name, user, each, without) < most]
                facts = {"limit": name} | ({"opens_at": opens[0]} if opens else {})
                hit.append(("already-redeemed" if once else "limit-reached", facts))
        return left, hit

    def expect(self, model: Model, user: str, now: int) -> tuple[list[Any], dict[str, int], list[Use]]:
        """Return the expected reasons, what is left of the limits, and the holds that are released."""
        expected: list[Any] = []
        if model.closed == "void" or (model.closed and user not in model.grants):
            expected.append(("closed", {}))
        if model.paused:
            expected.append(("paused", {}))
        if model.starts_at is not None and now < model.starts_at:
            expected.append(("not-started", {"starts_at": model.starts_at}))
        if now >= model.ends_for(user):
            expected.append(("expired", {"expires_at": model.ends_for(user)}))
        left, hit = self.judge(model, user, now, [])
        own = [use for use in self.uses.values() if use.discount is model and use.user == user and use.live(now)]
        if not hit or not own:
            return expected + hit, left, []
        without_own = self.judge(model, user, now, own)
        if without_own[1]:
            return expected + without_own[1], without_own[0], []
        gives_way: list[Use] = []
        while hit:
            name = max((facts["limit"] for _, facts in hit), key=NARROW.index)
            there = self.count(model, name, user, now, gives_way)
            gives_way.append(
                next(
                    use
                    for use in sorted(own, key=lambda use: use.at)
                    if use not in gives_way and self.count(model, name, user, now, [*gives_way, use]) < there
                )
            )
            left, hit = self.judge(model, user, now, gives_way)
        return expected, left, gives_way

    def guessed(self, attempt: Checkout, brand: str, now: int) -> list[tuple[list[int], int]]:
        """Return the guesses of a user and of an address that still count, with their limits."""
        found = []
        for kind, who, most in (("user", attempt.user_id, GUESSES), ("address", attempt.address, ADDRESS_GUESSES)):
            guesses = self.guesses.setdefault((brand, kind, who), [])
            if guesses and now >= guesses[-1] + GUESS_SECONDS * SECOND:
                guesses.clear()
            found.append((guesses, most))
        return found

    def has_to_wait(self, guessed: list[tuple[list[int], int]], answer: Any, now: int) -> bool:
        """Return whether there were too many guesses, and check that the answer says so exactly then."""
        for guesses, most in guessed:
            if len(guesses) >= most:
                word, facts = answer
                assert word == "too-many-guesses"
                exact = guesses[-1] / SECOND + GUESS_SECONDS - now / SECOND
                assert abs(int(facts["retry_after"]) - exact) <= 1
                return True
        assert not (isinstance(answer, tuple) and answer[0] == "too-many-guesses")
        return False

    # Granting

    def grant_of(self, model: Model, user: str) -> None:
        now = self.clock.now()
        answer = self.outcome(lambda: self.harness.grant(model.id, user))
        if user in model.grants:
            assert ((answer.granted_at, answer.code), answer.fresh) == (model.grants[user], False)
            return
        full = model.total is not None and len(model.grants) == model.total
        for word, stands in (
            ("closed", model.closed),
            ("paused", model.paused),
            ("expired", model.expires_at is not None and now >= model.expires_at),
            ("not-started", model.starts_at is not None and now < model.starts_at),
            ("sold-out", full),
        ):
            if stands:
                assert answer[0] == word
                return
        assert (answer.granted_at, answer.fresh) == (now, True)
        model.grants[user] = (now, answer.code)

    @rule(
        brand=st.sampled_from(BRANDS), kind=st.sampled_from(["unique", "imported", "personal", "shared"]), given=RULES,
        limits=LIMITS, zone=st.sampled_from(ZONES), valid_for=st.sampled_from([None, None, "P3D", "P1M"]),
        returns_use=st.booleans(), window=WINDOWS,
    )  # fmt: skip
    @precondition(lambda self: len(self.models) < 5)
    def create_another(
        self, brand: str, kind: str, given: Rule, limits: dict[str, int], zone: str,
        valid_for: str | None, returns_use: bool, window: tuple[int | None, int | None],
    ) -> None:  # fmt: skip
        self.create(brand, kind, given, limits, zone, None if kind == "shared" else valid_for, returns_use, window)
        for user in USERS[1:]:
            self.grant_of(self.models[-1], user)

    @rule(data=st.data(), user=st.sampled_from(USERS))
    def grant(self, data: st.DataObject, user: str) -> None:
        self.grant_of(self.pick(data), user)

    # At the checkout

    def attempt(
        self, data: st.DataObject, user: str, order: Order, typed: str, named: str, address: str
    ) -> tuple[Checkout, str, Model | None]:
        """Return a user at the checkout, the brand, and the discount of the code."""
        model = self.pick(data)
        others = [held for who, (_, held) in model.grants.items() if who != user]
        code = model.code_of(user)
        if typed == "another's" and others and model.kind != "shared":
            code = others[0]
        elif typed == "nobody's" or code is None:
            code = "nobody's code"
        given = data.draw(st.sampled_from([code, f" {code.lower()} ", code.replace("-", " ")]))
        brand = BRANDS[model.brand == BRANDS[0]] if named == "another brand" else model.brand
        attempt = Checkout(
            user, given, order, address=address, by_user=data.draw(st.booleans()),
            brand_id=None if named == "discount" else brand, discount_id=None if named == "brand" else model.id,
        )  # fmt: skip
        right = [
            each
            for each in ([model] if named != "brand" else self.models)
            if each.brand == model.brand and canonical(each.code_of(user) or "") == canonical(given)
        ]
        return attempt, model.brand, right[0] if right else None

    @rule(
        data=st.data(), user=st.sampled_from(USERS), order=ORDERS, purchase=PURCHASES,
        typed=TYPED, named=NAMED, address=st.sampled_from(ADDRESSES),
    )  # fmt: skip
    def validate(
        self,
        data: st.DataObject,
        user: str,
        order: str,
        purchase: tuple[int, str],
        typed: str,
        named: str,
        address: str,
    ) -> None:
        attempt, brand, model = self.attempt(data, user, self.order(order, purchase), typed, named, address)
        if named == "another brand":
            assert self.outcome(lambda: redemptions.validate(self.harness.store, attempt))[0] == "not-found"
        else:
            self.validated(attempt, brand, model)

    def validated(self, attempt: Checkout, brand: str, model: Model | None) -> None:
        now = self.clock.now()
        guessed = self.guessed(attempt, brand, now)
        verdict = self.outcome(lambda: redemptions.validate(self.harness.store, attempt))
        if self.has_to_wait(guessed, verdict, now):
            return
        reasons = [self.slug_and_facts(each) for each in verdict.reasons]
        if model is None:
            for guesses, _ in guessed:
                guesses.append(now)
            assert (reasons, verdict.discount_amount) == ([("not-granted", {})], 0)
            return
        expected, left, _ = self.expect(model, attempt.user_id, now)
        before, of_order = self.known(self.place_of(attempt, brand), now), model.refusals_of(attempt.order)
        if before and before.content[:-1] != (model.id, attempt.user_id, attempt.order):
            expected = [("idempotency-mismatch", {}), *of_order, *expected]
        else:
            expected = of_order + expected
        assert reasons == expected
        assert (verdict.discount_id, dict(verdict.left)) == (model.id, left)
        assert verdict.discount_amount == (0 if of_order else model.off(attempt.order.amount))

    @rule(
        data=st.data(), user=st.sampled_from(USERS), order=ORDERS, purchase=PURCHASES,
        typed=TYPED, named=NAMED, address=st.sampled_from(ADDRESSES), hold=st.none() | HOLDS, key=KEYS,
    )  # fmt: skip
    def redeem(
        self, data: st.DataObject, user: str, order: str, purchase: tuple[int, str], typed: str, named: str,
        address: str, hold: int | None, key: str | None,
    ) -> None:  # fmt: skip
        attempt, brand, model = self.attempt(data, user, self.order(order, purchase), typed, named, address)
        if named == "another brand":
            assert self.outcome(lambda: redemptions.redeem(self.harness.store, attempt))[0] == "not-found"
        else:
            self.at_checkout(attempt, brand, model, hold, key)

    # Two more rules without faulty input, as some cases occur only after many uses.

    @rule(data=st.data(), several=st.lists(st.tuples(st.sampled_from(USERS), PURCHASES), min_size=1, max_size=4))
    def buy(self, data: st.DataObject, several: list[tuple[str, tuple[int, str]]]) -> None:
        model = self.pick(data)
        for user, purchase in several:
            self.plainly(model, user, purchase, None)

    @rule(data=st.data(), several=st.lists(st.tuples(st.sampled_from(USERS), PURCHASES, HOLDS), min_size=1, max_size=4))
    def hold(self, data: st.DataObject, several: list[tuple[str, tuple[int, str], int]]) -> None:
        model = self.pick(data)
        for user, purchase, hold in several:
            self.plainly(model, user, purchase, hold)

    @rule(
        data=st.data(), user=st.sampled_from(USERS), hold=st.sampled_from([None, 60, DAY]),
        early=st.sampled_from([0, 1]), till=st.sampled_from(["day", "week", "day", "its end"]),
        then=st.sampled_from(["confirm", "roll back"]), more=st.booleans(),
    )  # fmt: skip
    def check_out_and_wait(
        self, data: st.DataObject, user: str, hold: int | None, early: int, till: str, then: str, more: bool
    ) -> None:
        """Redeem or hold before a midnight, and confirm or roll back after it."""
        model = self.pick(data)
        midnight = model.end_of("per_user_per_week" if till == "week" else "per_user_per_day", self.clock.now())
        if till != "its end":
            self.clock.go_to(max(self.clock.now(), midnight - SECOND))
        use = self.plainly(model, user, (1001, "EUR"), hold)
        if use is None:
            return
        self.clock.go_to(max(self.clock.now(), ((use.hold_until or 0) if till == "its end" else midnight) - early))
        if more:
            self.plainly(model, user, (1004, "EUR"), None)
        if then == "confirm":
            self.confirm_use(use)
        else:
            self.roll_back_use(use, "")

    def plainly(self, model: Model, user: str, purchase: tuple[int, str], hold: int | None) -> Use | None:
        code = model.code_of(user)
        if code is None:
            return None
        order = self.order("", (max(500, purchase[0]), model.rule.currency or purchase[1]))
        attempt = Checkout(user, code, order, discount_id=model.id, address="nobody")
        self.at_checkout(attempt, model.brand, model, hold, None)
        return self.uses.get((model.brand, order.id, None))

    @precondition(lambda self: self.uses)
    @rule(data=st.data(), changed=st.sampled_from(["", "discount", "", "amount", "hold", "key", "user", "discount"]))
    def send_again(self, data: st.DataObject, changed: str) -> None:
        use = self.pick_use(data)
        order = Order(use.order.id, use.order.amount + (changed == "amount"), use.order.currency)
        user = USERS[USERS.index(use.user) - 1] if changed == "user" else use.user
        model = use.discount
        if changed == "discount":
            others = [each for each in self.models if each.brand == use.brand and each is not model]
            model = self.touched = others[-1] if others else model
        code = model.code_of(user)
        attempt = Checkout(
            user, code or "nobody's code", order, discount_id=model.id, address=use.address, by_user=use.by_user
        )
        hold = (use.hold_seconds or 0) + 60 if changed == "hold" else use.hold_seconds
        key = "another key" if changed == "key" else use.key
        self.at_checkout(attempt, use.brand, model if code else None, hold, key)

    @rule(data=st.data(), user=st.sampled_from(USERS), address=st.sampled_from(ADDRESSES), times=st.integers(1, 5))
    def guess(self, data: st.DataObject, user: str, address: str, times: int) -> None:
        for _ in range(times):
            order = self.order("", (500, "EUR"))
            attempt, brand, model = self.attempt(data, user, order, "nobody's", data.draw(NAMED_RIGHT), address)
            self.validated(attempt, brand, model)

    def at_checkout(
        self, attempt: Checkout, brand: str, model: Model | None, hold: int | None, key: str | None
    ) -> None:
        now = self.clock.now()
        user, order = attempt.user_id, attempt.order
        self.user = user
        answer = self.outcome(
            lambda: redemptions.redeem(self.harness.store, attempt, hold_seconds=hold, idempotency_key=key)
        )
        guessed = self.guessed(attempt, brand, now)
        if model is None:
            if not self.has_to_wait(guessed, answer, now):
                for guesses, _ in guessed:
                    guesses.append(now)
                assert answer == ("not-granted", {})
            return
        place, content = self.place_of(attempt, brand), (model.id, user, order, hold)
        of_order = model.refusals_of(order)
        before = self.known(place, now)
        known = self.keys.get((brand, key, place[2])) if key else None
        if known and known[1] > now and known[0] != content:
            assert answer == ("idempotency-mismatch", {})
            return
        if before and before.content != content:
            assert answer == ("idempotency-mismatch", {})
            return
        if before:
            assert not answer.fresh
            self.compare(answer, before, now, before.left)
            return
        if self.has_to_wait(guessed, answer, now):
            return
        expected, left, gives_way = self.expect(model, user, now)
        if of_order or expected:
            assert answer == (of_order + expected)[0]
            return
        assert (answer.fresh, answer.redeemed_at) == (True, now)
        for use in gives_way:
            use.state = "released"
            self.expect_event("redemption.released", use, now, reason="")
        use = self.uses[place] = Use(
            brand, order, model, user, model.code_of(user) or "", hold, key, attempt.address, attempt.by_user, now,
            model.off(order.amount), {name: number - 1 for name, number in left.items()},
            now + hold * SECOND if hold else None, "held" if hold else "redeemed",
        )  # fmt: skip
        self.compare(answer, use, now, use.left)
        if key:
            self.keys[brand, key, place[2]] = (content, now + discounts.IDEMPOTENCY_SECONDS * SECOND)
        if hold:
            self.expect_event("redemption.held", use, now, hold_until=str(use.hold_until))
        else:
            self.became_final(use, now)
        # A script takes longer than a microsecond, and pages of a list rely on that.
        self.clock.move(1e-6)

    def place_of(self, attempt: Checkout, brand: str) -> Place:
        return brand, attempt.order.id, attempt.user_id if attempt.by_user else None

    def known(self, place: Place, now: int) -> Use | None:
        """Return the use of an order, if it is not an ended or released hold."""
        use = self.uses.get(place)
        return use if use is not None and use.state_at(now) != "released" else None

    def became_final(self, use: Use, now: int) -> None:
        self.expect_event("code.redeemed", use, now)
        if self.count_final(use.discount) == use.discount.limits.get("total"):
            use.discount.events.append({"type": "discount.limit-reached", "at": str(now), "limit": "total"})

    def count_final(self, model: Model) -> int:
        return sum(use.final and use.counted for use in self.uses.values() if use.discount is model)

    def expect_event(self, kind: str, use: Use, now: int, **more: str) -> None:
        facts = {
            "user": use.user, "code": use.code, "redemption": use.id, "amount": str(use.order.amount),
            "currency": use.order.currency, "discount_amount": str(use.off), "order": use.order.id,
        }  # fmt: skip
        use.discount.events.append({"type": kind, "at": str(now)} | facts | more)

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        self.confirm_use(self.pick_use(data))

    def confirm_use(self, use: Use) -> None:
        now, self.user = self.clock.now(), use.user
        answer = self.outcome(lambda: redemptions.confirm(self.harness.store, use.id))
        if use.live(now):
            use.state, use.confirmed_at = "redeemed", now
            self.expect_event("redemption.confirmed", use, now)
            self.became_final(use, now)
        if use.state == "redeemed":
            self.compare(answer, use, now)
        else:
            assert answer == ("hold-ended", {})

    @precondition(lambda self: self.uses)
    @rule(data=st.data(), reason=st.sampled_from(["", "because"]))
    def roll_back(self, data: st.DataObject, reason: str) -> None:
        self.roll_back_use(self.pick_use(data), reason)

    def roll_back_use(self, use: Use, reason: str) -> None:
        now, self.user = self.clock.now(), use.user
        answer = redemptions.roll_back(self.harness.store, use.id, reason)
        if use.state_at(now) in ("redeemed", "held"):
            word = "redemption.rolled-back" if use.final else "redemption.released"
            use.state, use.rolled_back_at, use.reason = "rolled-back", now, reason
            use.counted = not use.discount.returns_use
            self.expect_event(word, use, now, reason=reason)
        self.compare(answer, use, now)

    # Changing, and time

    @rule(data=st.data(), limits=LIMITS, gone=st.booleans())
    def change_limits(self, data: st.DataObject, limits: dict[str, int], gone: bool) -> None:
        model = self.pick(data)
        changes: dict[str, int | None] = dict(limits)
        if gone:
            changes |= dict.fromkeys(set(model.limits) - set(limits))
        self.limit(model, changes)

    @rule(data=st.data(), holds=st.lists(HOLDS, min_size=3, max_size=3), below=st.integers(0, 3))
    def lower_the_total_to_what_is_held_or_less(self, data: st.DataObject, holds: list[int], below: int) -> None:
        model, now = self.pick(data), self.clock.now()
        for user, hold in zip(USERS, holds, strict=True):
            self.plainly(model, user, (1001, "EUR"), hold)
        self.limit(model, {"total": max(0, self.count(model, "total", "", now, []) - below)})
        self.user = data.draw(st.sampled_from(USERS))

    def limit(self, model: Model, changes: dict[str, int | None]) -> None:
        answer = self.outcome(lambda: self.harness.change(model.id, limits=changes))
        if model.closed:
            assert answer == ("closed", {})
        else:
            merged = model.limits | changes
            model.limits = {name: number for name, number in merged.items() if number is not None}

    @rule(
        data=st.data(),
        what=st.sampled_from(["go on", "pause", "start", "end", "go on", "close", "void"]),
        user=st.sampled_from(USERS),
    )
    def manage(self, data: st.DataObject, what: str, user: str) -> None:
        """Change what stops a discount, in one step: as steps of their own, they would stop it most of the time."""
        model = self.pick(data)
        if what == "pause":
            self.pause(model, True)
            self.plainly(model, user, (1001, "EUR"), None)
            self.pause(model, data.draw(st.sampled_from([False, False, True])))
        elif what == "start":
            self.start(model, 60)
            self.clock.move(60 - data.draw(st.sampled_from([0, 1e-6])))
            self.plainly(model, user, (1001, "EUR"), None)
        elif what == "end":
            self.end(model, data.draw(st.sampled_from([None, 0, 60, DAY])))
        elif what == "go on":
            self.pause(model, False)
            self.end(model, None)
        elif sum(not each.closed for each in self.models) > 2:
            self.harness.close(model.id, void=what == "void")
            model.closed = "void" if "void" in (what, model.closed) else "keep"
            model.paused = False

    def pause(self, model: Model, paused: bool) -> None:
        answer = self.outcome(lambda: self.harness.change(model.id, paused=paused))
        if model.closed:
            assert answer == ("closed", {})
        else:
            model.paused = paused

    def start(self, model: Model, seconds: int) -> None:
        starts = self.clock.now() + seconds * SECOND
        answer = self.outcome(lambda: self.harness.change(model.id, starts_at=starts))
        if model.closed:
            assert answer == ("closed", {})
        elif model.expires_at is not None and model.expires_at <= starts:
            assert answer[0] == "invalid"
        else:
            model.starts_at = starts

    def end(self, model: Model, seconds: int | None) -> None:
        ends = None if seconds is None else self.clock.now() + seconds * SECOND
        answer = self.outcome(lambda: self.harness.change(model.id, expires_at=ends))
        if model.closed:
            assert answer == ("closed", {})
        elif ends is not None and model.starts_at is not None and ends <= model.starts_at:
            assert answer[0] == "invalid"
        else:
            model.expires_at = ends

    @rule(seconds=st.sampled_from([1e-6, 30, 61, 600, 1800, 3600, 7200, DAY, 7 * DAY]))
    def let_time_pass(self, seconds: float) -> None:
        self.clock.move(seconds)

    @rule(data=st.data(), week=st.booleans(), early=st.sampled_from([0, 0, 1, SECOND]))
    def go_to_midnight(self, data: st.DataObject, week: bool, early: int) -> None:
        model, now = self.pick(data), self.clock.now()
        midnight = model.end_of("per_user_per_week" if week else "per_user_per_day", now)
        self.clock.go_to(max(now, midnight - early))

    @rule(data=st.data(), early=st.sampled_from([0, 0, 1]))
    def go_to_where_something_ends(self, data: st.DataObject, early: int) -> None:
        now = self.clock.now()
        ends = [use.hold_until or 0 for use in self.uses.values() if use.live(now)]
        ends += [each[-1] + GUESS_SECONDS * SECOND for each in self.guesses.values() if each]
        ends += [till for _, till in self.keys.values()]
        for model in self.models:
            ends += [model.starts_at or 0, *(model.ends_for(user) for user in USERS)]
        ahead = sorted({each - early for each in ends if now < each - early and each < NEVER})
        if ahead:
            # Near ends are met more often, as moving to a far one passes the near ones.
            self.clock.go_to(ahead[data.draw(st.sampled_from([0, 0, 1, -1])) % len(ahead)])

    @rule()
    def another_replica_goes_on(self) -> None:
        self.harness.store.definitions.clear()

    # Looking

    def compare(self, found: Redemption, use: Use, now: int, left: dict[str, int] | None = None) -> None:
        """Check a redemption against the model; without `left`, it shows what is left now."""
        assert (found.id, found.discount_id, found.brand_id) == (use.id, use.discount.id, use.brand)
        assert (found.user_id, found.code, found.order) == (use.user, use.code, use.order)
        assert (found.state, found.discount_amount) == (use.state_at(now), use.off)
        assert dict(found.left) == (self.judge(use.discount, use.user, now, [])[0] if left is None else left)
        assert (found.redeemed_at, found.hold_until) == (use.at, use.hold_until)
        assert (found.confirmed_at, found.rolled_back_at) == (use.confirmed_at, use.rolled_back_at)
        assert found.reason == use.reason

    def compare_all(self, found: list[Redemption], uses: list[Use], now: int) -> None:
        """Check that a list has exactly these uses, newest first."""
        assert len(found) == len(uses)
        for each, use in zip(found, sorted(uses, key=lambda use: (use.at, use.id), reverse=True), strict=True):
            self.compare(each, use, now, use.left)

    @invariant()
    def what_this_step_touched_is_as_the_model_says(self) -> None:
        if self.touched:
            self.check(self.touched)

    @invariant()
    def what_is_left_for_a_user_is_as_the_model_says(self) -> None:
        if not self.touched:
            return
        # The user of this step, or one in turn: checking all would take three times as long and find little more.
        self.steps += 1
        user, self.user = self.user or USERS[self.steps % len(USERS)], ""
        code = self.touched.code_of(user)
        if code is not None:
            attempt = Checkout(
                user, code, Order("no order", 1001, "EUR"), discount_id=self.touched.id, address="nobody"
            )
            self.validated(attempt, self.touched.brand, self.touched)

    def check(self, model: Model) -> None:
        now = self.clock.now()
        found, at = discounts.show(self.harness.store, model.id)
        mine = [use for use in self.uses.values() if use.discount is model]
        states = Counter(use.state_at(now) for use in mine)
        assert at == now
        assert (found.redeemed_count, found.on_hold_count) == (states["redeemed"], states["held"])
        assert found.granted_count == len(model.grants)
        # An order of which a rollback is known stays what it is.
        assert found.rolled_back_count == states["rolled-back"]
        assert (dict(found.limits), found.paused, found.closed) == (model.limits, model.paused, model.closed)
        sums: dict[str, tuple[int, int]] = {}
        for use in mine:
            if use.state == "redeemed":
                orders, off = sums.get(use.order.currency, (0, 0))
                sums[use.order.currency] = (orders + use.order.amount, off + use.off)
        shown = {each: (sum_.orders, sum_.discounts) for each, sum_ in found.sums.items()}
        assert {each: both for each, both in shown.items() if both != (0, 0)} == sums
        self.compare_all(redemption_lists.list_of_discount(self.harness.store, model.id).items, mine, now)
        events = [
            {name: value for name, value in each.items() if name not in INNER}
            for each in self.harness.events(found)
            if each["type"].startswith("redemption.") or each["type"] in ("code.redeemed", "discount.limit-reached")
        ]
        assert events == model.events
        added: Counter[str] = Counter()
        for each in events:
            sign = {"code.redeemed": 1, "redemption.rolled-back": -1}.get(each["type"], 0)
            added[each.get("currency", "")] += sign * int(each.get("discount_amount", 0))
        assert {each: off for each, off in added.items() if off} == {
            each: off for each, (_, off) in sums.items() if off
        }

    @rule(
        data=st.data(), user=st.sampled_from(USERS), brand=st.sampled_from([None, *BRANDS]),
        state=st.sampled_from([None, "held", "redeemed", "rolled-back", "released"]), limit=st.integers(1, 4),
    )  # fmt: skip
    def list_pages_of_a_user(self, data: st.DataObject, user: str, brand: str | None, state: Any, limit: int) -> None:
        now = self.clock.now()
        moments = st.sampled_from([None, now, *(use.at for use in self.uses.values())])
        since, until = data.draw(moments), data.draw(moments)
        found: list[Redemption] = []
        cursor: str | None = None
        while True:
            page = redemption_lists.list_of_user(
                self.harness.store, user, brand_id=brand, state=state, since=since, until=until, limit=limit,
                cursor=cursor,
            )  # fmt: skip
            assert len(page.items) <= limit
            found += page.items
            cursor = page.next
            if cursor is None:
                break
        wanted = [
            use
            for use in self.uses.values()
            if use.user == user and brand in (None, use.brand) and state in (None, use.state_at(now))
            and (since or 0) <= use.at < (until or NEVER)
        ]  # fmt: skip
        self.compare_all(found, wanted, now)

    def teardown(self) -> None:
        now = self.clock.now()
        for model in self.models:
            self.check(model)
        for use in self.uses.values():
            self.compare(redemptions.show(self.harness.store, use.id), use, now)
        for user in USERS:
            mine = [use for use in self.uses.values() if use.user == user]
            self.compare_all(redemption_lists.list_of_user(self.harness.store, user).items, mine, now)
        self.harness.check()


def run(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, examples: int, steps: int) -> None:
    for name, value in (
        ("USER_GUESSES", GUESSES),
        ("ADDRESS_GUESSES", ADDRESS_GUESSES),
        ("GUESS_SECONDS", GUESS_SECONDS),
    ):
        monkeypatch.setattr(checkouts, name, value)
    machine = type("Machine", (Calls,), {"harness": harness, "clock": Clock(harness.redis, monkeypatch)})
    run_in_batches(machine, examples, steps)


def test_random_checkouts_on_fakeredis_match_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    run(fake_harness(), monkeypatch, examples=12, steps=30)


def test_random_checkouts_on_redis_match_the_model(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    run(real_harness(redis_server), monkeypatch, examples=60, steps=40)
