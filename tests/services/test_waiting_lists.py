"""Users wait for codes, and codes that become free go to who waits longest."""

from typing import Any, get_args

import pytest

from discount.domain import durations
from discount.domain.code_kinds import CodeKind, Kind
from discount.domain.errors import (
    AlreadyGranted,
    Closed,
    CodesLeft,
    Expired,
    Invalid,
    NotReleased,
    NotWaiting,
    OthersWait,
    QuotaReached,
    Revoked,
    SoldOut,
)
from discount.domain.releases import Release
from discount.domain.rules import Order
from discount.services import (
    claims,
    contacts,
    discount_lists,
    grant_lists,
    grant_records,
    grants,
    quotas,
    redemptions,
    revocations,
    user_grants,
    users,
    waiting_lists,
)
from discount.services.checkouts import Checkout
from discount.store import keys
from discount.worker.waiting_lists import WaitingLists
from tests.services.harness import SECOND, ServiceHarness

KINDS: tuple[Kind, ...] = get_args(Kind)


def wait(harness: ServiceHarness, discount_id: str, *names: str) -> list[int]:
    return [waiting_lists.wait(harness.store, discount_id, each).place for each in names]


def waiting(harness: ServiceHarness, discount_id: str) -> list[str]:
    """Return who waits, and check that the discount, the brand's usage and the index of due lists agree."""
    found = [each.user_id for each in waiting_lists.list_page(harness.store, discount_id).items]
    assert harness.show(discount_id).waiting_count == len(found)
    partition = int(discount_id[4:6], 16)
    assert (harness.redis.zscore(keys.waits_due(partition), discount_id) is not None) == bool(found)
    return found


def held_by(harness: ServiceHarness, discount_id: str) -> dict[str, str]:
    return {each.user_id: each.code for each in grant_lists.list_all(harness.store, discount_id)}


def sold_out(harness: ServiceHarness, kind: Kind = "unique", total: int = 2) -> str:
    """Return a discount of which Ann and others hold every code."""
    made = harness.create_kind(kind, total)
    for number in range(total):
        harness.grant(made.id, "Ann" if number == 0 else f"Holder {number}")
    return made.id


def revoke(harness: ServiceHarness, discount_id: str, user: str = "Ann", **more: Any) -> None:
    revocations.revoke(harness.store, discount_id, user, **({"back": "pool"} | more))


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_that_is_taken_back_goes_to_the_longest_waiting_user_in_the_same_step(
    any_redis: ServiceHarness, kind: Kind
) -> None:
    discount_id = sold_out(any_redis, kind)
    code = held_by(any_redis, discount_id)["Ann"]
    assert wait(any_redis, discount_id, "Bob", "Cid", "Bob") == [1, 2, 1]
    revoke(any_redis, discount_id)
    found = held_by(any_redis, discount_id)
    assert set(found) == {"Bob", "Holder 1"}
    assert (found["Bob"] == code) == (kind != "personal")
    assert waiting(any_redis, discount_id) == ["Cid"]
    assert [each.code for each in user_grants.list_of_user(any_redis.store, "Bob").items] == [found["Bob"]]
    (event,) = [each for each in any_redis.events(any_redis.show(discount_id), "code.granted") if "waited" in each]
    assert (event["user"], event["code"]) == ("Bob", found["Bob"])
    assert any_redis.show(discount_id).remaining_count == 0


def test_no_user_overtakes_a_waiting_one(any_redis: ServiceHarness) -> None:
    discount_id = sold_out(any_redis)
    names = [f"User {number}" for number in range(60)]
    wait(any_redis, discount_id, *names)
    with pytest.raises(SoldOut):
        any_redis.grant(discount_id, "Newcomer")
    any_redis.change(discount_id, total_count=57)
    # One script hands out fifty; the others wait for the next one, and so does a newcomer.
    assert len(held_by(any_redis, discount_id)) == 52
    assert waiting(any_redis, discount_id) == names[50:]
    with pytest.raises(SoldOut):
        any_redis.grant(discount_id, "Newcomer")
    assert waiting(any_redis, discount_id) == names[55:]
    assert set(held_by(any_redis, discount_id)) == {"Ann", "Holder 1", *names[:55]}
    any_redis.change(discount_id, total_count=63)
    assert waiting(any_redis, discount_id) == []
    assert any_redis.grant(discount_id, "Newcomer").code
    with pytest.raises(SoldOut):
        any_redis.grant(discount_id, "Newcomer 2")


