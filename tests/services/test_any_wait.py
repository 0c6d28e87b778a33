"""Waiting lists, paced release and claims in any order of calls, compared with a plain model; the clock moves."""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from discount.domain import durations
from discount.domain.errors import Refusal
from discount.domain.releases import Release
from discount.domain.rules import Order
from discount.services import (
    claims,
    grant_lists,
    grant_records,
    grants,
    next_waits,
    redemptions,
    revocations,
    users,
    waiting_lists,
)
from discount.services.checkouts import Checkout
from discount.store import keys
from discount.worker.waiting_lists import WaitingLists
from tests.services.harness import SECOND, ServiceHarness, fake_harness
from tests.support.clock import Clock
from tests.support.machines import run_in_batches

NAMES = [f"User {number}" for number in range(8)]
USERS = st.sampled_from(NAMES)
MINUTE = 60 * SECOND
#: Users to whom one script hands out codes.
AT_ONCE = 2
WITHIN = "PT10M"


@dataclass
class Model:
    """The plainest model of a discount with a waiting list."""

    total: int
    now: int
    release: Release | None = None
    paused: bool = False
    #: Users who hold a code, with the time of their grant.
    held: dict[str, int] = field(default_factory=dict)
    waits: list[str] = field(default_factory=list)
    #: Users who may be granted no other code, and users who have used one.
    blocked: set[str] = field(default_factory=set)
    used: set[str] = field(default_factory=set)
    void: int = 0

    @property
    def granted(self) -> int:
        return len(self.held) + self.void

    def refusal(self) -> str:
        """Return why no code can be granted now; empty if one can."""
        if self.paused:
            return "paused"
        if self.granted >= self.total:
            return "sold-out"
        is_released = self.release is None or self.release.released_at(self.granted) <= self.now
        return "" if is_released else "not-released"

    def serve(self, most: int = 100) -> None:
        while self.waits and most and not self.paused:
            if self.waits[0] not in self.held and self.waits[0] not in self.blocked:
                if self.refusal():
                    return
                self.held[self.waits[0]] = self.now
            del self.waits[0]
            most -= 1

    def grant(self, user: str) -> str:
        if user in self.held or user in self.blocked:
            return "held" if user in self.held else "revoked"
        if self.waits and not self.refusal():
            # Whoever asks has the list served first.
            self.serve()
            if user in self.held:
                return "held"
        if self.refusal():
            return self.refusal()
        self.held[user] = self.now
        return "held"

    def wait(self, user: str) -> str:
        if user in self.waits:
            return str(self.waits.index(user) + 1)
        if user in self.blocked or user in self.held:
            return "revoked" if user in self.blocked else "already-granted"
        if not self.waits and not self.refusal():
            return "codes-left"
        self.waits.append(user)
        return str(len(self.waits))

    def end_claims(self) -> None:
        """Take back what was not used in time, the earliest first."""
        due = [(at, user) for user, at in self.held.items() if at + 10 * MINUTE <= self.now and user not in self.used]
        for _, user in sorted(due):
            del self.held[user]
            self.serve(AT_ONCE)
        self.serve()


