"""Waiting lists, paced release, claims and identities in any order of calls, compared with a plain model.

The clock moves.
"""

from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from discount.domain import durations
from discount.domain.errors import Refusal
from discount.domain.identity import Identity
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
HELD_FOR = 300


def card_of(user: str) -> str:
    """Return the card of a user. Two users have the same one."""
    return f"card {(NAMES.index(user)) // 2}"


def identity_of(user: str) -> Identity:
    return Identity((("card", card_of(user).encode()),))


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
    #: Users whose card nobody else may use; None where the discount asks for no identity.
    claimed: set[str] | None = None
    #: Users who waited, got or used a code: what they claimed stays.
    keeps_claim: set[str] = field(default_factory=set)
    #: Ends of the users' holds, and when a worker looks at a code that has to be used in time.
    holds: dict[str, int] = field(default_factory=dict)
    looks: dict[str, int] = field(default_factory=dict)

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
                self.hold(self.waits[0])
            del self.waits[0]
            most -= 1

    def hold(self, user: str) -> None:
        """Let a user hold a code, which has to be used in time."""
        self.held[user] = self.now
        self.looks[user] = self.now + 10 * MINUTE
        self.keeps_claim.add(user)

    def let_go(self, user: str) -> None:
        del self.held[user]
        self.looks.pop(user, None)

    def claim(self, user: str, *, named: bool = True) -> str:
        """Claim the card of a user; return why that is refused."""
        if self.claimed is None or user in self.claimed:
            return ""
        if not named:
            return "identity-missing"
        if any(card_of(each) == card_of(user) for each in self.claimed):
            return "already-granted-elsewhere"
        self.claimed.add(user)
        return ""

    def grant(self, user: str) -> str:
        if user in self.held or user in self.blocked:
            return "held" if user in self.held else "revoked"
        if self.waits and not self.refusal():
            # Whoever asks has the list served first.
            self.serve()
            if user in self.held:
                return "held"
        refusal = self.refusal() or self.claim(user)
        if refusal:
            return refusal
        self.hold(user)
        return "held"

    def grant_many(self, several: list[str]) -> list[str]:
        """Serve the list if anybody asks for a code that is for those who wait; then let each have what is left."""
        if self.waits and not self.refusal() and not {*several} <= self.held.keys() | self.blocked:
            self.serve()
        outcomes = []
        for user in several:
            outcome = "held" if user in self.held else "revoked" if user in self.blocked else ""
            outcome = outcome or self.refusal() or self.claim(user, named=False)
            if not outcome:
                self.hold(user)
            outcomes.append(outcome or "held")
        return outcomes

    def wait(self, user: str) -> str:
        if user in self.waits:
            return str(self.waits.index(user) + 1)
        if user in self.blocked or user in self.held:
            return "revoked" if user in self.blocked else "already-granted"
        if not self.waits and not self.refusal():
            return "codes-left"
        refusal = self.claim(user)
        if refusal:
            return refusal
        self.waits.append(user)
        return str(len(self.waits))

    def end_claims(self) -> None:
        """Take back what has to be used by now and has neither a use nor a hold, in the order of the looks."""
        for _, user in sorted((at, user) for user, at in self.looks.items() if at <= self.now):
            del self.looks[user]
            if user not in self.held or user in self.used:
                continue
            later = [each for each in (self.held[user] + 10 * MINUTE, self.holds.get(user, 0)) if each > self.now]
            if later:
                self.looks[user] = later[0]
                continue
            self.let_go(user)
            self.serve(AT_ONCE)
        self.serve()


