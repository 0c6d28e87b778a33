"""Limits by period and window, budgets and opening hours in any order, while the clock moves across summer time.

The model keeps a list of uses and counts them again for every question. It knows hours by the clock on the wall alone.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from discount.domain import code_kinds
from discount.domain.errors import HoldEnded, Refusal
from discount.domain.rules import Order, Rule
from discount.domain.windows import AMOUNT, DAYS, WINDOW, Hours, Window
from discount.services import redemptions
from discount.services.checkouts import Checkout
from tests.services.harness import SECOND, ServiceHarness, fake_harness, real_harness
from tests.support.clock import Clock
from tests.support.machines import run_in_batches
from tests.support.redis_server import RedisServer

USERS = ["Ann", "Bo"]
HOUR, DAY = 3600, 86400
#: Hours before the clock goes forward, and back, or a month and a week end.
EVES = [
    ("Europe/Stockholm", "2026-03-28T20:00"),
    ("Europe/Stockholm", "2026-10-24T22:00"),
    ("America/Sao_Paulo", "2018-11-03T21:00"),
    ("Australia/Lord_Howe", "2026-04-04T12:00"),
    ("UTC", "2027-01-31T20:00"),
]
LENGTHS = {"PT1H": HOUR, "PT24H": DAY, "P3D": 3 * DAY}
PERIODS = ("per_user_per_month", "per_day", "per_week", "per_month")
LIMITS = st.fixed_dictionaries({}, optional={name: st.sampled_from([1, 2, 2, 3, 4, 9, 0]) for name in PERIODS})
WINDOWS = st.dictionaries(st.sampled_from(list(LENGTHS)), st.sampled_from([1, 2, 2, 3, 0]), min_size=1, max_size=2)
BUDGETS = st.dictionaries(
    st.sampled_from(["EUR", "EUR", "JPY"]), st.sampled_from([250, 99, 420, 1000, 0]), min_size=1, max_size=2
)
#: What a discount has; a mixture of everything is mostly closed.
GIVEN = st.sampled_from(["limits", "windows", "windows", "budget", "budget", "hours", "all"])
MINUTES = st.sampled_from(["00:00", "01:30", "02:00", "02:30", "03:00", "09:00", "22:00", "23:59"])
HOURS = st.lists(
    st.builds(Hours, st.sampled_from([DAYS, ("sat",), ("sun", "mon")]), MINUTES, MINUTES), min_size=1, max_size=2
)
ORDERS = st.tuples(st.sampled_from([0, 990, 1000, 2500]), st.sampled_from(["EUR", "EUR", "JPY", "SEK"]))


@dataclass
class Use:
    id: str
    user: str
    at: int
    off: int
    currency: str
    hold_until: int | None
    state: str

    def live(self, now: int) -> bool:
        return self.state == "redeemed" or (self.state == "held" and (self.hold_until or 0) > now)


@dataclass
class Model:
    """The plainest model of a discount with one code for all."""

    id: str
    zone: str
    limits: dict[str, int]
    windows: dict[str, int]
    budget: dict[str, int]
    caps: bool
    opens: list[Hours]
    returns_use: bool
    uses: list[Use] = field(default_factory=list)

    def local(self, moment: int) -> datetime:
        return datetime.fromtimestamp(moment // SECOND, ZoneInfo(self.zone))

    def period(self, name: str, moment: int) -> Any:
        day = self.local(moment).date()
        return {"day": day, "week": day.isocalendar()[:2], "month": (day.year, day.month)}[name.rpartition("_")[2]]

    def end_of(self, name: str, moment: int) -> int:
        """Return the end of the period of a moment, by the calendar alone."""
        ended, period = moment + 40 * DAY * SECOND, self.period(name, moment)
        while ended - moment > 1:
            middle = (ended + moment) // 2
            moment, ended = (middle, ended) if self.period(name, middle) == period else (moment, middle)
        return ended

    def is_open(self, moment: int) -> bool:
        local = self.local(moment)
        shown, today, before = local.strftime("%H:%M"), DAYS[local.weekday()], DAYS[local.weekday() - 1]
        for each in self.opens:
            if each.to > each.from_ and today in each.days and each.from_ <= shown < each.to:
                return True
            if each.to <= each.from_ and (
                (today in each.days and shown >= each.from_) or (before in each.days and shown < each.to)
            ):
                return True
        return not self.opens

    def counted(self, now: int, without: str | None) -> list[Use]:
        """Return the uses that limits count, without the live holds of a user."""
        kept = [each for each in self.uses if not (each.user == without and each.state == "held")]
        return [each for each in kept if each.live(now) or (each.state == "kept" and not self.returns_use)]

    def limits_at(self, now: int, user: str, currency: str, without: str | None) -> dict[str, tuple[int, int]]:
        """Return the most and what is used of each limit."""
        counted = self.counted(now, without)
        found = {}
        for name, most in self.limits.items():
            mine = [each for each in counted if name in PERIODS[1:] or each.user == user]
            found[name] = most, sum(self.period(name, each.at) == self.period(name, now) for each in mine)
        for period, most in self.windows.items():
            after = now - LENGTHS[period] * SECOND
            found[WINDOW + period] = most, sum(each.user == user and each.at > after for each in counted)
        if currency in self.budget:
            spent = sum(each.off for each in counted if each.currency == currency and each.live(now))
            found[AMOUNT + currency] = self.budget[currency], spent
        return found

    def opens_again(self, name: str, most: int, user: str, now: int) -> int | None:
        if most == 0 or name.startswith(AMOUNT):
            return None
        if not name.startswith(WINDOW):
            return self.end_of(name, now)
        length = LENGTHS[name.removeprefix(WINDOW)] * SECOND
        times = sorted(each.at for each in self.counted(now, user) if each.user == user)
        return next(at + length for at in times if sum(each > at for each in times) < most and at + length > now)


class Calls(RuleBasedStateMachine):
    """Calls that a harness and the model both answer."""

    harness: ServiceHarness
    clock: Clock

    @initialize(
        eve=st.sampled_from(EVES), limits=LIMITS, windows=WINDOWS, budget=BUDGETS, caps=st.booleans(),
        opens=HOURS, returns_use=st.booleans(), given=GIVEN,
    )  # fmt: skip
    def begin(
        self, eve: tuple[str, str], limits: dict[str, int], windows: dict[str, int], budget: dict[str, int],
        caps: bool, opens: list[Hours], returns_use: bool, given: str,
    ) -> None:  # fmt: skip
        self.harness.redis.flushall()
        self.harness.store.prepare()
        self.harness.store.definitions.clear()
        zone, moment = eve
        self.clock.reset(int(datetime.fromisoformat(moment).replace(tzinfo=ZoneInfo(zone)).timestamp()) * SECOND)
        self.given = given
        limits = {"per_month": 99} | (limits if given in ("limits", "all") else {})
        windows = windows if given in ("windows", "all") else {}
        budget = budget if given in ("budget", "all") else {}
        opens = opens if given in ("hours", "all") else []
        self.orders = 0
        found = self.harness.create(
            total=None,
            kind=code_kinds.make("shared", None, {"code": "SPRING"}),
            rule=Rule(percent=1000),
            limits=limits,
            timezone=zone,
            returns_use=returns_use,
            bounds={
                "windows": [Window(*each) for each in windows.items()],
                "amount": budget,
                "budget_caps": caps,
            },
            opens=opens,
        )
        self.model = Model(found.id, zone, limits, windows, budget, caps, opens, returns_use)

    @rule(user=st.sampled_from(USERS), order=ORDERS, hold=st.sampled_from([None, None, None, 60, 3 * HOUR, DAY]))
    def redeem(self, user: str, order: tuple[int, str], hold: int | None) -> None:
        model, now = self.model, self.clock.now()
        self.orders += 1
        amount, currency = order
        checkout = Checkout(user, "spring", Order(f"A-{self.orders}", amount, currency), discount_id=model.id)
        full = (amount * 1000 + 5000) // 10_000
        first = model.limits_at(now, user, currency, None)
        alone = model.limits_at(now, user, currency, user)
        hit = {name for name, each in first.items() if self.is_reached(name, each, full)}
        stuck = {name: each for name, each in alone.items() if hit and self.is_reached(name, each, full)}

        verdict = redemptions.validate(self.harness.store, checkout)

        expected = {name: (most, model.opens_again(name, most, user, now)) for name, (most, _) in stuck.items()}
        assert {
            self.name_of(each): self.facts_of(each) for each in verdict.reasons if each.slug != "outside-hours"
        } == {name: (most, opens_at) for name, (most, opens_at) in expected.items()}
        closed = [each.facts["opens_at"] for each in verdict.reasons if each.slug == "outside-hours"]
        assert bool(closed) == (not model.is_open(now))
        for opens_at in map(int, closed):
            assert [model.is_open(opens_at - SECOND), model.is_open(opens_at)] == [False, True]
        if not hit:
            assert verdict.left == {name: max(0, most - used) for name, (most, used) in first.items()}
            assert verdict.discount_amount == self.off(first, currency, full)
        try:
            made = redemptions.redeem(self.harness.store, checkout, hold_seconds=hold)
        except Refusal:
            assert stuck or closed
            return
        assert [*stuck, *closed] == []
        self.learn_released(user, needed=bool(hit))
        before = model.limits_at(now, user, currency, None)
        assert made.discount_amount == self.off(before, currency, full)
        until = None if hold is None else now + hold * SECOND
        model.uses.append(Use(made.id, user, now, made.discount_amount, currency, until, made.state))
        after = model.limits_at(now, user, currency, None)
        assert made.left == {name: max(0, most - used) for name, (most, used) in after.items()}
        assert all(used <= most for name, (most, used) in after.items() if used > before[name][1])
        assert redemptions.show(self.harness.store, made.id).left == made.left

    def is_reached(self, name: str, each: tuple[int, int], full: int) -> bool:
        most, used = each
        need = 1 if not name.startswith(AMOUNT) else min(full, 1) if self.model.caps else full
        return need > 0 and used + need > most

    def off(self, limits: dict[str, tuple[int, int]], currency: str, full: int) -> int:
        if not self.model.caps or AMOUNT + currency not in limits:
            return full
        most, used = limits[AMOUNT + currency]
        return min(full, most - used) if most > used else full

    def learn_released(self, user: str, *, needed: bool) -> None:
        """Find which holds of the user gave way; none may where no limit was reached."""
        now = self.clock.now()
        mine = [each for each in self.model.uses if each.user == user and each.state == "held" and each.live(now)]
        for each in mine:
            each.state = redemptions.show(self.harness.store, each.id).state
        assert needed == any(each.state == "released" for each in mine)

    @staticmethod
    def name_of(refusal: Refusal) -> str:
        limit = refusal.facts["limit"]
        if limit == "window":
            return WINDOW + str(refusal.facts["period"])
        return AMOUNT + str(refusal.facts["currency"]) if limit == "amount" else str(limit)

    @staticmethod
    def facts_of(refusal: Refusal) -> tuple[int, int | None]:
        opens_at = refusal.facts.get("opens_at")
        return refusal.facts["most"], None if opens_at is None else int(opens_at)

    @precondition(lambda self: self.model.uses)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        use = data.draw(st.sampled_from(self.model.uses))
        if not use.live(self.clock.now()):
            with pytest.raises(HoldEnded):
                redemptions.confirm(self.harness.store, use.id)
            return
        assert redemptions.confirm(self.harness.store, use.id).state == "redeemed"
        use.state = "redeemed"

    @precondition(lambda self: self.model.uses)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        use = data.draw(st.sampled_from(self.model.uses))
        redemptions.roll_back(self.harness.store, use.id)
        if use.state == "redeemed":
            use.state = "kept"
        elif use.live(self.clock.now()):
            use.state = "released"

    @rule(limits=LIMITS, budget=BUDGETS, caps=st.booleans())
    def change(self, limits: dict[str, int], budget: dict[str, int], caps: bool) -> None:
        if self.given in ("limits", "all"):
            self.harness.change(self.model.id, limits=limits)
            self.model.limits |= limits
        if self.given in ("budget", "all"):
            self.harness.change(self.model.id, amount=budget, budget_caps=caps)
            self.model.budget, self.model.caps = budget, caps

    @rule(seconds=st.sampled_from([1, 60, HOUR, HOUR - 1, 3 * HOUR, DAY, 3 * DAY, 8 * DAY]))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.move(seconds)

    @rule(name=st.sampled_from(PERIODS[1:]), early=st.booleans())
    def go_to_the_end_of_a_period(self, name: str, early: bool) -> None:
        self.clock.go_to(self.model.end_of(name, self.clock.now()) - early)

    @precondition(lambda self: self.model.windows and self.model.uses)
    @rule(data=st.data(), early=st.booleans())
    def go_to_the_end_of_a_window(self, data: st.DataObject, early: bool) -> None:
        use = data.draw(st.sampled_from(self.model.uses))
        for _ in range(2):
            self.redeem(use.user, (1000, "EUR"), None)
        length = LENGTHS[data.draw(st.sampled_from(sorted(self.model.windows)))]
        self.clock.go_to(max(self.clock.now(), use.at + length * SECOND - early))
        self.redeem(use.user, (1000, "EUR"), None)


def run(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, examples: int, steps: int) -> None:
    machine = type("Machine", (Calls,), {"harness": harness, "clock": Clock(harness.redis, monkeypatch)})
    run_in_batches(machine, examples, steps)


def test_random_uses_under_bounds_on_fakeredis_match_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    run(fake_harness(), monkeypatch, examples=6, steps=20)


def test_random_uses_under_bounds_on_redis_match_the_model(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(real_harness(redis_server), monkeypatch, examples=40, steps=30)
