"""An identity is claimed in the step that grants a code, counts a use or begins a wait: both are there, or none."""

from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from discount.domain import code_kinds
from discount.domain.combinations import CLASSES
from discount.domain.errors import AlreadyGrantedElsewhere, IdentityMissing, Refusal, Unavailable
from discount.domain.identity import Identity, Part
from discount.domain.rules import Order, Rule
from discount.services import (
    discounts,
    grants,
    identities,
    redemptions,
    revocations,
    several_codes,
    users,
    waiting_lists,
)
from discount.services.checkouts import Checkout
from tests.services.harness import ServiceHarness, fake_harness


def person(card: str, **more: str) -> Identity:
    parts: list[tuple[Part, bytes]] = [("card", card.encode())]
    return Identity((*parts, *((name, value.encode()) for name, value in more.items())))  # type: ignore[arg-type]


ANN = person("1", email="ann@x.example")


@pytest.fixture
def harness() -> ServiceHarness:
    return fake_harness()


def opened(harness: ServiceHarness, total: int | None = 3, code: str = "", **more: Any) -> str:
    """Create a discount of which one user of an identity may have a code."""
    kind = code_kinds.make("shared", total, {"code": code}) if code else code_kinds.unique(total or 1)
    return harness.create(total=total, kind=kind, limits={"per_user": 1, "per_identity": 1}, **more).id


def claimants(harness: ServiceHarness, discount_id: str) -> int:
    """Return how many users have claimed something of a discount."""
    names = harness.redis.keys(f"*:{discount_id}:identities:*")
    # The name of a user has sixteen letters, a digest fifteen.
    return sum(len(each) == 16 for name in names for each in harness.redis.hkeys(name))


def checkout(user: str, code: str, order: str = "A-1", identity: Identity | None = ANN) -> Checkout:
    return Checkout(user, code, Order(order, 1000, "EUR"), brand_id="IKEA", identity=identity)


class Crash:
    """A store whose n-th exchange fails, before Redis has it or after."""

    def __init__(self, harness: ServiceHarness, n: int, *, after: bool) -> None:
        self._exchange, self._n, self._after = harness.store._exchange, n, after
        self.has_come = False

    def __call__(self, commands: Any) -> Any:
        self._n -= 1
        self.has_come |= self._n == 0
        if self._n == 0 and not self._after:
            raise Unavailable
        replies = self._exchange(commands)
        if self._n == 0:
            raise Unavailable
        return replies


def grant(harness: ServiceHarness, user: str) -> Callable[[], Any]:
    made = opened(harness)
    return lambda: grants.grant(harness.store, made, user, identity=ANN)


def wait(harness: ServiceHarness, user: str) -> Callable[[], Any]:
    made = opened(harness, 1)
    grants.grant(harness.store, made, "Holder", identity=person("9"))
    return lambda: waiting_lists.wait(harness.store, made, user, identity=ANN)


def redeem(harness: ServiceHarness, user: str) -> Callable[[], Any]:
    opened(harness, None, "ONE")
    return lambda: redemptions.redeem(harness.store, checkout(user, "one"))


def redeem_two(harness: ServiceHarness, user: str) -> Callable[[], Any]:
    for code in ("ONE", "TWO"):
        opened(harness, None, code, rule=Rule(percent=1_000, combines=CLASSES))
    return lambda: several_codes.redeem(harness.store, checkout(user, ""), ["one", "two"])


@pytest.mark.parametrize("known", [True, False], ids=["known", "new"])
@pytest.mark.parametrize("begin", [grant, wait, redeem, redeem_two])
def test_no_crash_leaves_a_claim_without_what_it_was_for(
    monkeypatch: pytest.MonkeyPatch, begin: Callable[..., Any], known: bool
) -> None:
    for n in range(1, 20):
        for after in (False, True):
            harness = fake_harness()
            call = begin(harness, "Ann")
            if not known:
                harness.store.definitions.clear()
            discount_ids = harness.list_ids()
            before = harness.state()
            crash = Crash(harness, n, after=after)
            with monkeypatch.context() as patched:
                patched.setattr(harness.store, "_exchange", crash)
                with suppress(Unavailable):
                    call()
            is_done = harness.state() != before
            others = 1 if begin is wait else 0
            assert {claimants(harness, each) - others for each in discount_ids} == {int(is_done)}
            # The same user repeats the call; then nobody else has this identity.
            call()
            assert {claimants(harness, each) - others for each in discount_ids} == {1}
        if not crash.has_come:
            return
    raise AssertionError("the call never ends")


