"""Redemptions: validation, use, hold, confirm and rollback, each done once, and their events."""

import time
from collections.abc import Callable
from typing import Any
from unittest import mock

import pytest

from discount.domain import code_kinds, durations
from discount.domain.code_kinds import Kind
from discount.domain.cursors import make_cursor
from discount.domain.errors import (
    AlreadyRedeemed,
    Closed,
    CurrencyMismatch,
    Expired,
    HoldEnded,
    IdempotencyMismatch,
    Invalid,
    LimitReached,
    MinimumAmount,
    NotFound,
    NotGranted,
    NotStarted,
    Paused,
    Refusal,
    TooManyGuesses,
    TooManyHolds,
    Unavailable,
)
from discount.domain.ids import make_discount_id, make_redemption_id
from discount.domain.model import Discount, Redemption, Sums
from discount.domain.rules import MAX_AMOUNT, Order, Rule
from discount.services import (
    brands,
    checkouts,
    discounts,
    redemption_lists,
    redemption_records,
    redemption_runs,
    redemptions,
)
from discount.services.checkouts import Checkout
from discount.services.pagination import Page
from discount.services.verdicts import Verdict
from discount.store import keys
from tests.services.harness import (
    BRANDS,
    GIVEN,
    PARTITIONS,
    SECOND,
    ServiceHarness,
    partition_of,
)
from tests.support import records

KINDS: list[Kind] = ["unique", "imported", "personal", "shared"]
HOUR = 3600 * SECOND
TEN_PERCENT = Rule(percent=1_000)
CODE = "SUMMER-26"
ADDRESS = "192.0.2.9"
WRONG = "The user holds no such code here; check the spelling."


def shared(harness: ServiceHarness, code: str = CODE, **given: Any) -> Discount:
    """Create a discount with one code for all, 10 % off, without limits."""
    kind = code_kinds.make("shared", None, {"code": code})
    return harness.create(**{"total": None, "kind": kind, "rule": TEN_PERCENT, "limits": {}} | given)


def at_checkout(code: str = CODE, order: str = "A-1", user: str = "User 1", **given: Any) -> Checkout:
    paid = Order(order, given.pop("amount", 5000), given.pop("currency", "EUR"))
    return Checkout(user, code, paid, **({"brand_id": "IKEA", "address": ADDRESS} | given))


def redeem(
    harness: ServiceHarness, code: str = CODE, *given: Any, hold: int | None = None, key: str | None = None, **more: Any
) -> Redemption:
    return redemptions.redeem(harness.store, at_checkout(code, *given, **more), hold_seconds=hold, idempotency_key=key)


def validate(harness: ServiceHarness, *given: Any, **more: Any) -> Verdict:
    return redemptions.validate(harness.store, at_checkout(*given, **more))


def words(verdict: Verdict) -> list[str]:
    return [each.slug for each in verdict.reasons]


def show(harness: ServiceHarness, found: Redemption) -> Redemption:
    return redemptions.show(harness.store, found.id)


def roll_back(harness: ServiceHarness, found: Redemption, reason: str = "") -> Redemption:
    return redemptions.roll_back(harness.store, found.id, reason)


def confirm(harness: ServiceHarness, found: Redemption) -> Redemption:
    return redemptions.confirm(harness.store, found.id)


def refused(harness: ServiceHarness, refusal: type[Refusal], *given: Any, **more: Any) -> dict[str, Any]:
    """Check that a redemption is refused and changes nothing; return the facts."""
    before = harness.state()
    with pytest.raises(refusal) as caught:
        redeem(harness, *given, **more)
    assert harness.state() == before
    return caught.value.facts


def counted(harness: ServiceHarness, discount_id: str) -> tuple[int, int, int, dict[str, tuple[int, int]]]:
    """Return a discount's counts of redemptions, holds and rollbacks, and its sums."""
    found = harness.show(discount_id)
    sums = {currency: (each.orders, each.discounts) for currency, each in found.sums.items()}
    return found.redeemed_count, found.on_hold_count, found.rolled_back_count, sums


def let_end(harness: ServiceHarness, held: Redemption) -> None:
    """Move the end of a hold to now, in Redis."""
    partition = partition_of(held.discount_id)
    discount = keys.discount(partition, held.discount_id)
    until, now = f"{held.hold_until:016d}", f"{harness.now():016d}"
    records.change(harness.redis, held.id, hold_until=now)
    harness.redis.zadd(keys.holds(partition, held.discount_id), {held.id: now})
    for name in harness.redis.keys(keys.uses(partition, held.discount_id, 0)[:-1] + "*"):
        for user, text in harness.redis.hgetall(name).items():
            harness.redis.hset(name, user, text.replace(f"{held.id},{until}", f"{held.id},{now}"))
    if harness.redis.hget(discount, "last_hold") == until:
        harness.redis.hset(discount, "last_hold", now)


def later(harness: ServiceHarness, microseconds: int = HOUR) -> int:
    return harness.now() + microseconds


# Uses


def test_a_redemption_has_the_code_the_user_and_the_time(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 9, "per_user": 2})
    before = harness.now()
    made = redeem(harness, amount=1234)
    assert before <= made.redeemed_at <= harness.now()
    assert made == Redemption(
        id=make_redemption_id(partition_of(found.id), "IKEA", "A-1"),
        discount_id=found.id,
        brand_id="IKEA",
        user_id="User 1",
        code=CODE,
        state="redeemed",
        order=Order("A-1", 1234, "EUR"),
        discount_amount=123,
        left={"total": 8, "per_user": 1},
        redeemed_at=made.redeemed_at,
        fresh=True,
    )


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("named", ["brand", "discount", "both"])
def test_a_code_of_any_kind_is_redeemed_by_its_holder(harness: ServiceHarness, kind: Kind, named: str) -> None:
    others = [harness.create_kind(each, brand="IKEA") for each in KINDS if each != kind]
    found = harness.create_kind(kind)
    for each in (*others, found):
        harness.grant(each.id)
    code = harness.grant(found.id).code
    places = {"brand": ("IKEA", None), "discount": (None, found.id), "both": ("IKEA", found.id)}
    brand_id, discount_id = places[named]
    made = redeem(harness, code, brand_id=brand_id, discount_id=discount_id)
    assert (made.discount_id, made.brand_id, made.code, made.state) == (found.id, "IKEA", code, "redeemed")
    assert [harness.show(each.id).redeemed_count for each in (*others, found)] == [0, 0, 0, 1]


def test_a_shared_code_needs_no_grant_and_is_the_brand_s_own(harness: ServiceHarness) -> None:
    # Two brands of one partition, and one of another.
    one, other = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
    made = {brand: shared(harness, brand=brand) for brand in (one, other, BRANDS[6])}
    for brand, found in made.items():
        assert redeem(harness, brand_id=brand).discount_id == found.id
    assert {harness.show(each.id).redeemed_count for each in made.values()} == {1}


def test_every_one_of_many_codes_of_a_user_is_found_by_the_brand(harness: ServiceHarness) -> None:
    made = [harness.grant(harness.create().id) for _ in range(4)]
    for number, each in enumerate(made):
        assert redeem(harness, each.code, f"A-{number}").discount_id == each.discount_id


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("by_brand", [True, False], ids=["brand", "discount"])
def test_a_code_is_recognized_in_any_spelling(harness: ServiceHarness, kind: Kind, by_brand: bool) -> None:
    found = harness.create(total=3, kind=code_kinds.make(kind, 3, GIVEN[kind]), limits={})
    if kind == "imported":
        harness.import_lines(found.id, ["Own-1 2"])
    code = harness.grant(found.id).code
    wide = "".join(chr(ord(letter) + 0xFEE0) if letter.isalnum() else letter for letter in code)
    typed = [code, code.upper(), code.lower(), code.replace("-", ""), code.replace("-", " – "), f"\t{code}\u00a0", wide]
    place = {"brand_id": "IKEA"} if by_brand else {"brand_id": None, "discount_id": found.id}
    for number, each in enumerate(typed):
        assert redeem(harness, each, f"A-{number}", **place).code == code
    assert harness.show(found.id).redeemed_count == len(typed)


