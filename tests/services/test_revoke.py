"""A code is taken back: voided, returned to the pool, or passed on."""

from typing import Any, get_args

import pytest

from discount.domain.code_kinds import Kind
from discount.domain.errors import (
    AlreadyGranted,
    Closed,
    Invalid,
    NotGranted,
    Paused,
    QuotaReached,
    Revoked,
    SoldOut,
)
from discount.domain.rules import Order
from discount.services import (
    code_pools,
    discounts,
    exports,
    grant_lists,
    grant_records,
    grants,
    outbox,
    quotas,
    redemption_lists,
    redemptions,
    revocations,
    user_grants,
    users,
)
from discount.services.checkouts import Checkout
from discount.services.revocations import Revocation
from discount.store import keys
from tests.services.harness import BRANDS, ServiceHarness

KINDS: tuple[Kind, ...] = get_args(Kind)


def revoke(harness: ServiceHarness, discount_id: str, user: str = "Ann", **more: Any) -> Revocation:
    return revocations.revoke(harness.store, discount_id, user, **more)


def redeem(harness: ServiceHarness, discount_id: str, user: str, code: str, order: str = "A-1") -> Any:
    return redemptions.redeem(harness.store, Checkout(user, code, Order(order, 1000, "EUR"), discount_id=discount_id))


def counts(harness: ServiceHarness, discount_id: str) -> tuple[int, int | None, int]:
    found = harness.show(discount_id)
    assert found.total_count is None or found.granted_count + (found.remaining_count or 0) == found.total_count
    return found.granted_count, found.remaining_count, found.revoked_count


@pytest.mark.parametrize("kind", KINDS)
def test_a_void_code_is_refused_at_the_checkout_with_its_own_slug(any_redis: ServiceHarness, kind: Kind) -> None:
    made = any_redis.create_kind(kind, 3)
    code = any_redis.grant(made.id, "Ann").code
    revoke(any_redis, made.id, reason="mistake")
    with pytest.raises(Revoked):
        redeem(any_redis, made.id, "Ann", code)
    checkout = Checkout("Ann", code, Order("A-2", 1000, "EUR"), discount_id=made.id)
    assert [each.slug for each in redemptions.validate(any_redis.store, checkout).reasons] == ["revoked"]
    assert counts(any_redis, made.id) == (1, 2, 1)
    with pytest.raises(Revoked):
        any_redis.grant(made.id, "Ann")
    assert any_redis.grant(made.id, "Bob").code


@pytest.mark.parametrize("kind", KINDS)
def test_a_returned_code_can_be_granted_to_another_user(any_redis: ServiceHarness, kind: Kind) -> None:
    made = any_redis.create_kind(kind, 2)
    code = any_redis.grant(made.id, "Ann").code
    any_redis.grant(made.id, "Bob")
    with pytest.raises(SoldOut):
        any_redis.grant(made.id, "Cid")
    revoke(any_redis, made.id, back="pool")
    assert counts(any_redis, made.id) == (1, 1, 0)
    again = any_redis.grant(made.id, "Cid").code
    assert (again == code) == (kind != "personal")
    with pytest.raises(Revoked):
        redeem(any_redis, made.id, "Ann", code)
    assert redeem(any_redis, made.id, "Cid", again).state == "redeemed"
    with pytest.raises(SoldOut):
        any_redis.grant(made.id, "Dan")


@pytest.mark.parametrize("kind", KINDS)
def test_a_code_is_passed_on_in_one_step(any_redis: ServiceHarness, kind: Kind) -> None:
    made = any_redis.create_kind(kind, 1)
    code = any_redis.grant(made.id, "Ann").code
    found = revoke(any_redis, made.id, back="next", next_user_id="Bob")
    assert found.next is not None
    assert found.next.user_id == "Bob"
    assert (found.next.code == code) == (kind != "personal")
    assert counts(any_redis, made.id) == (1, 0, 0)
    assert grant_records.held_grant(any_redis.store, made.id, "Bob").code == found.next.code
    assert [each.user_id for each in grant_lists.list_all(any_redis.store, made.id)] == ["Bob"]
    of_bob = user_grants.list_of_user(any_redis.store, "Bob").items
    assert [each.code for each in of_bob] == [found.next.code]
    assert user_grants.list_of_user(any_redis.store, "Ann").items == []
    with pytest.raises(Revoked):
        redeem(any_redis, made.id, "Ann", code)
    assert redeem(any_redis, made.id, "Bob", found.next.code).state == "redeemed"