def test_imported_codes_go_to_waiting_users_in_order(any_redis: ServiceHarness) -> None:
    discount_id = sold_out(any_redis, "imported", 1)
    wait(any_redis, discount_id, "Bob", "Cid", "Dan")
    any_redis.import_lines(discount_id, ["Own 0", "New 1", "New 2"])
    assert held_by(any_redis, discount_id) == {"Ann": "Own 0", "Bob": "New 1", "Cid": "New 2"}
    assert waiting(any_redis, discount_id) == ["Dan"]
    any_redis.import_lines(discount_id, [f"Next {number}" for number in range(1200)])
    assert waiting(any_redis, discount_id) == []
    assert held_by(any_redis, discount_id)["Dan"] == "Next 0"
    assert any_redis.show(discount_id).remaining_count == 1199


def test_large_imports_serve_a_long_list(any_redis: ServiceHarness) -> None:
    discount_id = sold_out(any_redis, "imported", 1)
    names = [f"User {number}" for number in range(130)]
    wait(any_redis, discount_id, *names)
    any_redis.import_lines(discount_id, [f"Next {number}" for number in range(1200)])
    # The three slices of the file serve fifty users each.
    assert waiting(any_redis, discount_id) == []
    found = held_by(any_redis, discount_id)
    assert set(found) == {"Ann", *names}


def test_a_wait_is_refused_where_it_makes_no_sense(any_redis: ServiceHarness) -> None:
    made = any_redis.create(total=1)
    with pytest.raises(CodesLeft):
        wait(any_redis, made.id, "Ann")
    any_redis.grant(made.id, "Ann")
    with pytest.raises(AlreadyGranted):
        wait(any_redis, made.id, "Ann")
    revoke(any_redis, made.id, back="void")
    with pytest.raises(Revoked):
        wait(any_redis, made.id, "Ann")
    assert wait(any_redis, made.id, "Bob") == [1]
    any_redis.close(made.id)
    with pytest.raises(Closed):
        wait(any_redis, made.id, "Cid")
    with pytest.raises(NotWaiting):
        waiting_lists.show(any_redis.store, made.id, "Bob")
    assert waiting(any_redis, made.id) == []
    over = any_redis.create(total=1, expires_at=any_redis.now() + SECOND)
    any_redis.redis.hset(keys.discount(over.partition, over.id), "expires_at", "1000000000000000")
    with pytest.raises(Expired):
        wait(any_redis, over.id, "Cid")


def test_a_user_who_leaves_makes_room_for_those_behind(any_redis: ServiceHarness) -> None:
    discount_id = sold_out(any_redis)
    wait(any_redis, discount_id, "Bob", "Cid")
    waiting_lists.leave(any_redis.store, discount_id, "Bob")
    with pytest.raises(NotWaiting):
        waiting_lists.leave(any_redis.store, discount_id, "Bob")
    assert waiting_lists.show(any_redis.store, discount_id, "Cid").place == 1
    waiting_lists.leave(any_redis.store, discount_id, "Cid")
    assert waiting(any_redis, discount_id) == []
    revoke(any_redis, discount_id)
    assert any_redis.grant(discount_id, "Bob").fresh
    assert [each["type"] for each in any_redis.events(any_redis.show(discount_id)) if each["type"][:4] == "wait"] == [
        *("wait.started", "wait.started", "wait.ended", "wait.ended")
    ]


def test_a_forgotten_user_waits_no_more_and_no_event_names_the_user(any_redis: ServiceHarness) -> None:
    discount_id = sold_out(any_redis)
    wait(any_redis, discount_id, "Bob", "Cid", "Dan")
    revoke(any_redis, discount_id)
    waiting_lists.leave(any_redis.store, discount_id, "Dan")
    for name in ("Bob", "Cid", "Dan"):
        users.forget(any_redis.store, name)
    assert waiting(any_redis, discount_id) == []
    assert quotas.show(any_redis.store, "IKEA")["stored_bytes"].used == 2000 + 20 * 2
    entries = repr([entry for _, entry in any_redis.redis.xrange(keys.events(int(discount_id[4:6], 16)))])
    assert not any(name in entries for name in ("Bob", "Cid", "Dan"))


def test_a_paused_discount_serves_its_list_when_it_goes_on(any_redis: ServiceHarness) -> None:
    made = any_redis.create(total=3)
    any_redis.change(made.id, paused=True)
    wait(any_redis, made.id, "Ann", "Bob")
    WaitingLists(any_redis.store).turn()
    assert waiting(any_redis, made.id) == ["Ann", "Bob"]
    any_redis.change(made.id, paused=False)
    assert set(held_by(any_redis, made.id)) == {"Ann", "Bob"}
    assert waiting(any_redis, made.id) == []