@pytest.mark.parametrize("by_brand", [True, False], ids=["brand", "discount"])
def test_a_code_beyond_ascii_is_compared_as_a_reader_does(harness: ServiceHarness, by_brand: bool) -> None:
    found = shared(harness, "Grüße–50 %")
    place = {"brand_id": "IKEA"} if by_brand else {"brand_id": None, "discount_id": found.id}
    for number, typed in enumerate(("Grüße–50 %", "GRÜSSE50%", "gru\u0308sse-50％")):
        assert redeem(harness, typed, f"A-{number}", **place).code == "Grüße–50 %"
    for number, typed in enumerate(("GRUSSE50%", "grüse50%", "50%")):
        with pytest.raises(NotGranted):
            redeem(harness, typed, f"B-{number}", **place)


def test_a_typed_letter_beyond_ascii_is_not_taken_for_another(harness: ServiceHarness) -> None:
    found = shared(harness, "KELVIN")
    assert redeem(harness, "\u212aelvin", discount_id=found.id).state == "redeemed"
    for typed in ("ĸelvin", "кelvin", "kelvín"):
        with pytest.raises(NotGranted):
            redeem(harness, typed, "A-2", discount_id=found.id)


@pytest.mark.parametrize("amount", [0, 1, MAX_AMOUNT])
def test_an_order_of_any_amount_is_redeemed_and_rolled_back_exactly(harness: ServiceHarness, amount: int) -> None:
    found = shared(harness, rule=Rule(percent=9_999))
    off = (amount * 9_999 + 5_000) // 10_000
    made = [redeem(harness, CODE, f"A-{n}", amount=amount) for n in range(3)]
    assert {each.discount_amount for each in made} == {off}
    assert show(harness, made[0]).order == Order("A-0", amount, "EUR")
    assert counted(harness, found.id) == (3, 0, 0, {"EUR": (3 * amount, 3 * off)})
    roll_back(harness, made[0])
    assert counted(harness, found.id) == (2, 0, 1, {"EUR": (2 * amount, 2 * off)})


def test_sums_are_kept_by_currency(harness: ServiceHarness) -> None:
    found = shared(harness)
    made = [redeem(harness, CODE, f"A-{n}", currency=each, amount=100) for n, each in enumerate(("EUR", "JPY", "EUR"))]
    assert harness.show(found.id).sums == {"EUR": Sums(200, 20), "JPY": Sums(100, 10)}
    roll_back(harness, made[1])
    assert harness.show(found.id).sums == {"EUR": Sums(200, 20), "JPY": Sums(0, 0)}


def test_names_with_spaces_colons_and_more_are_kept_apart(harness: ServiceHarness) -> None:
    names = ["a b", "a:b", "a,b", "a%3Ab", "ü", "*", "{00}", " ", "1 2 3 4 5"]
    for brand in names:
        shared(harness, brand=brand, limits={"per_user": 1})
        for user in names:
            held = redeem(harness, CODE, f"{user}, ", user, brand_id=brand, hold=60)
            assert (confirm(harness, held).order.id, held.user_id) == (f"{user}, ", user)
    for user in names:
        listed = redemption_lists.list_of_user(harness.store, user).items
        assert sorted(each.brand_id for each in listed) == sorted(names)


# Validation


def test_a_validation_shows_the_discount_and_changes_nothing(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 5, "per_user": 2, "per_user_per_day": 1})
    before = harness.state()
    verdict = [validate(harness), validate(harness, brand_id=None, discount_id=found.id)]
    assert verdict == [Verdict(found.id, 500, {"total": 5, "per_user": 2, "per_user_per_day": 1}, [])] * 2
    assert harness.state() == before


def test_a_validation_gives_every_reason_and_changes_nothing(harness: ServiceHarness) -> None:
    rule = Rule(percent=1_000, currency="EUR", minimum_amount=1_000)
    limits = {"total": 2, "per_user": 1, "per_user_per_day": 1, "per_user_per_week": 1}
    found = shared(harness, rule=rule, limits=limits)
    redeem(harness)
    redeem(harness, CODE, "A-2", "User 2")
    starts, expires = later(harness), later(harness, 2 * HOUR)
    harness.change(found.id, paused=True, starts_at=starts, expires_at=expires)
    limits_told = ["limit-reached", "already-redeemed", "limit-reached", "limit-reached"]
    assert words(validate(harness, order="A-3", amount=999)) == [
        "minimum-amount",
        "paused",
        "not-started",
        *limits_told,
    ]
    harness.close(found.id, void=True)
    before = harness.state()
    verdict = validate(harness, order="A-3", amount=999)
    assert words(verdict) == ["minimum-amount", "closed", "not-started", *limits_told]
    # The rule gives nothing to an order that is too small.
    assert (verdict.discount_id, verdict.discount_amount) == (found.id, 0)
    assert verdict.left == dict.fromkeys(limits, 0)
    facts = {each.slug: each.facts for each in verdict.reasons}
    assert facts["minimum-amount"] == {"minimum_amount": 1_000, "currency": "EUR"}
    assert int(facts["not-started"]["starts_at"]) == starts
    limits_told = [each.facts["limit"] for each in verdict.reasons if "limit" in each.facts]
    assert limits_told == ["total", "per_user", "per_user_per_day", "per_user_per_week"]
    assert words(validate(harness, order="A-3", currency="SEK"))[0] == "currency-mismatch"
    assert harness.state() == before


@pytest.mark.parametrize("other", [{"amount": 999}, {"currency": "SEK"}])
def test_a_repeated_order_with_refused_values_is_an_idempotency_mismatch(
    harness: ServiceHarness, other: dict[str, Any]
) -> None:
    shared(harness, rule=Rule(percent=1_000, currency="EUR", minimum_amount=1_000))
    redeem(harness, key="key")
    before = harness.state()
    refused(harness, IdempotencyMismatch, **other)
    refused(harness, IdempotencyMismatch, CODE, "A-2", key="key", **other)
    assert harness.state() == before


def test_a_validation_of_the_same_order_again_looks_at_the_limits(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"per_user": 2})
    redeem(harness, hold=600, key="key")
    before = harness.state()
    assert validate(harness) == Verdict(found.id, 500, {"per_user": 1}, [])
    assert harness.state() == before


@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "held"])
def test_a_validation_refuses_an_order_that_redeemed_another_code(harness: ServiceHarness, hold: int | None) -> None:
    found = shared(harness, rule=Rule(percent=1_000, currency="EUR", minimum_amount=1_000))
    shared(harness, "AUTUMN")
    made = redeem(harness, "AUTUMN", hold=hold)
    with pytest.raises(IdempotencyMismatch) as refusal:
        redeem(harness, hold=hold)
    verdict = validate(harness)
    assert [(each.slug, each.detail) for each in verdict.reasons] == [(refusal.value.slug, refusal.value.detail)]
    assert verdict.discount_amount == 500
    assert words(validate(harness, amount=1)) == ["idempotency-mismatch", "minimum-amount"]
    assert words(validate(harness, by_user=True)) == []
    roll_back(harness, made)
    assert words(validate(harness)) == ["idempotency-mismatch"]
    with pytest.raises(IdempotencyMismatch):
        redeem(harness)
    assert words(validate(harness, order="A-2")) == []
    assert found.id == verdict.discount_id


def test_a_validation_shows_the_discount_even_if_the_code_cannot_be_used(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"per_user": 1})
    redeem(harness)
    verdict = validate(harness, order="A-2")
    assert (words(verdict), verdict.discount_amount) == (["already-redeemed"], 500)
    harness.change(found.id, limits={"per_user": 2}, paused=True)
    verdict = validate(harness, order="A-2")
    assert (words(verdict), verdict.discount_amount) == (["paused"], 500)


def test_a_validation_of_a_wrong_code_gives_no_other_reason(harness: ServiceHarness) -> None:
    rule = Rule(amount_off=7, currency="EUR", minimum_amount=10_000)
    found = shared(harness, rule=rule, limits={"total": 0})
    harness.change(found.id, paused=True)
    for place in ({"brand_id": "IKEA"}, {"brand_id": None, "discount_id": found.id}):
        verdict = validate(harness, "WINTER", **place)
        assert (verdict.discount_id, verdict.discount_amount, verdict.left, words(verdict)) == (
            None,
            0,
            {},
            ["not-granted"],
        )
        assert verdict.reasons[0].facts == {}


# Refusals


def test_a_discount_is_good_from_its_start_until_its_end_by_the_server_s_clock(harness: ServiceHarness) -> None:
    found = shared(harness)
    starts = later(harness)
    harness.change(found.id, starts_at=starts)
    with mock.patch.object(time, "time_ns", return_value=2 * starts * 1000):
        assert int(refused(harness, NotStarted)["starts_at"]) == starts
    ended = harness.now()
    harness.change(found.id, starts_at=None, expires_at=ended)
    with mock.patch.object(time, "time_ns", return_value=0):
        assert int(refused(harness, Expired)["expires_at"]) == ended
    harness.change(found.id, starts_at=ended, expires_at=later(harness))
    assert redeem(harness).state == "redeemed"