def test_a_numbered_personal_code_never_comes_twice(fake: ServiceHarness) -> None:
    made = fake.create_kind("personal", 5, template="CODE-{seq}-X")
    codes = [fake.grant(made.id, user).code for user in ("Ann", "Bob")]
    revoke(fake, made.id, "Ann", back="pool")
    codes.append(fake.grant(made.id, "Cid").code)
    passed_on = revoke(fake, made.id, "Bob", back="next", next_user_id="Dan").next
    assert passed_on is not None
    codes += [passed_on.code, fake.grant(made.id, "Eve").code]
    assert codes == [f"CODE-{number}-X" for number in range(1, 6)]


def test_a_use_already_made_stays_and_the_same_order_gets_its_first_answer(fake: ServiceHarness) -> None:
    made = fake.create(limits={"per_user": 5})
    code = fake.grant(made.id, "Ann").code
    first = redeem(fake, made.id, "Ann", code)
    revoke(fake, made.id)
    again = redeem(fake, made.id, "Ann", code)
    assert (again.id, again.fresh, fake.show(made.id).redeemed_count) == (first.id, False, 1)
    with pytest.raises(Revoked):
        redeem(fake, made.id, "Ann", code, "A-2")


def test_a_revoked_code_is_no_guess(fake: ServiceHarness) -> None:
    made = fake.create()
    code = fake.grant(made.id, "Ann").code
    revoke(fake, made.id)
    for number in range(15):
        with pytest.raises(Revoked):
            redeem(fake, made.id, "Ann", code, f"A-{number}")


def test_a_checkout_that_names_only_the_brand_is_refused_with_the_same_slug(fake: ServiceHarness) -> None:
    made = fake.create()
    code = fake.grant(made.id, "Ann").code
    revoke(fake, made.id, reissue=True)
    with pytest.raises(Revoked):
        redemptions.redeem(fake.store, Checkout("Ann", code, Order("A-1", 1000, "EUR"), brand_id="IKEA"))


def test_a_code_beyond_ascii_is_refused_in_any_spelling(fake: ServiceHarness) -> None:
    made = fake.create_kind("imported", 0)
    fake.import_lines(made.id, ["Grün 1", "Grün 2"])
    code = fake.grant(made.id, "Ann").code
    revoke(fake, made.id, reissue=True)
    fake.grant(made.id, "Ann")
    with pytest.raises(Revoked):
        redeem(fake, made.id, "Ann", "GRÜN-1" if code == "Grün 1" else "GRÜN-2")


def test_only_with_reissue_the_user_gets_another_code(fake: ServiceHarness) -> None:
    made = fake.create(total=5)
    first = fake.grant(made.id, "Ann").code
    revoke(fake, made.id)
    with pytest.raises(Revoked):
        fake.grant(made.id, "Ann")
    (refused,) = grants.grant_many(fake.store, made.id, ["Ann"])
    assert isinstance(refused, Revoked)
    # Asked for afterwards, too.
    revoke(fake, made.id, reissue=True)
    second = fake.grant(made.id, "Ann").code
    assert second != first
    with pytest.raises(Revoked):
        redeem(fake, made.id, "Ann", first)
    assert redeem(fake, made.id, "Ann", second).state == "redeemed"
    assert counts(fake, made.id) == (2, 3, 1)
    assert [each.code for each in user_grants.list_of_user(fake.store, "Ann").items] == [second]


def test_a_repeated_call_changes_nothing(fake: ServiceHarness) -> None:
    made = fake.create()
    fake.grant(made.id, "Ann")
    first = revoke(fake, made.id, back="pool")
    before = fake.state()
    assert revoke(fake, made.id, back="pool") == first
    assert fake.state() == before