class Calls(RuleBasedStateMachine):
    """The services on one side, the model on the other."""

    harness: ServiceHarness
    clock: Clock

    @initialize(
        total=st.integers(1, 4),
        per_minute=st.none() | st.integers(1, 3),
        ahead=st.integers(-2, 2),
        asks=st.booleans(),
    )
    def begin(self, total: int, per_minute: int | None, ahead: int, asks: bool) -> None:
        self.harness.redis.flushall()
        self.clock.reset()
        self.harness.store.prepare()
        self.harness.store.sold_out.clear()
        self.clock.move(1)
        release = None if per_minute is None else Release(self.clock.now() + ahead * MINUTE, per_minute)
        limits: Any = {"per_user": 1} | ({"per_identity": 1} if asks else {})
        made = self.harness.create(total=total, release=release, claim_within=durations.read(WITHIN), limits=limits)
        self.id, self.partition, self.seen, self.forgotten = made.id, made.partition, "-", 0
        self.model = Model(total, self.clock.now(), release, claimed=set() if asks else None)
        self.redemptions: dict[str, str] = {}
        self.orders = 0

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
        given: Any = {"identity": identity_of(user)}
        found = self.outcome(lambda: grants.grant(self.harness.store, self.id, user, **given) and "held")
        assert found == expected

    @rule(several=st.lists(USERS, min_size=1, max_size=5, unique=True))
    def grant_many(self, several: list[str]) -> None:
        expected = self.model.grant_many(several)
        found = grants.grant_many(self.harness.store, self.id, several)
        assert [each.slug if isinstance(each, Refusal) else "held" for each in found] == expected

    @rule(user=USERS)
    def wait(self, user: str) -> None:
        given: Any = {"identity": identity_of(user)}
        found = self.outcome(lambda: str(waiting_lists.wait(self.harness.store, self.id, user, **given).place))
        assert found == self.model.wait(user)

    @rule(user=USERS)
    def leave(self, user: str) -> None:
        found = self.outcome(lambda: waiting_lists.leave(self.harness.store, self.id, user))
        assert found == (None if user in self.model.waits else "not-waiting")
        if user in self.model.waits:
            self.model.waits.remove(user)
            if self.model.claimed is not None and user not in self.model.keeps_claim:
                self.model.claimed.discard(user)

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
        model.let_go(user)
        model.blocked |= set() if reissue else {user}
        model.void += back == "void"
        if next_user:
            model.hold(next_user)
        if back == "pool":
            model.serve(AT_ONCE)

    @rule(user=USERS, held=st.booleans())
    def redeem(self, user: str, held: bool) -> None:
        model = self.model
        if user not in model.held or user in model.used or model.paused:
            return
        code = grant_records.held_grant(self.harness.store, self.id, user).code
        self.orders += 1
        order = Order(f"order {self.orders}", 1000, "EUR")
        checkout = Checkout(user, code, order, discount_id=self.id, identity=identity_of(user))
        refusal = model.claim(user)
        seconds = HELD_FOR if held else None
        made = self.outcome(lambda: redemptions.redeem(self.harness.store, checkout, hold_seconds=seconds).id)
        if refusal:
            assert made == refusal
            return
        if model.holds.pop(user, 0) > model.now:
            # The new use takes the place of the hold.
            model.looks[user] = model.now
        self.redemptions[user] = made
        if held:
            model.holds[user] = model.now + HELD_FOR * SECOND
        else:
            model.used.add(user)

    @rule(user=USERS)
    def roll_back(self, user: str) -> None:
        model, made = self.model, self.redemptions.pop(user, None)
        if made is None:
            return
        redemptions.roll_back(self.harness.store, made)
        if user in model.used or model.holds.get(user, 0) > model.now:
            model.looks[user] = model.now
        model.used.discard(user)
        model.holds.pop(user, None)

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
        for kept in (model.blocked, model.used, model.keeps_claim, model.claimed or set()):
            kept.discard(user)
        model.holds.pop(user, None)
        model.looks.pop(user, None)
        self.redemptions.pop(user, None)
        if user in model.held:
            self.forgotten += 1
            model.held[f"forgotten {self.forgotten}"] = model.held.pop(user)

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
        # The name of a user in what is claimed has sixteen letters, a digest fifteen.
        stored = [self.harness.redis.hkeys(name) for name in self.harness.redis.keys("*:identities:*")]
        assert sum(len(each) == 16 for fields in stored for each in fields) == len(model.claimed or ())

    def _note_claims(self) -> None:
        """Read new events as the planner does."""
        for entry_id, entry in self.harness.redis.xrange(keys.events(self.partition), min=self.seen):
            self.seen = f"({entry_id}"
            if entry["type"] == "code.granted":
                claims.note(self.harness.store, self.id, entry["user"], int(entry["at"]), WITHIN)
            elif entry["type"] in claims.UNDONE:
                claims.note_undone(self.harness.store, self.id, entry["user"], int(entry["at"]))


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