def test_a_replica_with_a_wrong_clock_uses_the_time_of_redis(harness: ServiceHarness) -> None:
    shared(harness, limits={"per_user_per_day": 2}, timezone="Asia/Kathmandu")
    for days in (-400, -2, -1, 1, 2, 400):
        with mock.patch.object(time, "time_ns", return_value=(harness.now() + days * 24 * HOUR) * 1000):
            made = redeem(harness, CODE, f"A-{days}", f"User {days}")
        assert made.left == {"per_user_per_day": 1}
        assert abs(made.redeemed_at - harness.now()) < HOUR


def test_a_clock_that_never_agrees_is_unavailable(harness: ServiceHarness) -> None:
    found = shared(harness)
    with (
        mock.patch("discount.domain.rules.calendar", return_value="0,0,20260101,202601,0"),
        pytest.raises(Unavailable),
    ):
        redeem(harness)
    assert counted(harness, found.id) == (0, 0, 0, {})


def test_a_paused_discount_redeems_again_when_it_goes_on(harness: ServiceHarness) -> None:
    found = shared(harness)
    harness.change(found.id, paused=True)
    assert refused(harness, Paused) == {}
    harness.change(found.id, paused=False)
    assert redeem(harness).state == "redeemed"


def test_codes_of_a_closed_discount_stay_good_unless_they_are_voided(harness: ServiceHarness) -> None:
    found = harness.create()
    code = harness.grant(found.id).code
    harness.grant(found.id, "User 2")
    harness.close(found.id)
    assert redeem(harness, code).state == "redeemed"
    harness.close(found.id, void=True)
    with pytest.raises(Closed):
        redeem(harness, harness.grant(found.id, "User 2").code, "A-2", "User 2")


@pytest.mark.parametrize("by_brand", [True, False], ids=["brand", "discount"])
def test_closing_ends_a_pause(harness: ServiceHarness, by_brand: bool) -> None:
    brands.create(harness.store, "IKEA", "IKEA")
    found = harness.create()
    code = harness.grant(found.id).code
    harness.change(found.id, paused=True)
    if by_brand:
        brands.close(harness.store, "IKEA")
    else:
        harness.close(found.id)
    assert (harness.show(found.id).paused, harness.status(found.id)) == (False, "closed")
    assert redeem(harness, code).state == "redeemed"
    with pytest.raises(Closed):
        harness.change(found.id, paused=True)
    assert harness.status(found.id) == "closed"


@pytest.mark.parametrize("code", [CODE, "Sommar-Ö"])
@pytest.mark.parametrize("by_brand", [True, False], ids=["brand", "discount"])
def test_only_holders_can_redeem_a_shared_code_after_the_close(
    harness: ServiceHarness, code: str, by_brand: bool
) -> None:
    found = shared(harness, code)
    harness.grant(found.id)
    redeem(harness, code, "A-1", "User 2")
    harness.close(found.id)
    place = {"brand_id": "IKEA"} if by_brand else {"brand_id": None, "discount_id": found.id}
    assert redeem(harness, code, "A-2", "User 1", **place).state == "redeemed"
    for user in ("User 2", "User 3"):
        refused(harness, Closed, code, f"of {user}", user, **place)
        assert words(validate(harness, code, f"of {user}", user, **place)) == ["closed"]
    # A redemption from before the close is repeated unchanged.
    assert redeem(harness, code, "A-1", "User 2", **place).state == "redeemed"


def test_a_code_taken_over_by_another_discount_belongs_to_that_discount(harness: ServiceHarness) -> None:
    old = shared(harness)
    harness.grant(old.id)
    harness.change(old.id, expires_at=harness.now())
    new = shared(harness)
    for user in ("User 1", "User 2"):
        assert redeem(harness, order=f"of {user}", user=user).discount_id == new.id
    assert validate(harness, order="A-3").discount_id == new.id


@pytest.mark.parametrize("by_brand", [True, False], ids=["brand", "discount"])
def test_a_voided_code_is_refused_as_closed(harness: ServiceHarness, by_brand: bool) -> None:
    found = harness.create()
    code = harness.grant(found.id).code
    harness.close(found.id, void=True)
    refused(harness, Closed, code, discount_id=None if by_brand else found.id)


@pytest.mark.parametrize("kind", ["unique", "imported", "personal"])
def test_a_code_is_good_for_some_time_after_its_grant(harness: ServiceHarness, kind: Kind) -> None:
    made = code_kinds.make(kind, 3, GIVEN[kind])
    short, long = (harness.create(kind=made, valid_for=durations.read(each)) for each in ("PT0.000001S", "PT1H"))
    for each in (short, long):
        if kind == "imported":
            harness.import_lines(each.id, ["Own 1", "Own 2"])
    over, good = harness.grant(short.id), harness.grant(long.id)
    facts = refused(harness, Expired, over.code, discount_id=short.id)
    assert int(facts["expires_at"]) == over.granted_at + 1
    assert redeem(harness, good.code, discount_id=long.id).state == "redeemed"


@pytest.mark.parametrize("by_brand", [True, False], ids=["brand", "discount"])
def test_a_month_after_the_grant_is_a_calendar_month(harness: ServiceHarness, by_brand: bool) -> None:
    length, zone = durations.read("P1M"), "Europe/Stockholm"
    found = harness.create(valid_for=length, timezone=zone, limits={})
    place: dict[str, Any] = {"brand_id": "IKEA"} if by_brand else {"brand_id": None, "discount_id": found.id}
    code = harness.grant(found.id).code
    assert redeem(harness, code, **place).state == "redeemed"
    name = keys.grants(partition_of(found.id), found.id, 0)
    for days, good in ((27, True), (32, False)):
        granted_at = harness.now() - days * 24 * HOUR
        harness.redis.hset(name, "User 1", f"{granted_at:016d} {code}")
        if good:
            assert redeem(harness, code, f"after {days}", **place).state == "redeemed"
        else:
            facts = refused(harness, Expired, code, f"after {days}", **place)
            assert int(facts["expires_at"]) == length.after(granted_at, zone)
            assert words(validate(harness, code, f"after {days}", **place)) == ["expired"]
    harness.redis.hset(name, "User 1", f"{time_of_grant(harness, found)} {code}")


def time_of_grant(harness: ServiceHarness, found: Discount) -> str:
    """Return the time of the first grant, from its event."""
    return harness.events(found, "code.granted")[0]["at"]


def test_the_earlier_end_of_the_code_and_of_the_discount_counts(harness: ServiceHarness) -> None:
    found = harness.create(valid_for=durations.read("PT1H"))
    code = harness.grant(found.id).code
    ended = harness.now()
    harness.change(found.id, expires_at=ended)
    assert int(refused(harness, Expired, code)["expires_at"]) == ended
    other = harness.create(valid_for=durations.read("PT0.000001S"))
    grant = harness.grant(other.id)
    harness.change(other.id, expires_at=later(harness))
    assert int(refused(harness, Expired, grant.code)["expires_at"]) == grant.granted_at + 1


def test_an_order_against_the_rule_is_refused_with_the_requirement(harness: ServiceHarness) -> None:
    shared(harness, rule=Rule(amount_off=700, currency="EUR", minimum_amount=1_000))
    assert refused(harness, MinimumAmount, amount=999) == {"minimum_amount": 1_000, "currency": "EUR"}
    assert refused(harness, CurrencyMismatch, currency="SEK") == {"currency": "EUR"}
    assert redeem(harness, amount=1_000).discount_amount == 700


def test_a_discount_that_does_not_exist_is_not_found(harness: ServiceHarness) -> None:
    found = shared(harness)
    for discount_id in ("", "dsc-", make_discount_id(3, 10), make_discount_id(200, 10)):
        for call in (redeem, validate):
            with pytest.raises(NotFound):
                call(harness, brand_id=None, discount_id=discount_id)
    refused(harness, NotFound, brand_id="Other", discount_id=found.id)


def test_a_redemption_that_does_not_exist_is_not_found(harness: ServiceHarness) -> None:
    calls: list[Callable[..., Redemption]] = [redemptions.show, redemptions.confirm, redemptions.roll_back]
    before = harness.state()
    for redemption_id in ("", "rdm-", make_redemption_id(3, "IKEA", "A-1"), make_redemption_id(200, "IKEA", "A-1")):
        for call in calls:
            with pytest.raises(NotFound):
                call(harness.store, redemption_id)
    assert harness.state() == before


