"""Codes granted, validated, redeemed, held, confirmed, rolled back, while limits change and time passes, in any order.

The model keeps a list of uses and counts them anew for every question.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from discount import discounts, kinds, redemptions
from discount.codes import canonical
from discount.errors import Refusal
from discount.redemptions import Attempt
from discount.rules import Order, Rule
from tests.contract.stage import SECOND, Stage, fake_stage, real_stage
from tests.support.clock import Clock
from tests.support.redis_server import RedisServer

BRANDS = ["IKEA", "Åhléns"]
USERS = ["Ann", "Bo", "Cy"]
ORDERS = [f"order {number}" for number in range(16)]
ZONES = ["UTC", "Europe/Stockholm", "America/Sao_Paulo", "Pacific/Apia"]
DAY = 86400
#: Wrong codes that a user may try, and for how many seconds they count.
GUESSES, GUESS_SECONDS = 4, 900
LIMITS = st.fixed_dictionaries(
    {},
    optional={
        "total": st.integers(0, 6),
        "per_user": st.sampled_from([0, 1, 1, 2, 4]),
        "per_user_per_day": st.integers(0, 2),
        "per_user_per_week": st.integers(0, 3),
    },
)
RULES = st.one_of(
    st.just(Rule()),
    st.builds(Rule, percent=st.integers(1, 10_000)),
    st.builds(Rule, percent=st.just(3333), currency=st.just("EUR"), maximum_discount=st.just(100)),
    st.builds(Rule, amount_off=st.just(700), currency=st.just("EUR"), minimum_amount=st.sampled_from([None, 500])),
)
PURCHASES = st.tuples(st.sampled_from([1, 499, 500, 1001]), st.sampled_from(["EUR", "EUR", "EUR", "JPY"]))
HOLDS = st.sampled_from([None, None, 60, 7200])


@dataclass
class Use:
    """What an order did with a code."""

    brand: str
    order: Order
    discount: "Model"
    user: str
    content: Any
    at: int
    off: int
    hold_until: int | None
    state: str
    counted: bool = True
    #: Whether it was ever more than a hold.
    final: bool = False


@dataclass
class Model:
    """A discount as anybody would write it down."""

    id: str
    brand: str
    kind: str
    shared_code: str
    rule: Rule
    limits: dict[str, int]
    zone: str
    valid_for: int | None
    returns_use: bool
    starts_at: int | None
    expires_at: int | None
    paused: bool = False
    closed: str = ""
    grants: dict[str, tuple[int, str]] = field(default_factory=dict)

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

    def refusal_of_order(self, order: Order) -> str:
        if self.rule.currency not in (None, order.currency):
            return "currency-mismatch"
        return "minimum-amount" if order.amount < (self.rule.minimum_amount or 0) else ""

    def day(self, moment: int) -> Any:
        return datetime.fromtimestamp(moment // SECOND, ZoneInfo(self.zone)).date()


class Calls(RuleBasedStateMachine):
    """The verbs on one side, the model on the other."""

    stage: Stage
    clock: Clock

    def __init__(self) -> None:
        super().__init__()
        self.stage.redis.flushall()
        self.clock.reset()
        self.stage.store.definitions.clear()
        self.stage.store.prepare()
        self.models: list[Model] = []
        self.uses: dict[tuple[str, str], Use] = {}
        self.keys: dict[tuple[str, str], tuple[Any, int]] = {}
        self.guesses: dict[tuple[int, str], list[int]] = {}
        self.events: Counter[tuple[str, str]] = Counter()

    @initialize(rules=st.tuples(RULES, RULES), limits=st.tuples(LIMITS, LIMITS), zone=st.sampled_from(ZONES))
    def begin(self, rules: tuple[Rule, Rule], limits: tuple[dict[str, int], dict[str, int]], zone: str) -> None:
        self.create("IKEA", "shared", rules[0], limits[0], zone, None, True, None)
        self.create("IKEA", "unique", rules[1], limits[1], zone, None, True, None)
        for user in USERS[:2]:
            self.grant_of(self.models[1], user)

    # Helpers

    def pick(self, data: st.DataObject) -> Model:
        return self.models[data.draw(st.integers(0, 2**32)) % len(self.models)]

    def outcome(self, call: Any) -> Any:
        try:
            return call()
        except Refusal as refusal:
            return refusal.word

    def live(self, use: Use, now: int) -> bool:
        return use.state == "held" and (use.hold_until or 0) > now

    def state_of(self, use: Use, now: int) -> str:
        return "released" if use.state == "held" and not self.live(use, now) else use.state

    def create(
        self, brand: str, kind: str, rule: Rule, limits: dict[str, int], zone: str,
        valid_for: int | None, returns_use: bool, window: tuple[int | None, int | None] | None,
    ) -> None:  # fmt: skip
        now = self.clock.now()
        starts_at, expires_at = (None if each is None else now + each * SECOND for each in window or (None, None))
        code = f"SALE {len(self.models)}"
        given = {"shared": {"code": code}, "personal": {"template": "{user}-{id}"}}.get(kind, {})
        found = self.stage.create(
            total=None if kind in ("shared", "personal") else 9,
            brand=brand,
            kind=kinds.make(kind, 9, given),  # type: ignore[arg-type]
            rule=rule,
            limits=limits,
            timezone=zone,
            valid_for=valid_for,
            returns_use=returns_use,
            starts_at=starts_at,
            expires_at=expires_at,
        )
        if kind == "imported":
            self.stage.take_in(found.id, [f"Own {len(self.models)} {number}" for number in range(9)])
        self.models.append(
            Model(found.id, brand, kind, code, rule, limits, zone, valid_for, returns_use, starts_at, expires_at)
        )

    def judge(self, model: Model, user: str, now: int, without_own: bool) -> tuple[dict[str, int], list[str]]:
        """What is left of each limit, and the words of those that are used up."""
        left, words = {}, []
        today, week = model.day(now), model.day(now).isocalendar()[:2]
        for name in ("total", "per_user", "per_user_per_day", "per_user_per_week"):
            if name not in model.limits:
                continue
            used = held = 0
            for use in self.uses.values():
                if use.discount is not model or (name != "total" and use.user != user):
                    continue
                if name == "per_user_per_day" and model.day(use.at) != today:
                    continue
                if name == "per_user_per_week" and model.day(use.at).isocalendar()[:2] != week:
                    continue
                used += use.final and use.counted
                held += self.live(use, now) and not (without_own and use.user == user)
            left[name] = max(0, model.limits[name] - used - held)
            if left[name] == 0:
                once = name == "per_user" and used > 0 and model.limits[name] == 1
                words.append("already-redeemed" if once else "limit-reached")
        return left, words

    def expect(self, model: Model, user: str, now: int) -> tuple[list[str], dict[str, int], bool]:
        """The words that stand in the way of somebody with the right code, what is left, and whether holds give way."""
        words = []
        if model.closed == "void":
            words.append("closed")
        if model.paused:
            words.append("paused")
        if model.starts_at is not None and now < model.starts_at:
            words.append("not-started")
        ends = [model.expires_at] if model.expires_at is not None else []
        if model.valid_for is not None and user in model.grants:
            ends.append(model.grants[user][0] + model.valid_for)
        if ends and now >= min(ends):
            words.append("expired")
        left, hit = self.judge(model, user, now, without_own=False)
        gives_way = False
        own = [use for use in self.uses.values() if use.discount is model and use.user == user and self.live(use, now)]
        if hit and own:
            left, hit = self.judge(model, user, now, without_own=True)
            gives_way = True
        return words + hit, left, gives_way

    def guessed(self, model: Model, user: str, now: int) -> list[int]:
        """The guesses of a user that still count: all of them until none came for a while."""
        place = (int(model.id[4:6], 16), user)
        found = self.guesses.setdefault(place, [])
        if found and now >= found[-1] + GUESS_SECONDS * SECOND:
            found.clear()
        return found

    # Granting

    def grant_of(self, model: Model, user: str) -> None:
        answer = self.outcome(lambda: self.stage.grant(model.id, user))
        if isinstance(answer, str):
            assert user not in model.grants
        else:
            model.grants.setdefault(user, (answer.granted_at, answer.code))
            assert model.grants[user] == (answer.granted_at, answer.code)

    @rule(
        brand=st.sampled_from(BRANDS), kind=st.sampled_from(["unique", "imported", "personal", "shared"]), given=RULES,
        limits=LIMITS, zone=st.sampled_from(ZONES), valid_for=st.sampled_from([None, None, 3 * DAY * SECOND]),
        returns_use=st.booleans(), window=st.sampled_from([None, None, None, (60, None), (None, DAY), (60, 9 * DAY)]),
    )  # fmt: skip
    @precondition(lambda self: len(self.models) < 5)
    def create_another(
        self, brand: str, kind: str, given: Rule, limits: dict[str, int], zone: str,
        valid_for: int | None, returns_use: bool, window: Any,
    ) -> None:  # fmt: skip
        self.create(brand, kind, given, limits, zone, None if kind == "shared" else valid_for, returns_use, window)
        for user in USERS[1:]:
            self.grant_of(self.models[-1], user)

    @rule(data=st.data(), user=st.sampled_from(USERS))
    def grant(self, data: st.DataObject, user: str) -> None:
        self.grant_of(self.pick(data), user)

    # At the checkout

    def attempt(
        self, data: st.DataObject, user: str, order: str, purchase: tuple[int, str], wrong: int
    ) -> tuple[Model, Attempt, bool]:
        model = self.pick(data)
        code = model.code_of(user)
        given = "nobody's code" if code is None or wrong == 0 else f" {code.lower()} "
        attempt = Attempt(user, given, Order(order, *purchase), discount_id=model.id)
        return model, attempt, code is not None and canonical(given) == canonical(code)

    @rule(
        data=st.data(), user=st.sampled_from(USERS), order=st.sampled_from(ORDERS), purchase=PURCHASES,
        wrong=st.integers(0, 9),
    )  # fmt: skip
    def validate(self, data: st.DataObject, user: str, order: str, purchase: tuple[int, str], wrong: int) -> None:
        model, attempt, right = self.attempt(data, user, order, purchase, wrong)
        now = self.clock.now()
        guessed = self.guessed(model, user, now)
        verdict = self.outcome(lambda: redemptions.validate(self.stage.store, attempt))
        if len(guessed) >= GUESSES:
            assert verdict == "too-many-guesses"
        elif not right:
            guessed.append(now)
            assert [each.word for each in verdict.reasons] == ["not-granted"]
        else:
            words, left, _ = self.expect(model, user, now)
            of_order = model.refusal_of_order(attempt.order)
            words = [of_order, *words] if of_order else words
            assert [each.word for each in verdict.reasons] == words
            assert verdict.left == left or (left == {} and not verdict.left)
            assert verdict.discount_amount == (0 if words else model.off(attempt.order.amount))

    @rule(
        data=st.data(), user=st.sampled_from(USERS), order=st.sampled_from(ORDERS), purchase=PURCHASES,
        wrong=st.integers(0, 15), hold=HOLDS, key=st.sampled_from([None, None, None, "key 1", "key 2"]),
    )  # fmt: skip
    def redeem(
        self, data: st.DataObject, user: str, order: str, purchase: tuple[int, str], wrong: int,
        hold: int | None, key: str | None,
    ) -> None:  # fmt: skip
        model, attempt, right = self.attempt(data, user, order, purchase, wrong)
        self.at_checkout(model, attempt, right, hold, key)

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def send_again(self, data: st.DataObject) -> None:
        use = data.draw(st.sampled_from(list(self.uses.values())))
        model, hold, key = use.discount, use.content[-2], use.content[-1]
        attempt = Attempt(use.user, model.code_of(use.user) or "", use.order, discount_id=model.id)
        self.at_checkout(model, attempt, True, hold, key)

    def at_checkout(self, model: Model, attempt: Attempt, right: bool, hold: int | None, key: str | None) -> None:
        now = self.clock.now()
        user, order = attempt.user_id, attempt.order
        answer = self.outcome(
            lambda: redemptions.redeem(self.stage.store, attempt, hold_seconds=hold, idempotency_key=key)
        )
        guessed = self.guessed(model, user, now)
        place, content = (model.brand, order.id), (model.id, user, order, hold)
        of_order = model.refusal_of_order(order)
        if right and not of_order:
            known = self.keys.get((model.brand, key)) if key else None
            if known and known[1] > now and known[0] != content:
                assert answer == "idempotency-mismatch"
                return
            before = self.uses.get(place)
            # Of another discount's hold it cannot be told whether it gave way: it lasts its time.
            elsewhere = before and before.discount is not model and (before.hold_until or 0) > now
            if before and (self.state_of(before, now) != "released" or elsewhere):
                if before.content[:-1] != content:
                    assert answer == "idempotency-mismatch"
                else:
                    assert (answer.fresh, answer.state, answer.redeemed_at) == (False, before.state, before.at)
                return
        if len(guessed) >= GUESSES:
            assert answer == "too-many-guesses"
            return
        if not right:
            guessed.append(now)
            assert answer == "not-granted"
            return
        if of_order:
            assert answer == of_order
            return
        words, left, gives_way = self.expect(model, user, now)
        if words:
            assert answer == words[0]
            return
        assert (answer.fresh, answer.state) == (True, "held" if hold else "redeemed")
        assert answer.discount_amount == model.off(order.amount)
        assert dict(answer.left) == {name: number - 1 for name, number in left.items()}
        if gives_way:
            for use in self.uses.values():
                if use.discount is model and use.user == user and self.live(use, now):
                    use.state = "released"
        self.uses[place] = Use(
            model.brand, order, model, user, (*content, key), answer.redeemed_at, model.off(order.amount),
            answer.hold_until, answer.state, final=not hold,
        )  # fmt: skip
        if key:
            self.keys[model.brand, key] = (content, now + discounts.IDEMPOTENCY_SECONDS * SECOND)
        if not hold:
            self.events[model.id, "code.redeemed"] += 1

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def confirm(self, data: st.DataObject) -> None:
        use = data.draw(st.sampled_from(list(self.uses.values())))
        now = self.clock.now()
        found = self.redemption_of(use)
        answer = self.outcome(lambda: redemptions.confirm(self.stage.store, found.id))
        if use.state == "redeemed":
            assert answer.state == "redeemed"
        elif self.live(use, now):
            assert (answer.state, answer.confirmed_at is not None) == ("redeemed", True)
            use.state, use.final = "redeemed", True
            self.events[use.discount.id, "code.redeemed"] += 1
        else:
            assert answer == "hold-ended"

    @precondition(lambda self: self.uses)
    @rule(data=st.data())
    def roll_back(self, data: st.DataObject) -> None:
        use = data.draw(st.sampled_from(list(self.uses.values())))
        now = self.clock.now()
        found = self.redemption_of(use)
        answer = redemptions.roll_back(self.stage.store, found.id, "because")
        before = self.state_of(use, now)
        if before in ("redeemed", "held"):
            use.state = "rolled-back"
            use.counted = not use.discount.returns_use
            self.events[use.discount.id, "redemption.rolled-back"] += 1
            assert answer.reason == "because"
        assert answer.state == self.state_of(use, now)

    def redemption_of(self, use: Use) -> Any:
        page = redemptions.list_of_user(self.stage.store, use.user, brand_id=use.brand)
        return next(each for each in page.redemptions if each.order.id == use.order.id)

    # Changing, and time

    @rule(data=st.data(), limits=LIMITS, gone=st.booleans())
    def change_limits(self, data: st.DataObject, limits: dict[str, int], gone: bool) -> None:
        model = self.pick(data)
        changes: dict[str, int | None] = dict(limits)
        if gone:
            changes |= dict.fromkeys(set(model.limits) - set(limits))
        answer = self.outcome(lambda: self.stage.change(model.id, limits=changes))
        if model.closed:
            assert answer == "closed"
        else:
            merged = model.limits | changes
            model.limits = {name: number for name, number in merged.items() if number is not None}

    @rule(data=st.data())
    def pause_or_resume(self, data: st.DataObject) -> None:
        model = self.pick(data)
        if not model.closed:
            model.paused = not model.paused
            self.stage.change(model.id, paused=model.paused)

    @precondition(lambda self: sum(not model.closed for model in self.models) > 2)
    @rule(data=st.data(), void=st.booleans())
    def close(self, data: st.DataObject, void: bool) -> None:
        model = self.pick(data)
        self.stage.close(model.id, void=void)
        model.closed = "void" if void or model.closed == "void" else "keep"

    @rule(seconds=st.sampled_from([30, 61, 1000, 7201, DAY, 2 * DAY, 7 * DAY, 40 * DAY]))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.move(seconds)

    @rule(zone=st.sampled_from(ZONES), before=st.booleans())
    def go_to_midnight(self, zone: str, before: bool) -> None:
        here = datetime.fromtimestamp(self.clock.now() / SECOND, ZoneInfo(zone))
        midnight = datetime.combine(here.date() + timedelta(days=1), datetime.min.time(), ZoneInfo(zone))
        left = int((midnight.astimezone(UTC) - here.astimezone(UTC)).total_seconds())
        # Far enough from it that no slow step crosses it unseen.
        self.clock.move(max(0, left - 120) if before else left + 2)

    @rule()
    def another_replica_goes_on(self) -> None:
        self.stage.store.definitions.clear()

    # Looking

    @invariant()
    def every_discount_is_as_the_model_says(self) -> None:
        now = self.clock.now()
        for model in self.models:
            found = self.stage.show(model.id)
            mine = [use for use in self.uses.values() if use.discount is model]
            states = Counter(self.state_of(use, now) for use in mine)
            assert (found.redeemed_count, found.on_hold_count) == (states["redeemed"], states["held"])
            assert dict(found.limits) == model.limits
            sums: dict[str, list[int]] = {}
            for use in mine:
                both = sums.setdefault(use.order.currency, [0, 0]) if use.final else [0, 0]
                if use.state == "redeemed":
                    both[0] += use.order.amount
                    both[1] += use.off
            assert {each: [told.orders, told.discounts] for each, told in found.sums.items() if told.orders} == {
                currency: both for currency, both in sums.items() if both[0]
            }

    def teardown(self) -> None:
        now = self.clock.now()
        for model in self.models:
            listed = {each.order.id: each.state for each in redemptions.list_all(self.stage.store, model.id)}
            mine = {use.order.id: self.state_of(use, now) for use in self.uses.values() if use.discount is model}
            assert listed == mine
            told = Counter(
                each["type"] for each in self.stage.events(self.stage.show(model.id)) if each.get("redemption")
            )
            assert told == Counter(
                {kind: count for (of, kind), count in self.events.items() if of == model.id and count}
            )
        for user in USERS:
            shown = redemptions.list_of_user(self.stage.store, user).redemptions
            assert {(each.brand_id, each.order.id, each.state) for each in shown} == {
                (use.brand, use.order.id, self.state_of(use, now)) for use in self.uses.values() if use.user == user
            }


def run(stage: Stage, monkeypatch: pytest.MonkeyPatch, examples: int, steps: int) -> None:
    for name, value in (("USER_GUESSES", GUESSES), ("GUESS_SECONDS", GUESS_SECONDS)):
        monkeypatch.setattr(redemptions, name, value)
    machine = type("Machine", (Calls,), {"stage": stage, "clock": Clock(stage.redis, monkeypatch)})
    run_state_machine_as_test(
        machine,
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            suppress_health_check=list(HealthCheck),
            # Making a failure smaller takes minutes; as it is found it has a few dozen steps.
            phases=[Phase.generate],
        ),
    )


def test_any_checkouts_on_fakeredis_leave_what_the_model_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    run(fake_stage(), monkeypatch, examples=25, steps=30)


def test_any_checkouts_on_redis_leave_what_the_model_leaves(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(real_stage(redis_server), monkeypatch, examples=100, steps=40)