def test_the_script_sent_again_takes_no_newer_code(fake: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    made = fake.create()
    fake.grant(made.id, "Ann")
    calls: list[Any] = []
    run = fake.store.run

    def keep(name: str, *call: Any) -> Any:
        if name == "revoke":
            calls.append(call)
        return run(name, *call)

    monkeypatch.setattr(fake.store, "run", keep)
    revoke(fake, made.id, reissue=True)
    second = fake.grant(made.id, "Ann").code
    assert run("revoke", *calls[0]).status == "again"
    assert grant_records.held_grant(fake.store, made.id, "Ann").code == second
    with pytest.raises(NotGranted):
        revoke(fake, made.id, code="another")


def test_what_cannot_be_taken_back_or_passed_on_changes_nothing(fake: ServiceHarness) -> None:
    made = fake.create()
    for user in ("Ann", "Bob", "Cid"):
        fake.grant(made.id, user)
    revoke(fake, made.id, "Cid")
    before = fake.state()
    for refusal, more in (
        (NotGranted, {"user": "Nobody"}),
        (AlreadyGranted, {"back": "next", "next_user_id": "Bob"}),
        (Revoked, {"back": "next", "next_user_id": "Cid"}),
        (Invalid, {"back": "next"}),
        (Invalid, {"back": "next", "next_user_id": "Ann"}),
        (Invalid, {"next_user_id": "Dan"}),
        (NotGranted, {"code": "another"}),
    ):
        with pytest.raises(refusal):
            revoke(fake, made.id, **more)
    assert fake.state() == before
    fake.change(made.id, paused=True)
    with pytest.raises(Paused):
        revoke(fake, made.id, back="next", next_user_id="Dan")
    fake.close(made.id)
    for more in ({"back": "pool"}, {"back": "next", "next_user_id": "Dan"}):
        with pytest.raises(Closed):
            revoke(fake, made.id, **more)
    revoke(fake, made.id)
    assert fake.show(made.id).revoked_count == 2


def test_a_code_passed_on_counts_as_a_grant_of_the_day(fake: ServiceHarness) -> None:
    quotas.change(fake.store, "IKEA", {"grants_a_day": 1})
    made = fake.create()
    fake.grant(made.id, "Ann")
    with pytest.raises(QuotaReached):
        revoke(fake, made.id, back="next", next_user_id="Bob")
    assert revoke(fake, made.id, back="pool").back == "pool"


def test_the_export_lists_returned_codes_as_waiting_and_void_ones_as_revoked(fake: ServiceHarness) -> None:
    for kind in ("unique", "imported"):
        made = fake.create_kind(kind, 4, BRANDS[1])
        codes = {user: fake.grant(made.id, user).code for user in ("Ann", "Bob", "Cid")}
        revoke(fake, made.id, "Ann", back="pool")
        revoke(fake, made.id, "Bob")
        exported = {each.code: (each.state, each.user_id) for each in exports.list_codes(fake.store, made.id)}
        assert exported[codes["Ann"]] == ("waiting", "")
        assert exported[codes["Bob"]] == ("revoked", "Bob")
        assert exported[codes["Cid"]] == ("granted", "Cid")
        assert (len(exported), [state for state, _ in exported.values()].count("waiting")) == (4, 2)
        fake.close(made.id)
        closed = {each.code: each.state for each in exports.list_codes(fake.store, made.id)}
        assert (len(closed), closed[codes["Ann"]]) == (4, "unused")


def test_a_total_can_be_lowered_and_raised_around_a_returned_code(fake: ServiceHarness) -> None:
    made = fake.create(total=5)
    codes = [fake.grant(made.id, f"User {number}").code for number in range(4)]
    revoke(fake, made.id, "User 0", back="pool")
    fake.change(made.id, total_count=4)
    assert list(code_pools.list_waiting(fake.store, made.id)) == [codes[0]]
    fake.change(made.id, total_count=8)
    granted = [fake.grant(made.id, f"Later {number}").code for number in range(5)]
    assert granted[0] == codes[0]
    assert len({*codes, *granted}) == 8


def test_the_events_say_where_the_code_went(fake: ServiceHarness) -> None:
    made = fake.create()
    code = fake.grant(made.id, "Ann").code
    revoke(fake, made.id, reason="given by mistake", back="next", next_user_id="Bob")
    first, second = outbox.list_page(fake.store, "IKEA", types=["code.revoked", "code.granted"]).items[1:]
    data: Any = first.data  # type: ignore[attr-defined]
    assert (data.user_id, data.code, data.reason, data.back) == ("Ann", code, "given by mistake", "next")
    assert (data.next_user_id, data.reissue, data.by) == ("Bob", False, "command")
    assert second.data.user_id == "Bob"  # type: ignore[attr-defined]


def test_the_ninth_and_later_codes_of_a_user_are_taken_back_and_passed_on(fake: ServiceHarness) -> None:
    made = [fake.create().id for _ in range(12)]
    for each in made:
        fake.grant(each, "Ann")
        fake.grant(each, "Zoe")
    for each in made[::2]:
        revoke(fake, each, back="next", next_user_id="Bob")
    assert [each.discount_id for each in user_grants.list_of_user(fake.store, "Ann").items] == made[1::2]
    assert [each.discount_id for each in user_grants.list_of_user(fake.store, "Bob").items] == made[::2]
    for each in made[1::2]:
        revoke(fake, each, "Zoe", back="pool")
    assert [each.discount_id for each in user_grants.list_of_user(fake.store, "Zoe").items] == made[::2]


def test_a_forgotten_user_leaves_no_name_with_codes_that_were_taken_back(fake: ServiceHarness) -> None:
    for kind in KINDS:
        made = fake.create_kind(kind, 5, **({"template": "{user}-{id}"} if kind == "personal" else {}))
        fake.grant(made.id, "Sunniva")
        revoke(fake, made.id, "Sunniva", reissue=kind == "unique", reason="Sunniva left")
        found = counts(fake, made.id)
        users.forget(fake.store, "Sunniva")
        text = "\n".join(f"{key} {fake.redis.dump(key)!r}" for key in fake.redis.keys("*"))
        assert "unniva" not in text.lower()
        assert counts(fake, made.id) == found
        fake.grant(made.id, "Sunniva")
        users.forget(fake.store, "Sunniva")


def drop_all(harness: ServiceHarness, discount_id: str) -> int:
    old = redemption_lists.list_old(harness.store, discount_id, 0, harness.now() + 1, 100)
    return redemption_lists.drop(harness.store, discount_id, old)


def test_uses_of_a_shared_code_are_forgotten_after_their_redemptions_were_dropped(any_redis: ServiceHarness) -> None:
    made = any_redis.create_kind("shared", 3)
    redeem(any_redis, made.id, "Sunniva", made.codes.code)
    assert drop_all(any_redis, made.id) == 1
    buckets = discounts.parse_id(any_redis.store, made.id).buckets
    bucket = keys.uses(made.partition, made.id, keys.grant_bucket("Sunniva", buckets))
    assert any_redis.redis.hexists(bucket, "Sunniva")
    users.forget(any_redis.store, "Sunniva")
    # Events are long gone when redemptions are dropped.
    any_redis.redis.delete(keys.events(made.partition))
    names = [key for key in any_redis.redis.keys("*") if b"unniva" in (any_redis.redis.dump(key) or b"")]
    assert names == []
    assert any_redis.show(made.id).used_count == 1


def test_a_sold_out_discount_still_says_that_a_code_was_taken_back(fake: ServiceHarness) -> None:
    found = fake.create(total=2)
    fake.grant_all(found.id, 2)
    for _ in range(2):
        with pytest.raises(SoldOut):
            fake.grant(found.id, "Cid")
    revoke(fake, found.id, "User 0")
    with pytest.raises(Revoked):
        fake.grant(found.id, "User 0")
    # A code that went back to the pool is granted at once.
    revoke(fake, found.id, "User 1", back="pool")
    assert fake.grant(found.id, "Cid").fresh


def test_codes_that_come_back_to_the_pool_repeat_no_event_of_a_share(any_redis: ServiceHarness) -> None:
    discount = any_redis.create(total=20).id
    for number in range(17):
        any_redis.grant(discount, f"user-{number}")
    for number in range(5):
        revocations.revoke(any_redis.store, discount, f"user-{number}", back="pool")
    for number in range(17, 22):
        any_redis.grant(discount, f"user-{number}")
    shares = any_redis.events(any_redis.show(discount), "discount.running-low")
    assert [(each["percent"], each["granted"]) for each in shares] == [("80", "16")]