# Wrong codes


def guesses_of(harness: ServiceHarness, who: str = "User 1", kind: str = "user", brand: str = "IKEA") -> int:
    partition = keys.partition_of(brand, PARTITIONS)
    return int(harness.redis.get(keys.guesses(partition, brand, kind, who)) or 0)


def test_unknown_mistyped_and_another_user_s_code_get_one_answer(harness: ServiceHarness) -> None:
    found = harness.create(total=3)
    own, others = harness.grant(found.id).code, harness.grant(found.id, "User 2").code
    waiting, elsewhere = harness.pool(found.id)[0], shared(harness, brand="Other")
    wrong = [others, waiting, own[:-1], own + "A", "-", CODE, "'", "%", "é"]
    for number, code in enumerate(wrong):
        for place in ({"brand_id": "IKEA"}, {"brand_id": None, "discount_id": found.id}):
            with pytest.raises(NotGranted) as caught:
                redeem(harness, code, f"A-{number}", **place)
            assert (caught.value.facts, caught.value.detail) == ({}, WRONG)
            harness.redis.delete(keys.guesses(partition_of(found.id), "IKEA", "user", "User 1"))
    assert harness.show(found.id).redeemed_count == harness.show(elsewhere.id).redeemed_count == 0
    assert redeem(harness, own).state == "redeemed"


def test_a_wrong_code_shows_nothing_of_the_rule_and_counts_as_one(harness: ServiceHarness) -> None:
    found = harness.create(rule=Rule(amount_off=1, currency="EUR", minimum_amount=9_999), limits={"total": 0})
    harness.grant(found.id)
    harness.change(found.id, paused=True)
    places: list[dict[str, Any]] = [{}, {"brand_id": None, "discount_id": found.id}]
    for number, place in enumerate(places, 1):
        with pytest.raises(NotGranted):
            redeem(harness, "WRONG", **place)
        assert guesses_of(harness) == guesses_of(harness, ADDRESS, "address") == number


@pytest.mark.parametrize("call", [redeem, validate])
@pytest.mark.parametrize("by_brand", [True, False], ids=["brand", "discount"])
def test_a_user_has_to_wait_after_too_many_wrong_codes(harness: ServiceHarness, call: Any, by_brand: bool) -> None:
    found = shared(harness)
    place = {"brand_id": "IKEA"} if by_brand else {"brand_id": None, "discount_id": found.id}
    for _ in range(checkouts.USER_GUESSES):
        assert words(validate(harness, "WRONG", **place)) == ["not-granted"]
    before = harness.state()
    for code in ("WRONG", CODE):
        with pytest.raises(TooManyGuesses) as caught:
            call(harness, code, **place)
        assert 0 < int(caught.value.facts["retry_after"]) <= checkouts.GUESS_SECONDS
    assert harness.state() == before
    assert redeem(harness, CODE, "A-1", "User 2").state == "redeemed"
    harness.redis.delete(keys.guesses(partition_of(found.id), "IKEA", "user", "User 1"))
    assert redeem(harness, CODE, "A-2").state == "redeemed"


def test_wrong_codes_of_an_address_count_over_its_users(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkouts, "ADDRESS_GUESSES", 6)
    found = shared(harness)
    places: list[dict[str, Any]] = [{}, {"brand_id": None, "discount_id": found.id}]
    for number in range(6):
        with pytest.raises(NotGranted):
            redeem(harness, "WRONG", "A-1", f"User {number}", address="192.0.2.1", **places[number % 2])
    for place in places:
        refused(harness, TooManyGuesses, CODE, "A-1", "User 9", address="192.0.2.1", **place)
    assert redeem(harness, CODE, "A-1", "User 9", address="192.0.2.2").state == "redeemed"


def test_wrong_codes_at_one_brand_are_not_counted_at_another(harness: ServiceHarness) -> None:
    one, other = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
    for brand in (one, other):
        shared(harness, brand=brand)
    for _ in range(checkouts.USER_GUESSES):
        validate(harness, "WRONG", brand_id=one)
    with pytest.raises(TooManyGuesses):
        redeem(harness, brand_id=one)
    assert redeem(harness, brand_id=other).state == "redeemed"


def test_without_an_address_only_the_user_s_wrong_codes_are_counted(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkouts, "ADDRESS_GUESSES", 2)
    found = shared(harness)
    places: list[dict[str, Any]] = [{}, {"brand_id": None, "discount_id": found.id}]
    for number in range(6):
        validate(harness, "WRONG", "A-1", f"User {number}", address="", **places[number % 2])
    assert redeem(harness, CODE, "A-1", "User 9", address="").state == "redeemed"


def test_a_repeated_redemption_is_answered_after_any_number_of_wrong_codes(harness: ServiceHarness) -> None:
    shared(harness)
    made = redeem(harness)
    for _ in range(checkouts.USER_GUESSES):
        validate(harness, "WRONG")
    assert redeem(harness).id == made.id


def test_right_codes_and_refusals_do_not_count_as_guesses(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 1}, rule=Rule(amount_off=1, currency="EUR"))
    redeem(harness)
    for number in range(checkouts.USER_GUESSES + 1):
        refused(harness, LimitReached, CODE, f"B-{number}")
        refused(harness, CurrencyMismatch, CODE, f"B-{number}", currency="SEK")
    assert guesses_of(harness) == guesses_of(harness, ADDRESS, "address") == 0
    assert counted(harness, found.id)[0] == 1


def test_a_wrong_code_is_forgotten_after_some_time(harness: ServiceHarness) -> None:
    shared(harness)
    validate(harness, "WRONG")
    partition = keys.partition_of("IKEA", PARTITIONS)
    for name in (
        keys.guesses(partition, "IKEA", "user", "User 1"),
        keys.guesses(partition, "IKEA", "address", ADDRESS),
    ):
        harness.redis.expire(name, 100)
    validate(harness, "WRONG")
    for name in (
        keys.guesses(partition, "IKEA", "user", "User 1"),
        keys.guesses(partition, "IKEA", "address", ADDRESS),
    ):
        assert 100 < harness.redis.ttl(name) <= checkouts.GUESS_SECONDS


# Repeated calls


@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "held"])
@pytest.mark.parametrize("key", [None, "key"], ids=["order", "key"])
def test_the_same_again_gets_the_first_answer_and_counts_nothing(
    harness: ServiceHarness, hold: int | None, key: str | None
) -> None:
    found = shared(harness, limits={"total": 1, "per_user": 1})
    first = redeem(harness, hold=hold, key=key)
    before = harness.state()
    for again in (redeem(harness, hold=hold, key=key), redeem(harness, "summer 26", hold=hold, key=key)):
        assert not again.fresh
        assert again == show(harness, first)
    assert (again.state, again.left, again.hold_until) == (first.state, first.left, first.hold_until)
    assert harness.state() == before
    assert counted(harness, found.id)[:2] == ((0, 1) if hold else (1, 0))


def test_a_repeated_redemption_is_answered_after_any_change_of_the_discount(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"per_user": 1})
    made = redeem(harness)
    harness.change(found.id, paused=True, expires_at=harness.now(), limits={"total": 0})
    harness.close(found.id, void=True)
    assert redeem(harness) == redemptions.find(harness.store, made.id)


@pytest.mark.parametrize(
    "other",
    [{"code": "AUTUMN"}, {"user": "User 2"}, {"amount": 5001}, {"currency": "SEK"}, {"hold": 60}],
    ids=["code", "user", "amount", "currency", "hold"],
)
@pytest.mark.parametrize("by_key", [False, True], ids=["order", "key"])
def test_an_order_or_a_key_with_something_else_is_refused(
    harness: ServiceHarness, other: dict[str, Any], by_key: bool
) -> None:
    shared(harness)
    shared(harness, "AUTUMN")
    redeem(harness, key="key")
    refused(
        harness, IdempotencyMismatch, **{"order": "A-2" if by_key else "A-1", "key": "key" if by_key else None}, **other
    )


