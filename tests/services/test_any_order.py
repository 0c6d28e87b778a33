"""Any calls in any order, compared with a plain model of the service."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from discount.domain.errors import NotFound, Refusal
from discount.domain.ids import make_discount_id
from discount.domain.model import Grant
from discount.services import brand_grants, discounts, grants
from tests.services.harness import (
    BRANDS,
    SECOND,
    ServiceHarness,
    fake_harness,
    flat,
    real_harness,
)
from tests.support.machines import run_in_batches
from tests.support.redis_server import RedisServer

USERS = [f"User {number}" for number in range(6)]
# Two brands of one partition and one of another.
MAKERS = ["b9", "b10", BRANDS[0]]
TOTALS = st.integers(1, 7)
# Filled in blocks of two, so that a handful of calls meets empty pools.
BLOCK = 2


@dataclass
class Model:
    """The plainest model of a discount."""

    id: str
    brand: str
    total: int
    paused: bool = False
    closed: str = ""
    codes: dict[str, str] = field(default_factory=dict)

    def refusal(self) -> str:
        if self.closed:
            return "closed"
        if self.paused:
            return "paused"
        return "sold-out" if len(self.codes) == self.total else ""

    def status(self) -> str:
        return self.refusal() or "active"


class Calls(RuleBasedStateMachine):
    """The services on one side, the model on the other."""

    harness: ServiceHarness

    def __init__(self) -> None:
        super().__init__()
        self.models: dict[str, Model] = {}
        self.idempotent: dict[tuple[str, str], tuple[int, str]] = {}

    @initialize(first=st.lists(st.tuples(st.sampled_from(MAKERS), TOTALS), max_size=5))
    def begin(self, first: list[tuple[str, int]]) -> None:
        self.harness.redis.flushall()
        self.harness.store.prepare()
        for brand, total in first:
            self.create(brand, total)

    @property
    def newest_first(self) -> list[Model]:
        return list(self.models.values())[::-1]

    def pick(self, data: st.DataObject) -> Model:
        return self.models[data.draw(st.sampled_from(list(self.models)))]

    def outcome(self, call: Any) -> Any:
        try:
            return call()
        except Refusal as refusal:
            return refusal.slug

    def take(self, model: Model, user: str, answer: Any) -> None:
        """Check a grant's answer, and note it in the model."""
        if user in model.codes:
            assert (answer.code, answer.fresh) == (model.codes[user], False)
        elif model.refusal():
            assert answer == model.refusal()
        else:
            assert (answer.discount_id, answer.user_id, answer.fresh) == (model.id, user, True)
            assert answer.code not in model.codes.values()
            model.codes[user] = answer.code

    @rule(brand=st.sampled_from(MAKERS), total=TOTALS)
    def create_one(self, brand: str, total: int) -> None:
        self.create(brand, total)

    def create(self, brand: str, total: int) -> None:
        found = self.harness.create(total=total, brand=brand)
        assert found.id not in self.models
        self.models[found.id] = Model(found.id, brand, total)

    @rule(brand=st.sampled_from(MAKERS), total=TOTALS, key=st.sampled_from(["one", "two"]))
    def create_with_a_key(self, brand: str, total: int, key: str) -> None:
        answer = self.outcome(lambda: self.harness.create(total=total, brand=brand, idempotency_key=key))
        known = self.idempotent.get((brand, key))
        if known is None:
            self.idempotent[brand, key] = (total, answer.id)
            self.models[answer.id] = Model(answer.id, brand, total)
        elif known[0] != total:
            assert answer == "idempotency-mismatch"
        else:
            assert answer.id == known[1]

    @rule(brand=st.sampled_from(MAKERS), total=TOTALS, age=st.integers(1, 5))
    def create_with_an_expiry_that_has_passed(self, brand: str, total: int, age: int) -> None:
        expires_at = self.harness.now() - age * SECOND
        answer = self.outcome(lambda: self.harness.create(total=total, brand=brand, expires_at=expires_at))
        assert answer == "invalid"

    @precondition(lambda self: self.models)
    @rule(data=st.data(), user=st.sampled_from(USERS))
    def grant(self, data: st.DataObject, user: str) -> None:
        model = self.pick(data)
        self.take(model, user, self.outcome(lambda: self.harness.grant(model.id, user)))

    @precondition(lambda self: self.models)
    @rule(data=st.data(), users=st.lists(st.sampled_from(USERS), min_size=1, max_size=9))
    def grant_many(self, data: st.DataObject, users: list[str]) -> None:
        model = self.pick(data)
        outcomes = grants.grant_many(self.harness.store, model.id, users)
        for user, each in zip(users, outcomes, strict=True):
            self.take(model, user, each if isinstance(each, Grant) else each.slug)

    @rule(brand=st.sampled_from(MAKERS), user=st.sampled_from(USERS))
    def grant_of_a_brand(self, brand: str, user: str) -> None:
        answer = self.outcome(lambda: brand_grants.grant_of_brand(self.harness.store, brand, user))
        own = [model for model in self.newest_first if model.brand == brand]
        held = {model.codes[user] for model in own if user in model.codes and model.closed != "void"}
        is_open = [model for model in own if not model.refusal()]
        if held:
            assert answer.code in held
            assert not answer.fresh
        elif is_open:
            self.take(is_open[0], user, answer)
        else:
            assert answer == ("sold-out" if own else "not-found")

    @precondition(lambda self: self.models)
    @rule(data=st.data(), total=TOTALS)
    def change_the_total(self, data: st.DataObject, total: int) -> None:
        model = self.pick(data)
        answer = self.outcome(lambda: self.harness.change(model.id, total_count=total))
        if model.closed:
            assert answer == "closed"
        elif total < len(model.codes):
            assert answer == "below-granted"
        else:
            model.total = total

    @precondition(lambda self: self.models)
    @rule(data=st.data(), paused=st.booleans())
    def pause_or_resume(self, data: st.DataObject, paused: bool) -> None:
        model = self.pick(data)
        answer = self.outcome(lambda: self.harness.change(model.id, paused=paused))
        if model.closed:
            assert answer == "closed"
        else:
            model.paused = paused

    @precondition(lambda self: self.models)
    @rule(data=st.data(), void=st.booleans())
    def close(self, data: st.DataObject, void: bool) -> None:
        model = self.pick(data)
        model.closed = "void" if void or model.closed == "void" else "keep"
        model.paused = False
        assert self.harness.close(model.id, void=void).closed == model.closed

    @rule(partition=st.integers(0, 20))
    def ask_for_what_is_not_there(self, partition: int) -> None:
        unknown = make_discount_id(partition, 5)
        for call in (self.harness.show, self.harness.grant, self.harness.close):
            with pytest.raises(NotFound):
                call(unknown)

    @rule(limit=st.integers(1, 4), brand=st.none() | st.sampled_from(MAKERS))
    def list_discounts(self, limit: int, brand: str | None) -> None:
        self.check_lists(limit, brand)

    def check_lists(self, limit: int, brand: str | None) -> None:
        wanted = [model for model in self.newest_first if brand in (None, model.brand)]
        assert self.harness.list_ids(limit, brand_id=brand) == [model.id for model in wanted]
        for status in ("active", "paused", "sold-out", "closed"):
            found = self.harness.list_ids(limit, brand_id=brand, status=status)
            assert found == [model.id for model in wanted if model.status() == status]

    @rule(limit=st.integers(1, 4), user=st.sampled_from(USERS), brand=st.none() | st.sampled_from(MAKERS))
    def list_what_a_user_holds(self, limit: int, user: str, brand: str | None) -> None:
        listed = flat(self.harness.pages_of_user(user, limit, brand))
        wanted = {
            (model.id, model.codes[user])
            for model in self.models.values()
            if user in model.codes and brand in (None, model.brand)
        }
        assert {(each.discount_id, each.code) for each in listed} == wanted
        assert len(listed) == len(wanted)

    @precondition(lambda self: self.models)
    @rule(data=st.data(), limit=st.integers(1, 4))
    def list_who_holds(self, data: st.DataObject, limit: int) -> None:
        model = self.pick(data)
        listed = flat(self.harness.pages_of_grants(model.id, limit))
        assert {each.user_id: each.code for each in listed} == model.codes
        assert len(listed) == len(model.codes)

    @invariant()
    def every_discount_is_as_the_model_says(self) -> None:
        for model in self.models.values():
            found, now = discounts.show(self.harness.store, model.id)
            assert (found.total_count, found.granted_count, found.paused, found.closed) == (
                model.total,
                len(model.codes),
                model.paused,
                model.closed,
            )
            assert found.status(now) == model.status()

    def teardown(self) -> None:
        self.harness.check()
        for limit in (1, 2):
            self.check_lists(limit, None)
            self.check_lists(limit, MAKERS[0])


def run(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, examples: int, steps: int) -> None:
    monkeypatch.setattr(discounts, "FIRST_BLOCK", BLOCK)
    machine = type("Machine", (Calls,), {"harness": harness})
    run_in_batches(machine, examples, steps)


def test_random_calls_on_fakeredis_match_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    run(fake_harness(), monkeypatch, examples=12, steps=20)


def test_random_calls_on_redis_match_the_model(redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch) -> None:
    run(real_harness(redis_server), monkeypatch, examples=50, steps=25)