class Calls(RuleBasedStateMachine):
    """The services on one side, the model on the other."""

    harness: ServiceHarness
    clock: Clock

    @initialize(total=st.integers(1, 4), per_minute=st.none() | st.integers(1, 3), ahead=st.integers(-2, 2))
    def begin(self, total: int, per_minute: int | None, ahead: int) -> None:
        self.harness.redis.flushall()
        self.clock.reset()
        self.harness.store.prepare()
        self.harness.store.sold_out.clear()
        self.clock.move(1)
        release = None if per_minute is None else Release(self.clock.now() + ahead * MINUTE, per_minute)
        made = self.harness.create(total=total, release=release, claim_within=durations.read(WITHIN))
        self.id, self.partition, self.seen, self.forgotten = made.id, made.partition, "-", 0
        self.model = Model(total, self.clock.now(), release)

    def outcome(self, call: Any) -> Any:
        try:
            return call()
        except Refusal as refused:
            refusal = refused
        if refusal.slug == "not-released":
            assert self.model.release is not None
            expected = self.model.release.released_at(self.model.granted + len(self.model.waits))
            assert int(refusal.facts["opens_at"]) == expected
        return refusal.slug

    @rule(user=USERS)
    def grant(self, user: str) -> None:
        expected = self.model.grant(user)
        found = self.outcome(lambda: grants.grant(self.harness.store, self.id, user) and "held")
        assert found == expected

    @rule(user=USERS)
    def wait(self, user: str) -> None:
        found = self.outcome(lambda: str(waiting_lists.wait(self.harness.store, self.id, user).place))
        assert found == self.model.wait(user)

    @rule(user=USERS)
    def leave(self, user: str) -> None:
        found = self.outcome(lambda: waiting_lists.leave(self.harness.store, self.id, user))
        assert found == (None if user in self.model.waits else "not-waiting")
        if user in self.model.waits:
            self.model.waits.remove(user)

    @rule(user=USERS, back=st.sampled_from(["pool", "pool", "void", "next"]), reissue=st.booleans(), other=USERS)
    def revoke(self, user: str, back: Any, reissue: bool, other: str) -> None:
        model = self.model
        if user not in model.held:
            return
        of_next = "revoked" if other in model.blocked else "already-granted" if other in model.held else ""
        if back == "next" and (model.paused or of_next):
            return
        next_user = other if back == "next" else None
        more: Any = {"back": back, "reissue": reissue, "next_user_id": next_user}
        revocations.revoke(self.harness.store, self.id, user, **more)
        del model.held[user]
        model.blocked |= set() if reissue else {user}
        model.void += back == "void"
        if next_user:
            model.held[next_user] = model.now
        if back == "pool":
            model.serve(AT_ONCE)

    @rule(user=USERS)
    def redeem(self, user: str) -> None:
        if user not in self.model.held or user in self.model.used or self.model.paused:
            return
        code = grant_records.held_grant(self.harness.store, self.id, user).code
        order = Order(f"of {user} at {self.model.now}", 1000, "EUR")
        redemptions.redeem(self.harness.store, Checkout(user, code, order, discount_id=self.id))
        self.model.used.add(user)

    @rule(more=st.integers(-1, 5))
    def resize(self, more: int) -> None:
        total = self.model.total + more
        if total < 1:
            return
        found = self.outcome(lambda: self.harness.change(self.id, total_count=total) and None)
        if total < self.model.granted:
            assert found == "below-granted"
            return
        self.model.total = total
        self.model.serve(AT_ONCE)

    @rule(paused=st.booleans())
    def pause(self, paused: bool) -> None:
        self.harness.change(self.id, paused=paused)
        self.model.paused = paused
        self.model.serve(AT_ONCE)

    @rule(per_minute=st.none() | st.integers(1, 3))
    def change_pace(self, per_minute: int | None) -> None:
        release = None if per_minute is None else Release(self.model.now, per_minute)
        self.harness.change(self.id, release=release)
        if release is not None:
            release = Release(release.at, release.per_minute, self.model.granted)
        self.model.release = release
        self.model.serve(AT_ONCE)

    @rule(user=USERS)
    def forget(self, user: str) -> None:
        users.forget(self.harness.store, user)
        model = self.model
        if user in model.waits:
            model.waits.remove(user)
        model.blocked.discard(user)
        model.used.discard(user)
        if user in model.held:
            self.forgotten += 1
            alias = f"forgotten {self.forgotten}"
            model.held[alias] = model.held.pop(user)
            model.used.add(alias)

    @rule(seconds=st.sampled_from([7, 20, 60, 130, 600]))
    def let_time_pass(self, seconds: int) -> None:
        self.clock.move(seconds)
        self.model.now = self.clock.now()

    @rule()
    def work(self) -> None:
        """Let the worker take one turn."""
        WaitingLists(self.harness.store).turn()
        self.model.end_claims()

    @invariant()
    def compare(self) -> None:
        self._note_claims()
        model, store = self.model, self.harness.store
        held = {each.user_id for each in grant_lists.list_all(store, self.id)}
        assert {each for each in held if not each.startswith("forgotten-")} == model.held.keys() & set(NAMES)
        assert len(held) == len(model.held)
        waits = [each.user_id for each in waiting_lists.list_page(store, self.id).items]
        assert waits == model.waits
        shown = self.harness.show(self.id)
        assert (shown.granted_count, shown.total_count) == (model.granted, model.total)
        assert (shown.waiting_count, shown.revoked_count) == (len(waits), model.void)
        used = self.harness.redis.hget(keys.usage(self.partition), "waits IKEA")
        assert int(used or 0) == len(waits)
        codes = [each.code for each in grant_lists.list_all(store, self.id)] + self.harness.pool(self.id)
        assert len(set(codes)) == len(codes)
        assert self.harness.redis.zcard(keys.waits_due(self.partition)) == bool(waits)

    def _note_claims(self) -> None:
        """Read new events as the planner does."""
        for entry_id, entry in self.harness.redis.xrange(keys.events(self.partition), min=self.seen):
            self.seen = f"({entry_id}"
            if entry["type"] == "code.granted":
                claims.note(self.harness.store, self.id, entry["user"], int(entry["at"]), WITHIN)


def test_lists_agree_with_a_plain_model_in_any_order(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(next_waits, "AT_ONCE", AT_ONCE)
    Calls.harness = fake_harness()
    Calls.clock = Clock(Calls.harness.redis, monkeypatch)
    run_in_batches(Calls, 40, 40)


def test_each_code_of_a_minute_is_released_at_its_own_time() -> None:
    for per_minute in (1, 3, 7, 60, 999_983, 1_000_000):
        release = Release(1_700_000_000_000_000, per_minute)
        assert [release.released_at(n * per_minute) for n in (0, 1, 10)] == [
            release.at + n * MINUTE for n in (0, 1, 10)
        ]
        times = [release.released_at(n) for n in range(20)]
        assert times == sorted(set(times))