@pytest.mark.parametrize(
    ("other", "detail"),
    [
        ({"code": "AUTUMN"}, "This order was used with another code."),
        ({"user": "User 2"}, "This order was used with another user_id."),
        ({"amount": 1, "currency": "SEK"}, "This order was used with another amount, currency."),
        ({"hold": 900}, "This order was used with another hold_seconds."),
        ({"hold": None}, "This order was used with another hold_seconds."),
        ({"order": "A-2"}, "This Idempotency-Key was used with another request."),
    ],
)
def test_a_mismatch_names_the_difference(harness: ServiceHarness, other: dict[str, Any], detail: str) -> None:
    shared(harness)
    shared(harness, "AUTUMN")
    redeem(harness, hold=600, key="key")
    key = "key" if "order" in other else None
    with pytest.raises(IdempotencyMismatch) as caught:
        redeem(harness, **({"hold": 600, "key": key} | other))
    assert (caught.value.detail, caught.value.facts) == (detail, {})


def test_orders_and_keys_of_users_and_of_the_shop_do_not_collide(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"per_user": 1})
    own = redeem(harness, hold=600, key="key", by_user=True)
    others = redeem(harness, CODE, "A-1", "User 2", hold=60, key="key", by_user=True)
    made = redeem(harness, CODE, "A-1", "User 3", amount=7, key="key")
    assert len({own.id, others.id, made.id}) == 3
    assert (own.fresh, others.fresh, made.fresh) == (True, True, True)
    assert redeem(harness, hold=600, key="key", by_user=True) == redemptions.find(harness.store, own.id)
    # What the user holds gives way to what the shop redeems for the user, as always.
    assert redeem(harness, CODE, "A-2").state == "redeemed"
    assert show(harness, own).state == "released"
    assert counted(harness, found.id)[:2] == (2, 1)


def test_the_order_of_a_user_is_not_one_that_a_shop_can_name(harness: ServiceHarness) -> None:
    shared(harness)
    ids = {redeem(harness, CODE, order, user, by_user=True).id for user, order in (("1:a", "b"), ("1", "a:b"))}
    for order in ("3:1:a:b", "1:1:a:b", "user:3:1:a:4:IKEA:b", "1:a:4:IKEA:b"):
        ids.add(redeem(harness, CODE, order).id)
    assert len(ids) == 6


def test_a_hold_of_an_order_is_not_changed_by_other_content(harness: ServiceHarness) -> None:
    shared(harness)
    held = redeem(harness, hold=600)
    for other in ({"amount": 1, "hold": 600}, {"hold": 601}, {"hold": None}, {"user": "User 2", "hold": 600}):
        refused(harness, IdempotencyMismatch, **other)
    assert confirm(harness, held).state == "redeemed"


def test_a_wrong_code_reveals_nothing_about_an_order(harness: ServiceHarness) -> None:
    found = harness.create(rule=TEN_PERCENT)
    redeem(harness, harness.grant(found.id).code, key="key")
    for number in range(2):
        with pytest.raises(NotGranted):
            redeem(harness, "WRONG", f"A-{1 + number}", discount_id=found.id, key="key")
        with pytest.raises(NotGranted):
            redeem(harness, harness.grant(found.id).code, f"A-{1 + number}", "User 2", discount_id=found.id, key="key")


def test_orders_and_keys_of_two_brands_do_not_collide(harness: ServiceHarness) -> None:
    one, other = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
    for brand in (one, other):
        shared(harness, brand=brand)
    first, second = redeem(harness, brand_id=one, key="key"), redeem(harness, brand_id=other, key="key", amount=1)
    assert (first.id != second.id, first.fresh, second.fresh) == (True, True, True)


def test_keys_of_a_discount_and_of_a_redemption_do_not_collide(harness: ServiceHarness) -> None:
    found = shared(harness)
    redeem(harness, key="one")
    harness.create(idempotency_key="two")
    with pytest.raises(IdempotencyMismatch):
        harness.create(idempotency_key="one")
    refused(harness, IdempotencyMismatch, CODE, "A-2", key="two")
    assert counted(harness, found.id)[0] == 1


def test_a_refusal_leaves_the_order_and_the_key_free(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 0})
    refused(harness, LimitReached, key="key")
    harness.change(found.id, limits={"total": 1})
    assert redeem(harness, amount=7, key="key").fresh


# Rollback


@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "held"])
def test_a_rollback_returns_the_use_once_and_keeps_its_first_reason(harness: ServiceHarness, hold: int | None) -> None:
    found = shared(harness, limits={"total": 1, "per_user": 1, "per_user_per_day": 1, "per_user_per_week": 1})
    made = redeem(harness, hold=hold)
    before = harness.now()
    undone = roll_back(harness, made, 'Cancelled: ✂ "x"\n')
    assert (undone.state, undone.reason) == ("rolled-back", 'Cancelled: ✂ "x"\n')
    assert undone.rolled_back_at is not None
    assert before <= undone.rolled_back_at <= harness.now()
    assert counted(harness, found.id) == (0, 0, 1, {} if hold else {"EUR": (0, 0)})
    kept = harness.state()
    assert roll_back(harness, made, "Another") == roll_back(harness, made) == show(harness, made) == undone
    assert harness.state() == kept
    assert redeem(harness, CODE, "A-2").left == dict.fromkeys(found.limits, 0)
    refused(harness, LimitReached, CODE, "A-3", "User 2")


def test_a_rolled_back_order_stays_rolled_back(harness: ServiceHarness) -> None:
    shared(harness)
    undone = roll_back(harness, redeem(harness, key="key"))
    before = harness.state()
    assert redeem(harness) == redeem(harness, key="key") == undone
    assert harness.state() == before
    refused(harness, IdempotencyMismatch, amount=1)
    with pytest.raises(HoldEnded):
        confirm(harness, undone)
    assert harness.state() == before


def test_a_use_that_does_not_return_stays_counted_in_the_limits(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 3, "per_user": 2}, returns_use=False)
    roll_back(harness, redeem(harness))
    assert counted(harness, found.id) == (0, 0, 1, {"EUR": (0, 0)})
    assert validate(harness).left == {"total": 2, "per_user": 1}
    # A hold was never a use.
    roll_back(harness, redeem(harness, CODE, "A-2", hold=600))
    assert validate(harness).left == {"total": 2, "per_user": 1}
    # Once confirmed it is.
    roll_back(harness, confirm(harness, redeem(harness, CODE, "A-3", hold=600)))
    assert validate(harness).left == {"total": 1, "per_user": 0}
    assert counted(harness, found.id) == (0, 0, 3, {"EUR": (0, 0)})


def test_a_rollback_works_after_any_change_of_the_discount(harness: ServiceHarness) -> None:
    found = shared(harness)
    made = redeem(harness)
    harness.change(found.id, paused=True, expires_at=harness.now(), limits={"total": 0})
    harness.close(found.id, void=True)
    assert roll_back(harness, made).state == "rolled-back"
    assert counted(harness, found.id) == (0, 0, 1, {"EUR": (0, 0)})


# Holds


def test_a_hold_is_counted_until_it_is_confirmed(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 1})
    held = redeem(harness, hold=600)
    assert held.hold_until == held.redeemed_at + 600 * SECOND
    assert (held.state, held.confirmed_at, show(harness, held).state) == ("held", None, "held")
    assert counted(harness, found.id) == (0, 1, 0, {})
    before = harness.now()
    done = confirm(harness, held)
    assert (done.state, done.redeemed_at, done.hold_until) == ("redeemed", held.redeemed_at, held.hold_until)
    assert done.confirmed_at is not None
    assert before <= done.confirmed_at <= harness.now()
    assert counted(harness, found.id) == (1, 0, 0, {"EUR": (5000, 500)})
    kept = harness.state()
    assert confirm(harness, held) == redeem(harness, hold=600) == done
    assert harness.state() == kept


def test_a_use_that_was_never_held_is_final_already(harness: ServiceHarness) -> None:
    shared(harness)
    made = redeem(harness)
    before = harness.state()
    assert confirm(harness, made) == show(harness, made)
    assert harness.state() == before


def test_a_hold_can_be_confirmed_after_any_change_of_the_discount(harness: ServiceHarness) -> None:
    found = shared(harness)
    held = redeem(harness, hold=600)
    harness.change(found.id, paused=True, expires_at=harness.now(), limits={"total": 0})
    harness.close(found.id, void=True)
    assert confirm(harness, held).state == "redeemed"


def test_a_hold_ends_by_itself_after_its_seconds(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 1})
    held = redeem(harness, hold=1)
    assert held.hold_until is not None
    while (state := show(harness, held).state) == "held":
        time.sleep(0.05)
    assert (state, harness.now() >= held.hold_until) == ("released", True)
    assert counted(harness, found.id) == (0, 0, 0, {})
    before = harness.state()
    with pytest.raises(HoldEnded):
        confirm(harness, held)
    assert roll_back(harness, held).state == "released"
    assert harness.state() == before
    assert redeem(harness, CODE, "A-2", "User 2").left == {"total": 0}