def test_a_user_who_was_passed_a_code_is_passed_over(any_redis: ServiceHarness) -> None:
    discount_id = sold_out(any_redis)
    wait(any_redis, discount_id, "Bob", "Cid")
    revoke(any_redis, discount_id, back="next", next_user_id="Bob")
    revoke(any_redis, discount_id, "Holder 1")
    assert set(held_by(any_redis, discount_id)) == {"Bob", "Cid"}
    assert waiting(any_redis, discount_id) == []


def test_personal_codes_have_the_names_of_those_who_waited(any_redis: ServiceHarness) -> None:
    made = any_redis.create_kind("personal", 1, template="{name}-x{seq}")
    any_redis.grant(made.id, "Ann")
    contacts.put(any_redis.store, "Bob", brand_id="IKEA", email="bob@example.com", name="Robert")
    wait(any_redis, made.id, "Bob")
    revoke(any_redis, made.id)
    assert held_by(any_redis, made.id) == {"Bob": "Robert-x2"}


def test_quotas_stop_the_list_and_the_hand_out(any_redis: ServiceHarness) -> None:
    quotas.change(any_redis.store, "IKEA", {"grants_a_day": 2})
    discount_id = sold_out(any_redis)
    wait(any_redis, discount_id, "Bob")
    used = quotas.show(any_redis.store, "IKEA")["stored_bytes"].used
    quotas.change(any_redis.store, "IKEA", {"stored_bytes": used + 249})
    with pytest.raises(QuotaReached):
        wait(any_redis, discount_id, "Cid")
    quotas.change(any_redis.store, "IKEA", {"stored_bytes": None})
    revoke(any_redis, discount_id)
    assert waiting(any_redis, discount_id) == ["Bob"]
    with pytest.raises(OthersWait):
        any_redis.grant(discount_id, "Newcomer")
    quotas.change(any_redis.store, "IKEA", {"grants_a_day": None})
    WaitingLists(any_redis.store).turn()
    assert waiting(any_redis, discount_id) == ["Bob"]
    assert any_redis.grant(discount_id, "Bob").code


def test_a_page_of_the_list_lists_each_user_once(any_redis: ServiceHarness) -> None:
    discount_id = sold_out(any_redis)
    names = [f"User {number}" for number in range(7)]
    wait(any_redis, discount_id, *names)
    found: list[tuple[str, int]] = []
    cursor = None
    while True:
        page = waiting_lists.list_page(any_redis.store, discount_id, limit=3, cursor=cursor)
        found += [(each.user_id, each.place) for each in page.items]
        cursor = page.next
        if cursor is None:
            break
    assert found == list(zip(names, range(1, 8), strict=True))


# Paced release


def paced(harness: ServiceHarness, per_minute: int = 60, total: int = 10, *, ahead: int = 0) -> str:
    release = Release(harness.now() + ahead, per_minute)
    return harness.create(total=total, release=release).id


def set_release(harness: ServiceHarness, discount_id: str, at: int, per_minute: int) -> None:
    """Set the pace as if it had begun then."""
    harness.redis.hset(keys.discount(int(discount_id[4:6], 16), discount_id), "release", f"{at:016d} {per_minute}")


def test_codes_are_granted_at_the_pace_of_the_release(any_redis: ServiceHarness) -> None:
    discount_id = paced(any_redis, ahead=3600 * SECOND)
    release = any_redis.show(discount_id).release
    assert release is not None
    with pytest.raises(NotReleased) as refused:
        any_redis.grant(discount_id)
    assert int(refused.value.facts["opens_at"]) == release.at
    # One a minute since two and a half minutes ago: three are released.
    begun = any_redis.now() - 150 * SECOND
    set_release(any_redis, discount_id, begun, 1)
    assert len(any_redis.grant_all(discount_id, 3)) == 3
    with pytest.raises(NotReleased) as refused:
        any_redis.grant(discount_id, "Newcomer")
    assert int(refused.value.facts["opens_at"]) == begun + 180 * SECOND
    assert any_redis.grant(discount_id, "User 0").code
    outcomes = grants.grant_many(any_redis.store, discount_id, ["User 1", "Newcomer"])
    assert isinstance(outcomes[1], NotReleased)