def test_a_known_discount_claims_in_the_one_exchange_of_a_grant_and_of_a_wait(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    for begin in (grant, wait):
        call = begin(harness, "Ann")
        # The first run of a script loads it.
        begin(harness, "Ann")()
        for discount_id in harness.list_ids():
            discounts.get_definition(harness.store, discount_id)
        counted = Crash(harness, 1_000, after=True)
        with monkeypatch.context() as patched:
            patched.setattr(harness.store, "_exchange", counted)
            call()
        assert counted._n == 999


@pytest.mark.parametrize("begin", [grant, wait, redeem, redeem_two])
def test_a_refused_call_claims_nothing(harness: ServiceHarness, begin: Callable[..., Any]) -> None:
    begin(harness, "Ann")()
    before = harness.state()
    for discount_id in harness.list_ids():
        for identity in (None, ANN, person("2", email="ann@x.example")):
            calls: dict[Callable[..., Any], Callable[..., Any]] = {
                grant: partial(grants.grant, harness.store, discount_id, "Bo", identity=identity),
                wait: partial(waiting_lists.wait, harness.store, discount_id, "Bo", identity=identity),
            }
            checked = checkout("Bo", "one", "A-2", identity)
            call = calls.get(begin, partial(redemptions.redeem, harness.store, checked))
            with pytest.raises((AlreadyGrantedElsewhere, IdentityMissing)):
                call()
            if begin in (redeem, redeem_two):
                (reason,) = redemptions.validate(harness.store, checked).reasons
                assert reason.facts.get("part") in (None, "card", "email")
    told = [name for name in harness.state() if harness.state()[name] != before.get(name)]
    assert all("events" in name or "identities" in name for name in told)
    assert {claimants(harness, each) for each in harness.list_ids()} == {2 if begin is wait else 1}


def test_who_leaves_a_list_gives_back_what_was_claimed_for_the_wait_alone(harness: ServiceHarness) -> None:
    made = opened(harness, 1)
    grants.grant(harness.store, made, "Holder", identity=person("9"))
    waiting_lists.wait(harness.store, made, "Ann", identity=ANN)
    with pytest.raises(AlreadyGrantedElsewhere):
        waiting_lists.wait(harness.store, made, "Bo", identity=ANN)
    waiting_lists.leave(harness.store, made, "Ann")
    assert claimants(harness, made) == 1
    assert waiting_lists.wait(harness.store, made, "Bo", identity=ANN).place == 1
    # Bo has had a code: nobody else gets one with this identity.
    revocations.revoke(harness.store, made, "Holder", back="pool", reissue=True)
    revocations.revoke(harness.store, made, "Bo", back="pool", reissue=True)
    grants.grant(harness.store, made, "Holder", identity=person("9"))
    waiting_lists.wait(harness.store, made, "Bo")
    waiting_lists.leave(harness.store, made, "Bo")
    with pytest.raises(AlreadyGrantedElsewhere):
        waiting_lists.wait(harness.store, made, "Ann", identity=ANN)


def test_who_claims_more_while_leaving_keeps_all_of_it(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = opened(harness, 1, "ONE")
    grants.grant(harness.store, made, "Holder", identity=person("9"))
    waiting_lists.wait(harness.store, made, "Ann", identity=ANN)
    read = identities.claimed_by
    orders = iter(["A-1"])

    def slow(*given: Any) -> Any:
        found = read(*given)
        for each in orders:
            redemptions.redeem(harness.store, checkout("Ann", "one", each, person("2")))
        return found

    monkeypatch.setattr(identities, "claimed_by", slow)
    waiting_lists.leave(harness.store, made, "Ann")
    for identity in (ANN, person("2")):
        with pytest.raises(AlreadyGrantedElsewhere):
            waiting_lists.wait(harness.store, made, "Bo", identity=identity)


def test_a_bulk_grant_is_for_users_who_have_claimed_an_identity_before(harness: ServiceHarness) -> None:
    made = opened(harness, 1)
    grants.grant(harness.store, made, "Holder", identity=person("9"))
    waiting_lists.wait(harness.store, made, "Ann", identity=ANN)
    harness.change(made, paused=True, total_count=9)
    harness.change(made, paused=False)
    found = grants.grant_many(harness.store, made, ["Bo", "Ann", "Holder"])
    assert isinstance(found[0], IdentityMissing)
    assert [each.user_id for each in found[1:] if not isinstance(each, Refusal)] == ["Ann", "Holder"]


def test_a_user_claims_at_most_fifty_digests(harness: ServiceHarness) -> None:
    made = opened(harness, None, "ONE")
    for n in range(50):
        code = grants.grant(harness.store, made, "Ann", identity=person("1")).code
        kept = checkout("Ann", code, f"A-{n}", person(str(n)))
        roll = redemptions.redeem(harness.store, kept)
        redemptions.roll_back(harness.store, roll.id)
    with pytest.raises(AlreadyGrantedElsewhere) as refused:
        redemptions.redeem(harness.store, checkout("Ann", "one", "A-50", person("50")))
    assert refused.value.facts == {"limit": "per_identity", "most": 1, "part": "card"}
    assert redemptions.redeem(harness.store, checkout("Ann", "one", "A-51", person("49"))).fresh
    users.forget(harness.store, "Ann")
    assert not harness.redis.keys("*:identities:*")