@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "held"])
@pytest.mark.parametrize("other", [{}, {"amount": 1, "currency": "SEK"}, {"user": "User 2"}], ids=["", "order", "user"])
def test_an_order_may_be_retried_after_its_hold_ended(
    harness: ServiceHarness, hold: int | None, other: dict[str, Any]
) -> None:
    found = shared(harness, limits={"total": 1, "per_user": 1})
    held = redeem(harness, hold=600)
    let_end(harness, held)
    again = redeem(harness, hold=hold, **other)
    assert (again.id, again.fresh) == (held.id, True)
    assert show(harness, again).state == again.state == ("held" if hold else "redeemed")
    assert counted(harness, found.id)[:3] == ((0, 1, 0) if hold else (1, 0, 0))
    assert [each.id for each in redemption_lists.list_all(harness.store, found.id)] == [held.id]
    roll_back(harness, again)
    assert redeem(harness, CODE, "A-2").left == {"total": 0, "per_user": 0}


def test_a_hold_that_is_over_leaves_its_key_to_the_same_order(harness: ServiceHarness) -> None:
    shared(harness)
    held = redeem(harness, hold=600, key="key")
    let_end(harness, held)
    refused(harness, IdempotencyMismatch, CODE, "A-2", hold=600, key="key")
    again = redeem(harness, hold=600, key="key")
    assert (again.id, again.fresh, again.state) == (held.id, True, "held")


def test_a_new_checkout_is_not_blocked_by_the_users_earlier_hold(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 1})
    first = redeem(harness, hold=600)
    before = harness.state()
    assert words(validate(harness, CODE, "A-2")) == []
    assert words(validate(harness, CODE, "A-2", "User 2")) == ["limit-reached"]
    assert harness.state() == before
    second = redeem(harness, CODE, "A-2", hold=600)
    assert (show(harness, first).state, show(harness, second).state) == ("released", "held")
    with pytest.raises(HoldEnded):
        confirm(harness, first)
    assert roll_back(harness, first).state == "released"
    assert counted(harness, found.id)[:3] == (0, 1, 0)
    # The first order may come back, and then the second gives way.
    third = redeem(harness, hold=600)
    assert (third.id, third.fresh, show(harness, second).state) == (first.id, True, "released")
    assert confirm(harness, third).state == "redeemed"
    refused(harness, LimitReached, CODE, "A-2", hold=600)


def test_a_hold_is_released_only_when_another_hold_needs_its_count(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"per_user": 3})
    held = [redeem(harness, CODE, f"A-{n}", hold=600) for n in range(3)]
    assert {show(harness, each).state for each in held} == {"held"}
    assert [each.left["per_user"] for each in held] == [2, 1, 0]
    redeem(harness, CODE, "A-3")
    # Only the oldest one is needed.
    assert [show(harness, each).state for each in held] == ["released", "held", "held"]
    assert counted(harness, found.id)[:3] == (1, 2, 0)


def test_a_refused_order_releases_no_hold(harness: ServiceHarness) -> None:
    found = shared(
        harness, limits={"total": 2, "per_user": 1}, rule=Rule(amount_off=1, currency="EUR", minimum_amount=9)
    )
    held = redeem(harness, hold=600)
    redeem(harness, CODE, "B-1", "User 2")
    harness.change(found.id, limits={"total": 1})
    refused(harness, LimitReached, CODE, "A-2")
    harness.change(found.id, limits={"total": 2}, paused=True)
    refused(harness, Paused, CODE, "A-2")
    harness.change(found.id, paused=False)
    refused(harness, MinimumAmount, CODE, "A-2", amount=8)
    assert confirm(harness, held).state == "redeemed"


def test_a_hold_of_another_user_is_never_released(harness: ServiceHarness) -> None:
    shared(harness, limits={"total": 1})
    held = redeem(harness, hold=600)
    assert int(refused(harness, LimitReached, CODE, "A-2", "User 2")["opens_at"]) == held.hold_until
    assert confirm(harness, held).state == "redeemed"


@pytest.mark.parametrize("call", [redemptions.confirm, redemptions.roll_back])
@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "held"])
@pytest.mark.parametrize(("code", "user"), [("AUTUMN", "User 1"), (CODE, "User 2"), ("AUTUMN", "User 2")])
def test_an_order_that_moves_in_the_meantime_is_changed_where_it_is_now(
    harness: ServiceHarness, call: Callable[..., Redemption], hold: int | None, code: str, user: str
) -> None:
    limits = {"total": 9, "per_user": 9}
    places = {each: shared(harness, each, total=3, limits=limits).id for each in (CODE, "AUTUMN")}
    held = redeem(harness, hold=600)
    let_end(harness, held)
    look = redemption_records.read

    def move_after_looking(*given: Any) -> redemption_records.Found:
        found = look(*given)
        if any((each.moment("h") or found.now) < found.now for each in found.records.values()):
            redeem(harness, code, "A-1", user, hold=hold)
        return found

    with mock.patch.object(redemption_records, "read", move_after_looking):
        done = call(harness.store, held.id)
    assert (done.code, done.user_id) == (code, user)
    confirmed = call is redemptions.confirm
    assert done.state == ("redeemed" if confirmed else "rolled-back")
    assert counted(harness, places.pop(code))[:3] == ((1, 0, 0) if confirmed else (0, 0, 1))
    for other in places.values():
        assert counted(harness, other) == (0, 0, 0, {})
    for each in (CODE, "AUTUMN"):
        for who in ("User 1", "User 2"):
            uses = int(confirmed and (each, who) == (code, user))
            total = int(confirmed and each == code)
            assert validate(harness, each, "B-1", who).left == {"total": 9 - total, "per_user": 9 - uses}


def test_only_as_many_holds_of_the_user_are_released_as_needed(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"per_user": 2})
    held = [redeem(harness, CODE, f"A-{n}", hold=600 - 100 * n) for n in range(2)]
    assert redeem(harness, CODE, "A-2").left == {"per_user": 0}
    assert [show(harness, each).state for each in held] == ["released", "held"]
    assert counted(harness, found.id)[:3] == (1, 1, 0)
    # Of a limit that was lowered meanwhile more than one is needed.
    harness.change(found.id, limits={"per_user": 5})
    more = [redeem(harness, CODE, f"B-{n}", hold=600) for n in range(3)]
    harness.change(found.id, limits={"per_user": 4})
    redeem(harness, CODE, "B-3")
    assert [show(harness, each).state for each in (held[1], *more)] == ["released", "released", "held", "held"]


@pytest.mark.parametrize("given", [{}, {"amount": 7}, {"hold": 600}], ids=["", "amount", "hold"])
def test_an_order_with_a_released_hold_may_redeem_another_discount_at_once(
    harness: ServiceHarness, given: dict[str, Any]
) -> None:
    first, other = shared(harness, limits={"per_user": 1}), shared(harness, "AUTUMN")
    held = redeem(harness, hold=600)
    redeem(harness, CODE, "A-2", hold=600)
    again = redeem(harness, "AUTUMN", "A-1", **given)
    assert (again.id, again.fresh, again.discount_id) == (held.id, True, other.id)
    assert counted(harness, first.id)[:3] == (0, 1, 0)
    assert counted(harness, other.id)[:2] == ((0, 1) if "hold" in given else (1, 0))