def test_a_released_code_goes_to_the_first_waiting_user(any_redis: ServiceHarness) -> None:
    discount_id = paced(any_redis, ahead=3600 * SECOND)
    wait(any_redis, discount_id, "Ann", "Bob", "Cid")
    begun = any_redis.now() - 90 * SECOND
    set_release(any_redis, discount_id, begun, 1)
    with pytest.raises(NotReleased) as refused:
        any_redis.grant(discount_id, "Newcomer")
    assert set(held_by(any_redis, discount_id)) == {"Ann", "Bob"}
    # The next code is Cid's.
    assert int(refused.value.facts["opens_at"]) == begun + 180 * SECOND
    partition = int(discount_id[4:6], 16)
    assert any_redis.redis.zscore(keys.waits_due(partition), discount_id) == begun + 120 * SECOND
    set_release(any_redis, discount_id, any_redis.now() - 150 * SECOND, 1)
    assert any_redis.grant(discount_id, "Cid").code
    assert waiting(any_redis, discount_id) == []


def test_a_new_pace_counts_from_the_grants_so_far(any_redis: ServiceHarness) -> None:
    made = any_redis.create(total=10)
    any_redis.grant_all(made.id, 4)
    any_redis.change(made.id, release=Release(any_redis.now() - 30 * SECOND, 1))
    assert any_redis.show(made.id).release == Release(any_redis.show(made.id).release.at, 1, 4)  # type: ignore[union-attr]
    any_redis.grant(made.id, "User 4")
    with pytest.raises(NotReleased):
        any_redis.grant(made.id, "User 5")
    # A code that comes back was released before.
    revoke(any_redis, made.id, "User 4")
    any_redis.grant(made.id, "User 5")
    any_redis.change(made.id, release=None)
    assert any_redis.grant(made.id, "User 6").code


# Claims


def claimed(harness: ServiceHarness, **more: Any) -> str:
    return harness.create(total=1, claim_within=durations.read("PT1H"), **more).id


def note_and_end(harness: ServiceHarness, discount_id: str, user: str) -> bool:
    """Let an hour pass since the grant, and end the claim."""
    partition = int(discount_id[4:6], 16)
    held = grant_records.held_grant(harness.store, discount_id, user)
    claims.note(harness.store, discount_id, user, held.granted_at, "PT1H")
    assert held.claim_until is not None
    (claim,) = harness.redis.zrange(keys.claims(partition), 0, -1)
    assert not claims.end(harness.store, partition, claim, held.claim_until - 1)
    return claims.end(harness.store, partition, claim, held.claim_until)


def test_an_unused_code_goes_to_the_next_waiting_user(any_redis: ServiceHarness) -> None:
    discount_id = claimed(any_redis)
    code = any_redis.grant(discount_id, "Ann").code
    wait(any_redis, discount_id, "Bob", "Cid")
    assert note_and_end(any_redis, discount_id, "Ann")
    assert held_by(any_redis, discount_id) == {"Bob": code}
    # The user may wait again, behind the others.
    assert wait(any_redis, discount_id, "Ann") == [2]
    (event,) = any_redis.events(any_redis.show(discount_id), "code.revoked")
    assert (event["reason"], event["back"], event["by"], event["reissue"]) == ("unclaimed", "pool", "service", "1")
    assert any_redis.redis.zcard(keys.claims(int(discount_id[4:6], 16))) == 0


def test_a_used_or_held_code_stays(any_redis: ServiceHarness) -> None:
    discount_id = claimed(any_redis)
    code = any_redis.grant(discount_id, "Ann").code
    checkout = Checkout("Ann", code, Order("A-1", 1000, "EUR"), discount_id=discount_id)
    held = redemptions.redeem(any_redis.store, checkout, hold_seconds=600)
    assert not note_and_end(any_redis, discount_id, "Ann")
    partition = int(discount_id[4:6], 16)
    # It is looked at again when the hold ends.
    assert any_redis.redis.zscore(keys.claims(partition), f"{discount_id} Ann") == held.hold_until
    redemptions.confirm(any_redis.store, held.id)
    any_redis.redis.delete(keys.claims(partition))
    assert not note_and_end(any_redis, discount_id, "Ann")
    assert held_by(any_redis, discount_id) == {"Ann": code}
    assert any_redis.redis.zcard(keys.claims(partition)) == 0


def test_a_closed_discount_takes_no_unused_code_back(fake: ServiceHarness) -> None:
    discount_id = claimed(fake)
    fake.grant(discount_id, "Ann")
    fake.close(discount_id)
    assert not note_and_end(fake, discount_id, "Ann")
    assert "Ann" in held_by(fake, discount_id)


def test_a_definition_with_months_or_a_shared_code_has_no_claims(fake: ServiceHarness) -> None:
    with pytest.raises(Invalid, match="months"):
        fake.create(claim_within=durations.read("P1M"))
    with pytest.raises(Invalid, match="shared"):
        fake.create(kind=CodeKind("shared", code="X1"), claim_within=durations.read("P1D"))
    assert discount_lists.list_page(fake.store).items == []