def test_a_user_has_a_limited_number_of_holds_of_a_discount(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(redemption_runs, "HOLDS_PER_USER", 3)
    found, other = shared(harness), shared(harness, "AUTUMN")
    held = [redeem(harness, CODE, f"A-{n}", hold=600 - n) for n in range(3)]
    assert int(refused(harness, TooManyHolds, CODE, "A-3", hold=600)["opens_at"]) == held[2].hold_until
    # A use at once, another user and another discount are not concerned.
    assert redeem(harness, CODE, "A-4").state == "redeemed"
    assert redeem(harness, CODE, "A-5", "User 2", hold=600).state == "held"
    assert redeem(harness, "AUTUMN", "A-6", hold=600).state == "held"
    confirm(harness, held[0])
    assert redeem(harness, CODE, "A-3", hold=600).state == "held"
    refused(harness, TooManyHolds, CODE, "A-7", hold=600)
    let_end(harness, held[1])
    assert redeem(harness, CODE, "A-7", hold=600).state == "held"
    # Where one gives way there is room.
    harness.change(found.id, limits={"per_user": 5})
    assert redeem(harness, CODE, "A-8", hold=600).state == "held"
    assert counted(harness, other.id)[:2] == (0, 1)


def test_the_most_holds_of_a_user_are_found_among_many_others(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 400})
    own, others, most = [], [], redemption_runs.HOLDS_PER_USER
    for n in range(most):
        others.append(redeem(harness, CODE, f"B-{n}", f"User {2 + n}", hold=1000 - n))
        own.append(redeem(harness, CODE, f"A-{n}", hold=1000 - n))
    refused(harness, TooManyHolds, CODE, "A-100", hold=600)
    harness.change(found.id, limits={"total": 10})
    # So many of others have to end that 9 are left.
    ends = sorted(each.hold_until or 0 for each in others)
    assert int(refused(harness, LimitReached, CODE, "A-100")["opens_at"]) == ends[most - 10]
    assert (
        int(refused(harness, LimitReached, CODE, "B-100", "User 200")["opens_at"])
        == sorted(each.hold_until or 0 for each in (*own, *others))[2 * most - 10]
    )
    harness.change(found.id, limits={"total": most + 1})
    redeem(harness, CODE, "A-101")
    # All own holds were released, with an event each.
    assert len(harness.events(found, "redemption.released")) == most
    assert counted(harness, found.id)[:2] == (1, most)


def test_holds_that_ended_are_cut_off_some_at_a_time(harness: ServiceHarness) -> None:
    found = shared(harness)
    partition = partition_of(found.id)
    harness.redis.zadd(keys.holds(partition, found.id), {f"rdm-{n}": 1 for n in range(250)})
    left = []
    for n in range(4):
        redeem(harness, CODE, f"A-{n}", hold=600)
        left.append(harness.redis.zcard(keys.holds(partition, found.id)))
    assert left == [151, 52, 3, 4]


def test_the_remaining_uses_shown_are_current(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"total": 9, "per_user": 3})
    held = redeem(harness, hold=600)
    assert held.left == {"total": 8, "per_user": 2}
    redeem(harness, CODE, "A-2")
    redeem(harness, CODE, "B-1", "User 2")
    assert show(harness, held).left == confirm(harness, held).left == {"total": 6, "per_user": 1}
    assert roll_back(harness, held).left == show(harness, held).left == {"total": 7, "per_user": 2}
    harness.change(found.id, limits={"total": None, "per_user": 1, "per_user_per_day": 4})
    with mock.patch.object(time, "time_ns", return_value=0):
        assert show(harness, held).left == {"per_user": 0, "per_user_per_day": 3}
    # A list, and the answer to a repeat, have what was left after the use.
    assert redeem(harness, hold=600).left == held.left
    assert [each.left for each in redemption_lists.list_all(harness.store, found.id) if each.id == held.id] == [
        held.left
    ]


# Events


def test_a_use_and_its_rollback_have_an_event_each(harness: ServiceHarness) -> None:
    found = shared(harness)
    made = redeem(harness, amount=1999)
    redeem(harness, amount=1999)
    undone = roll_back(harness, made, "why")
    roll_back(harness, made, "again")
    fact = {
        "brand": "IKEA",
        "number": str(found.number),
        "user": "User 1",
        "code": CODE,
        "redemption": made.id,
        "amount": "1999",
        "currency": "EUR",
        "discount_amount": "200",
        "order": made.order.id,
    }
    assert [each for each in harness.events(found) if each["type"] != "discount.created"] == [
        {"type": "code.redeemed", "at": str(made.redeemed_at)} | fact | {"left": ""},
        {"type": "redemption.rolled-back", "at": str(undone.rolled_back_at)} | fact | {"reason": "why", "undone": "1"},
    ]


def events_of_redemptions(harness: ServiceHarness, found: Discount) -> list[tuple[str, str]]:
    """Return the types of a discount's redemption events, each with its redemption."""
    return [(each["type"], each["redemption"]) for each in harness.events(found) if "redemption" in each]


def test_a_hold_has_an_event_for_each_step(harness: ServiceHarness) -> None:
    found = shared(harness)
    ended, confirmed, given_up = (redeem(harness, CODE, f"A-{n}", hold=600) for n in range(3))
    let_end(harness, ended)
    begun = [("redemption.held", each.id) for each in (ended, confirmed, given_up)]
    assert events_of_redemptions(harness, found) == begun
    held_until = [each["hold_until"] for each in harness.events(found, "redemption.held")]
    assert held_until == [str(each.hold_until) for each in (ended, confirmed, given_up)]
    done = [confirm(harness, confirmed) for _ in range(2)]
    for _ in range(2):
        roll_back(harness, given_up, "left the shop")
        roll_back(harness, ended)
    # Nothing runs when a hold ends by itself, so it has no event.
    assert events_of_redemptions(harness, found) == [
        *begun,
        ("redemption.confirmed", confirmed.id),
        ("code.redeemed", confirmed.id),
        ("redemption.released", given_up.id),
    ]
    for kind in ("redemption.confirmed", "code.redeemed"):
        assert [each["at"] for each in harness.events(found, kind)] == [str(done[0].confirmed_at)]
    assert [each["reason"] for each in harness.events(found, "redemption.released")] == ["left the shop"]
    roll_back(harness, confirmed)
    assert events_of_redemptions(harness, found)[-1] == ("redemption.rolled-back", confirmed.id)


@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "held"])
def test_the_event_of_a_released_hold_comes_before_that_of_the_new_use(
    harness: ServiceHarness, hold: int | None
) -> None:
    found = shared(harness, limits={"per_user": 1})
    first = redeem(harness, hold=600, amount=1999)
    second = redeem(harness, CODE, "A-2", hold=hold)
    word = "redemption.held" if hold else "code.redeemed"
    assert events_of_redemptions(harness, found) == [
        ("redemption.held", first.id),
        ("redemption.released", first.id),
        (word, second.id),
    ]
    event = harness.events(found, "redemption.released")[0]
    assert (event["at"], event["reason"]) == (str(second.redeemed_at), "")
    assert (event["amount"], event["discount_amount"], event["currency"]) == ("1999", "200", "EUR")


@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "held"])
def test_the_last_use_of_a_total_has_an_event(harness: ServiceHarness, hold: int | None) -> None:
    found = shared(harness, limits={"total": 2, "per_user": 2})
    for order in ("A-1", "A-2"):
        assert harness.events(found, "discount.limit-reached") == []
        made = confirm(harness, redeem(harness, CODE, order, hold=hold))
    at = str(made.confirmed_at or made.redeemed_at)
    reached = {"type": "discount.limit-reached", "at": at, "brand": "IKEA", "number": str(found.number)}
    assert harness.events(found, "discount.limit-reached") == [reached | {"limit": "total"}]
    with pytest.raises(LimitReached):
        redeem(harness, CODE, "A-3")
    roll_back(harness, made)
    assert len(harness.events(found, "discount.limit-reached")) == 1
    redeem(harness, CODE, "A-3")
    assert len(harness.events(found, "discount.limit-reached")) == 2


def test_a_refusal_a_validation_and_a_wrong_code_emit_no_event(harness: ServiceHarness) -> None:
    found = shared(harness, limits={"per_user": 1})
    redeem(harness)
    events = harness.events(found)
    refused(harness, AlreadyRedeemed, CODE, "A-2")
    validate(harness, CODE, "A-2", "User 2")
    validate(harness, "WRONG")
    assert harness.events(found) == events


# Lists


def listed(ask: Callable[..., Page[Redemption]], limit: int = 100, **filters: Any) -> list[Redemption]:
    """Return the redemptions of all pages, and check the size of each page."""
    found: list[Redemption] = []
    cursor: str | None = None
    for _ in range(1000):
        page = ask(limit=limit, cursor=cursor, **filters)
        assert len(page.items) <= limit
        found += page.items
        cursor = page.next
        if cursor is None:
            return found
    raise AssertionError("the pages have no end")


def of_discount(harness: ServiceHarness, discount_id: str) -> Callable[..., Page[Redemption]]:
    return lambda **filters: redemption_lists.list_of_discount(harness.store, discount_id, **filters)


def of_user(harness: ServiceHarness, user: str = "User 1", brand: str | None = None) -> Callable[..., Page[Redemption]]:
    return lambda **filters: redemption_lists.list_of_user(harness.store, user, brand_id=brand, **filters)


@pytest.mark.parametrize("limit", [1, 2, 9, 10, 11])
def test_pages_are_together_all_redemptions_newest_first(harness: ServiceHarness, limit: int) -> None:
    found = shared(harness)
    made = [redeem(harness, CODE, f"A-{n}", f"User {n % 2}") for n in range(10)][::-1]
    whole = [show(harness, each) for each in made]
    assert listed(of_discount(harness, found.id), limit) == whole
    assert listed(of_user(harness), limit) == [each for each in whole if each.user_id == "User 1"]
    assert list(redemption_lists.list_all(harness.store, found.id)) == whole


def test_a_user_s_redemptions_of_all_brands_are_one_list(harness: ServiceHarness) -> None:
    names = ["IKEA", *BRANDS[:6]]
    for brand in names:
        shared(harness, brand=brand)
    made = [redeem(harness, CODE, f"A-{n}", brand_id=names[n * 3 % 7]) for n in range(21)][::-1]
    redeem(harness, CODE, "B-1", "User 2")
    for limit in (1, 4, 20, 21, 22):
        assert [each.id for each in listed(of_user(harness), limit)] == [each.id for each in made]
        of_one = [each.id for each in made if each.brand_id == "IKEA"]
        assert [each.id for each in listed(of_user(harness, brand="IKEA"), limit)] == of_one


def test_a_users_list_separates_two_brands_of_a_partition(harness: ServiceHarness) -> None:
    one, other = [brand for brand in (f"b{n}" for n in range(200)) if keys.partition_of(brand, PARTITIONS) == 5][:2]
    for brand in (one, other):
        shared(harness, brand=brand)
    made = [redeem(harness, CODE, f"A-{n}", brand_id=(one, other)[n % 2]) for n in range(10)][::-1]
    for limit in (1, 2, 5, 6):
        for brand in (one, other):
            wanted = [each.id for each in made if each.brand_id == brand]
            assert [each.id for each in listed(of_user(harness, brand=brand), limit)] == wanted


@pytest.mark.parametrize("limit", [1, 3, 4, 100])
def test_a_list_is_filtered_by_state(harness: ServiceHarness, limit: int) -> None:
    found = shared(harness)
    made = [redeem(harness, CODE, f"A-{n}", hold=600 if n % 4 else None) for n in range(12)]
    for n, each in enumerate(made):
        if n % 4 == 1:
            let_end(harness, each)
        if n % 4 == 2:
            roll_back(harness, each)
    for place, state in enumerate(("redeemed", "released", "rolled-back", "held")):
        wanted = [made[n].id for n in (8 + place, 4 + place, place)]
        for ask in (of_discount(harness, found.id), of_user(harness)):
            assert [each.id for each in listed(ask, limit, state=state)] == wanted
        assert [each.id for each in redemption_lists.list_all(harness.store, found.id, state=state)] == wanted


@pytest.mark.parametrize("limit", [1, 2, 100])
def test_a_list_is_filtered_from_a_moment_on_and_before_a_moment(harness: ServiceHarness, limit: int) -> None:
    found = shared(harness)
    made = [redeem(harness, CODE, f"A-{n}") for n in range(6)]
    times = [each.redeemed_at for each in made]
    for ask in (of_discount(harness, found.id), of_user(harness)):

        def orders(ask: Callable[..., Page[Redemption]] = ask, **filters: int) -> str:
            return "".join(each.order.id[2:] for each in listed(ask, limit, **filters))

        assert orders(since=times[2]) == "5432"
        assert orders(since=times[2] + 1) == "543"
        assert orders(until=times[2]) == "10"
        assert orders(until=times[2] + 1) == "210"
        assert orders(since=times[1], until=times[4]) == "321"
        assert orders(since=times[4], until=times[1]) == orders(since=times[5] + 1) == orders(until=times[0]) == ""
    between = redemption_lists.list_all(harness.store, found.id, since=times[1], until=times[4])
    assert [each.id for each in between] == [each.id for each in made[3:0:-1]]


def test_redemptions_of_one_microsecond_in_many_partitions_are_each_listed_once(harness: ServiceHarness) -> None:
    made = []
    for brand in BRANDS[:7]:
        shared(harness, brand=brand)
        made += [redeem(harness, CODE, f"A-{n}", brand_id=brand) for n in range(2)]
    times = [each.redeemed_at for each in made[:2]]
    for n, each in enumerate(made):
        records.change(harness.redis, each.id, at=times[n % 2])
    for limit in (1, 2, 6, 7, 8, 13, 14, 15):
        for filters, wanted in (({}, made), ({"until": times[1]}, made[::2]), ({"since": times[1]}, made[1::2])):
            ids = [each.id for each in listed(of_user(harness), limit, **filters)]
            assert sorted(ids) == sorted(each.id for each in wanted)


@pytest.mark.parametrize("hold", [None, 600], ids=["redeemed", "held"])
def test_an_order_that_moved_on_is_listed_where_it_is_now(harness: ServiceHarness, hold: int | None) -> None:
    first, second = shared(harness), shared(harness, "AUTUMN")
    others = [redeem(harness, CODE, f"B-{n}").id for n in range(3)]
    let_end(harness, redeem(harness, hold=600))
    now = redeem(harness, "AUTUMN", "A-1", "User 2", hold=hold).id
    others.append(redeem(harness, CODE, "B-3").id)
    for limit in (1, 2, 4, 5):
        assert [each.id for each in listed(of_user(harness), limit)] == others[::-1]
        assert [each.id for each in listed(of_discount(harness, first.id), limit)] == others[::-1]
        assert [each.id for each in listed(of_user(harness, "User 2"), limit)] == [now]
        assert [each.id for each in listed(of_discount(harness, second.id), limit)] == [now]
    assert [each.id for each in redemption_lists.list_all(harness.store, first.id)] == others[::-1]


def test_a_filter_looks_at_some_and_leads_on(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redemption_lists, "LOOKED_AT", 4)
    found = shared(harness)
    made = [redeem(harness, CODE, f"A-{n}", hold=None if n in (0, 9) else 600) for n in range(12)]
    page = redemption_lists.list_of_discount(harness.store, found.id, limit=2, state="rolled-back")
    assert (page.items, page.next is None) == ([], False)
    for limit in (1, 2, 3):
        assert [each.id for each in listed(of_discount(harness, found.id), limit, state="redeemed")] == [
            made[9].id,
            made[0].id,
        ]
    assert len(list(redemption_lists.list_all(harness.store, found.id))) == 12


def test_a_redemption_made_while_paging_hides_none_that_was_there(harness: ServiceHarness) -> None:
    found = shared(harness)
    made = [redeem(harness, CODE, f"A-{n}") for n in range(5)][::-1]
    seen: list[str] = []
    cursor: str | None = None
    for number in range(10):
        page = redemption_lists.list_of_discount(harness.store, found.id, limit=2, cursor=cursor)
        seen += [each.id for each in page.items]
        redeem(harness, CODE, f"B-{number}")
        cursor = page.next
        if cursor is None:
            break
    assert seen == [each.id for each in made]


def test_a_discount_and_a_user_without_redemptions_list_none(harness: ServiceHarness) -> None:
    found = shared(harness)
    redeem(harness)
    assert list(redemption_lists.list_all(harness.store, harness.create().id)) == []
    assert listed(of_user(harness, "User 2")) == listed(of_user(harness, brand="Other")) == []
    for discount_id in ("x", make_discount_id(partition_of(found.id), 10)):
        with pytest.raises(NotFound):
            redemption_lists.list_of_discount(harness.store, discount_id)
        with pytest.raises(NotFound):
            redemption_lists.list_all(harness.store, discount_id)


def test_a_cursor_of_another_list_is_refused(harness: ServiceHarness) -> None:
    found = shared(harness)
    for cursor in ("x", make_cursor(0, "a"), make_cursor(5, found.id)):
        for ask in (of_discount(harness, found.id), of_user(harness)):
            with pytest.raises(Invalid, match="cursor is not a cursor"):
                ask(cursor=cursor)


def test_a_redemption_with_a_discount_is_one_round_trip(harness: ServiceHarness) -> None:
    found = shared(harness)
    redeem(harness, discount_id=found.id)
    with mock.patch.object(discounts, "show") as shown, mock.patch.object(harness.store, "commands") as sent:
        redeem(harness, CODE, "A-2", brand_id=None, discount_id=found.id)
    assert (shown.call_count, sent.call_count) == (0, 0)
