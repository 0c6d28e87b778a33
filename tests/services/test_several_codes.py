"""Several codes for one order: all are redeemed or none, and each takes off what the ones before it left."""

from typing import Any

import pytest
from msgspec import structs

from discount.domain.audience import Audience
from discount.domain.combinations import CLASSES
from discount.domain.errors import (
    AlreadyGrantedElsewhere,
    AlreadyRedeemed,
    HoldEnded,
    IdempotencyMismatch,
    IdentityMissing,
    Invalid,
    LimitReached,
    MinimumAmount,
    NotCombinable,
    NotGranted,
    NotInAudience,
    Refusal,
    TooManyGuesses,
)
from discount.domain.events import envelope, read_entries
from discount.domain.identity import Identity
from discount.domain.model import Discount, Redemption
from discount.domain.order_lines import Line, Products, Selection
from discount.domain.rules import Order, Rule
from discount.services import checkouts, redemptions, several_codes
from discount.services.checkouts import Checkout
from discount.services.several_codes import SeveralVerdict
from discount.store import keys
from tests.services.harness import ServiceHarness, partition_of
from tests.services.test_redeem import ADDRESS, counted, let_end, shared

LINES = (Line("a", 6000, 1, "CHAIR"), Line("b", 4000, 1, "TABLE"))


def rule(**given: Any) -> Rule:
    return Rule(**{"combines": CLASSES} | given)


def checkout(order: str = "A-1", user: str = "User 1", lines: tuple[Line, ...] = (), amount: int = 10_000) -> Checkout:
    return Checkout(user, "", Order(order, amount, "EUR", lines), brand_id="IKEA", address=ADDRESS)


def redeem(harness: ServiceHarness, *codes: str, order: str = "A-1", **given: Any) -> list[Redemption]:
    more = {name: given.pop(name) for name in ("hold_seconds", "idempotency_key", "metadata") if name in given}
    return several_codes.redeem(harness.store, checkout(order, **given), codes, **more)


def validate(harness: ServiceHarness, *codes: str, **given: Any) -> SeveralVerdict:
    return several_codes.validate(harness.store, checkout(**given), codes)


def words(verdict: SeveralVerdict) -> list[list[str]]:
    return [[reason.slug for reason in each.reasons] for each in verdict.verdicts]


def offs(found: list[Redemption]) -> list[int]:
    return [each.discount_amount for each in found]


def refused(harness: ServiceHarness, refusal: type[Refusal], *codes: str, **given: Any) -> dict[str, Any]:
    """Check that a redemption is refused and changes nothing; return the facts."""
    before = harness.state()
    with pytest.raises(refusal) as caught:
        redeem(harness, *codes, **given)
    assert harness.state() == before
    return caught.value.facts


def pair(harness: ServiceHarness, **given: Any) -> tuple[Discount, Discount]:
    """Create 10 % off and 5.00 off, which go together."""
    first = shared(harness, "TEN", **{"rule": rule(percent=1_000)} | given)
    return first, shared(harness, "FIVE", **{"rule": rule(amount_off=500, currency="EUR")} | given)


def test_both_codes_are_counted_in_the_fixed_sequence(harness: ServiceHarness) -> None:
    discounts = pair(harness)
    would = validate(harness, "FIVE", "TEN")
    made = redeem(harness, "FIVE", "TEN")
    # The percentage comes first, whatever the sequence of the codes.
    assert offs(made) == [500, 1000]
    assert (would.discount_amount, words(would)) == (1500, [[], []])
    assert [each.fresh for each in made] == [True, True]
    assert made[0].redeemed_with == (made[1].id,)
    for discount, off in zip(discounts, (1000, 500), strict=True):
        assert counted(harness, discount.id) == (1, 0, 0, {"EUR": (10_000, off)})


def test_a_percentage_is_taken_from_what_earlier_codes_left(harness: ServiceHarness) -> None:
    chairs = Selection(applies_to=Products(skus=("CHAIR",)))
    shared(harness, "CHAIRS", rule=rule(amount_off=1000, currency="EUR", selection=chairs))
    shared(harness, "HALF", rule=rule(percent=5_000))
    shared(harness, "ALL", rule=rule(amount_off=99_999, currency="EUR"))
    made = redeem(harness, "ALL", "HALF", "CHAIRS", lines=LINES)
    assert offs(made) == [4500, 4500, 1000]
    assert [each.lines for each in made] == [{"a": 2500, "b": 2000}, {"a": 2500, "b": 2000}, {"a": 1000, "b": 0}]
    assert validate(harness, "ALL", "HALF", "CHAIRS", lines=LINES, order="A-2").lines == {"a": 6000, "b": 4000}


def test_the_same_order_gets_the_first_answer_whatever_the_sequence_of_its_codes(harness: ServiceHarness) -> None:
    discounts = pair(harness)
    made = redeem(harness, "FIVE", "TEN")
    for codes in (("FIVE", "TEN"), ("ten", "five")):
        again = redeem(harness, *codes)
        assert [each.fresh for each in again] == [False, False]
        assert [each.id for each in again] == [each.id for each in made]
        assert [(each.discount_amount, each.left, each.redeemed_with) for each in again] == [
            (each.discount_amount, each.left, each.redeemed_with) for each in made
        ]
    assert [counted(harness, each.id)[0] for each in discounts] == [1, 1]


def test_the_same_order_with_other_codes_is_a_mismatch(harness: ServiceHarness) -> None:
    pair(harness)
    shared(harness, "THIRD", rule=rule(percent=100))
    redeem(harness, "FIVE", "TEN")
    for codes in (("FIVE",), ("TEN",), ("FIVE", "THIRD"), ("FIVE", "TEN", "THIRD")):
        assert refused(harness, IdempotencyMismatch, *codes) == {}
    assert (
        "idempotency-mismatch"
        in words(validate(harness, "FIVE", "TEN", "THIRD"))[0]
        + words(validate(harness, "THIRD", "TEN", "FIVE"))[0]
        + words(validate(harness, "TEN", "FIVE", "THIRD"))[0]
    )
    for code in ("FIVE", "TEN"):
        with pytest.raises(IdempotencyMismatch):
            redemptions.redeem(harness.store, Checkout("User 1", code, Order("A-1", 10_000, "EUR"), brand_id="IKEA"))


def test_an_order_of_one_code_may_be_repeated_in_either_form(harness: ServiceHarness) -> None:
    pair(harness)
    (made,) = redeem(harness, "TEN")
    assert made.redeemed_with == ()
    alone = Checkout("User 1", "TEN", Order("A-1", 10_000, "EUR"), brand_id="IKEA")
    assert redemptions.redeem(harness.store, alone).id == made.id
    assert redeem(harness, "TEN")[0].id == made.id
    refused(harness, IdempotencyMismatch, "TEN", "FIVE")


@pytest.mark.parametrize("kept", [("TEN", "FIVE"), ("FIVE", "TEN")])
def test_one_used_up_code_stops_all(harness: ServiceHarness, kept: tuple[str, str]) -> None:
    shared(harness, kept[0], rule=rule(percent=1_000), limits={"total": 0})
    other = shared(harness, kept[1], rule=rule(percent=100))
    facts = refused(harness, LimitReached, *kept)
    assert (facts["limit"], facts["code"]) == ("total", kept[0])
    assert words(validate(harness, *kept)) == [["limit-reached"], []]
    assert counted(harness, other.id) == (0, 0, 0, {})


def test_a_code_whose_rule_refuses_the_order_stops_all(harness: ServiceHarness) -> None:
    shared(harness, "TEN", rule=rule(percent=1_000))
    shared(harness, "LARGE", rule=rule(percent=5_000, currency="EUR", minimum_amount=20_000))
    facts = refused(harness, MinimumAmount, "TEN", "LARGE")
    assert facts == {"minimum_amount": 20_000, "currency": "EUR", "code": "LARGE"}
    verdict = validate(harness, "TEN", "LARGE")
    assert words(verdict) == [[], ["minimum-amount"]]
    assert [each.discount_amount for each in verdict.verdicts] == [1000, 0]


def test_a_wrong_code_is_named_and_counted_and_stops_all(harness: ServiceHarness) -> None:
    discounts = pair(harness)
    with pytest.raises(NotGranted) as caught:
        redeem(harness, "TEN", "WRONG", "FIVE")
    assert caught.value.facts == {"code": "WRONG"}
    assert words(validate(harness, "WRONG", "TEN")) == [["not-granted"], []]
    assert [counted(harness, each.id)[0] for each in discounts] == [0, 0]
    for _ in range(checkouts.USER_GUESSES - 3):
        validate(harness, "TEN", "WRONG")
    with pytest.raises(TooManyGuesses):
        validate(harness, "TEN", "WRONG")


@pytest.mark.parametrize(
    ("first", "second", "fits"),
    [
        (CLASSES, CLASSES, True),
        (CLASSES, (), False),
        ((), (), False),
        (("order-amount",), ("order-percent",), True),
        (("order-percent",), ("order-percent",), False),
    ],
)
def test_both_discounts_must_allow_each_other(
    harness: ServiceHarness, first: tuple[str, ...], second: tuple[str, ...], fits: bool
) -> None:
    shared(harness, "TEN", rule=Rule(percent=1_000, combines=first))
    shared(harness, "FIVE", rule=Rule(amount_off=500, currency="EUR", combines=second))
    if fits:
        assert offs(redeem(harness, "TEN", "FIVE")) == [1000, 500]
        return
    facts = refused(harness, NotCombinable, "TEN", "FIVE")
    assert {facts["code"], *facts["codes"]} == {"TEN", "FIVE"}
    verdict = validate(harness, "TEN", "FIVE")
    assert words(verdict) == [["not-combinable"], ["not-combinable"]]
    assert [each.reasons[0].facts for each in verdict.verdicts] == [{"codes": ["FIVE"]}, {"codes": ["TEN"]}]
    assert verdict.discount_amount == 0


def test_a_discount_is_used_once_for_an_order(harness: ServiceHarness) -> None:
    pair(harness)
    refused(harness, Invalid, "TEN", "FIVE", "t-e-n")
    with pytest.raises(Invalid, match="/codes/2 is of the same discount"):
        validate(harness, "TEN", "FIVE", "ten")


def test_codes_of_every_kind_go_together(harness: ServiceHarness) -> None:
    codes = []
    for kind in ("unique", "imported", "personal"):
        found = harness.create_kind(kind, 3, **({"template": "{user}-é-{id}"} if kind == "personal" else {}))
        codes.append(harness.grant(found.id).code)
    # Discounts of these kinds are used alone, unless they say otherwise.
    facts = refused(harness, NotCombinable, *codes)
    assert len(facts["codes"]) == 2


def test_an_idempotency_key_stands_for_all_codes(harness: ServiceHarness) -> None:
    pair(harness)
    made = redeem(harness, "TEN", "FIVE", idempotency_key="k")
    assert [each.id for each in redeem(harness, "TEN", "FIVE", idempotency_key="k")] == [each.id for each in made]
    refused(harness, IdempotencyMismatch, "TEN", idempotency_key="k", order="A-2")


def test_codes_beyond_ascii_and_months_are_asked_for_inside_the_script(harness: ServiceHarness) -> None:
    from discount.domain import code_kinds, durations  # noqa: PLC0415

    kind = code_kinds.make("personal", 5, {"template": "{user}-é-{id}"})
    first = harness.create(total=5, kind=kind, rule=rule(percent=1_000), valid_for=durations.read("P1M"))
    second = harness.create(total=5, kind=kind, rule=rule(percent=500), valid_for=durations.read("P2M"))
    codes = [harness.grant(each.id).code for each in (first, second)]
    assert offs(redeem(harness, *codes)) == [1000, 450]
    assert words(validate(harness, *codes, order="A-2")) == [["already-redeemed"], ["already-redeemed"]]


# Holds


def test_holds_are_confirmed_together(harness: ServiceHarness) -> None:
    discounts = pair(harness, limits={"per_user": 1})
    made = redeem(harness, "TEN", "FIVE", hold_seconds=60)
    assert [each.state for each in made] == ["held", "held"]
    assert several_codes.confirm(harness.store, made[1].id).state == "redeemed"
    assert [redemptions.show(harness.store, each.id).state for each in made] == ["redeemed", "redeemed"]
    assert several_codes.confirm(harness.store, made[0].id).state == "redeemed"
    for discount, off in zip(discounts, (1000, 500), strict=True):
        assert counted(harness, discount.id) == (1, 0, 0, {"EUR": (10_000, off)})
    assert words(validate(harness, "TEN", "FIVE", order="A-2")) == [["already-redeemed"]] * 2


def test_a_hold_that_ended_stops_the_confirmation_of_all(harness: ServiceHarness) -> None:
    pair(harness)
    made = redeem(harness, "TEN", "FIVE", hold_seconds=60)
    let_end(harness, made[1])
    before = harness.state()
    for each in made:
        with pytest.raises(HoldEnded):
            several_codes.confirm(harness.store, each.id)
    assert harness.state() == before


def test_a_code_that_was_rolled_back_alone_is_left_out_of_the_confirmation(harness: ServiceHarness) -> None:
    discounts = pair(harness)
    made = redeem(harness, "TEN", "FIVE", hold_seconds=60)
    redemptions.roll_back(harness.store, made[0].id)
    several_codes.confirm(harness.store, made[1].id)
    assert [redemptions.show(harness.store, each.id).state for each in made] == ["rolled-back", "redeemed"]
    assert [counted(harness, each.id)[0] for each in discounts] == [0, 1]
    redemptions.roll_back(harness.store, made[1].id)
    with pytest.raises(HoldEnded):
        several_codes.confirm(harness.store, made[0].id)


def test_the_users_own_holds_give_way_to_several_codes(harness: ServiceHarness) -> None:
    discounts = pair(harness, limits={"per_user": 1})
    first = redeem(harness, "TEN", "FIVE", hold_seconds=60)
    second = redeem(harness, "FIVE", "TEN", order="A-2")
    assert [redemptions.show(harness.store, each.id).state for each in first] == ["released", "released"]
    assert [each.state for each in second] == ["redeemed", "redeemed"]
    assert [counted(harness, each.id)[:2] for each in discounts] == [(1, 0), (1, 0)]
    refused(harness, AlreadyRedeemed, "TEN", "FIVE", order="A-3")


def test_an_order_whose_holds_ended_may_hold_again(harness: ServiceHarness) -> None:
    pair(harness, limits={"per_user": 1})
    made = redeem(harness, "TEN", "FIVE", hold_seconds=60)
    for each in made:
        let_end(harness, each)
    again = redeem(harness, "TEN", "FIVE", hold_seconds=60)
    assert [each.fresh for each in again] == [True, True]
    assert several_codes.confirm(harness.store, again[0].id).state == "redeemed"


# Rollback


def test_one_code_is_rolled_back_alone(harness: ServiceHarness) -> None:
    discounts = pair(harness)
    made = redeem(harness, "TEN", "FIVE")
    redemptions.roll_back(harness.store, made[0].id, "returned")
    assert [redemptions.show(harness.store, each.id).state for each in made] == ["rolled-back", "redeemed"]
    assert [counted(harness, each.id)[0] for each in discounts] == [0, 1]
    assert [each.state for each in redeem(harness, "TEN", "FIVE")] == ["rolled-back", "redeemed"]


@pytest.mark.parametrize("hold", [None, 60])
def test_the_whole_order_is_rolled_back_once(harness: ServiceHarness, hold: int | None) -> None:
    discounts = pair(harness, limits={"per_user": 1})
    made = redeem(harness, "TEN", "FIVE", hold_seconds=hold)
    undone = several_codes.roll_back(harness.store, made[1].id, "cancelled")
    before = harness.state()
    assert several_codes.roll_back(harness.store, made[0].id, "again").reason == "cancelled"
    assert harness.state() == before
    assert (undone.state, undone.reason) == ("rolled-back", "cancelled")
    sums = {} if hold else {"EUR": (0, 0)}
    assert [counted(harness, each.id) for each in discounts] == [(0, 0, 1, sums)] * 2
    assert offs(redeem(harness, "TEN", "FIVE", order="A-2")) == [1000, 500]


def test_the_whole_of_one_code_is_that_code(harness: ServiceHarness) -> None:
    pair(harness)
    (made,) = redeem(harness, "TEN")
    assert several_codes.roll_back(harness.store, made.id).state == "rolled-back"


def test_events_name_the_other_redemptions_of_the_order(harness: ServiceHarness) -> None:
    discounts = pair(harness)
    made = redeem(harness, "TEN", "FIVE", lines=LINES, metadata={"till": "7"})
    several_codes.roll_back(harness.store, made[0].id)
    partition = partition_of(discounts[0].id)
    entries = read_entries(partition, harness.redis.xrange(keys.events(partition)))
    data = [envelope(each, {}).data for each in entries if "redemption" in each.fields]  # type: ignore[attr-defined]
    others = {made[0].id: [made[1].id], made[1].id: [made[0].id]}
    assert len(data) == 4
    for each in data:
        assert each.redeemed_with == others[each.redemption_id]
        assert (each.order_id, each.metadata) == ("A-1", {"till": "7"})
        assert sum(each.lines.values()) == each.discount_amount


# Budgets


def test_what_a_budget_leaves_is_shared_among_the_lines(harness: ServiceHarness) -> None:
    found = shared(harness, "TEN", rule=rule(percent=1_000), bounds={"amount": {"EUR": 1500}, "budget_caps": True})
    assert [each.lines for each in redeem(harness, "TEN", lines=LINES)] == [{"a": 600, "b": 400}]
    would = redemptions.validate(harness.store, structs.replace(checkout("A-2", lines=LINES), code="TEN"))
    made = redemptions.redeem(harness.store, structs.replace(checkout("A-2", lines=LINES), code="TEN"))
    assert (would.discount_amount, would.lines) == (500, {"a": 300, "b": 200})
    assert (made.discount_amount, made.lines) == (500, {"a": 300, "b": 200})
    assert redemptions.show(harness.store, made.id).lines == made.lines
    assert counted(harness, found.id)[3] == {"EUR": (20_000, 1500)}


def test_a_budget_caps_one_code_of_an_order_and_the_others_take_off_the_same(harness: ServiceHarness) -> None:
    shared(harness, "TEN", rule=rule(percent=1_000), bounds={"amount": {"EUR": 300}, "budget_caps": True})
    shared(harness, "HALF", rule=rule(percent=5_000))
    would = validate(harness, "TEN", "HALF")
    made = redeem(harness, "TEN", "HALF")
    assert [each.discount_amount for each in would.verdicts] == offs(made) == [300, 4500]
    assert would.discount_amount == 4800
    assert offs(redeem(harness, "TEN", "HALF")) == [300, 4500]
    assert refused(harness, LimitReached, "HALF", "TEN", order="A-2")["code"] == "TEN"


def test_an_audience_is_judged_for_each_code(harness: ServiceHarness) -> None:
    shared(harness, "TEN", rule=rule(percent=1_000))
    shared(harness, "NEW", rule=rule(percent=500), audience=Audience(first_order=True))
    facts = refused(harness, NotInAudience, "TEN", "NEW")
    assert facts["code"] == "NEW"
    assert words(validate(harness, "TEN", "NEW")) == [[], ["not-in-audience"]]


def test_an_identity_is_claimed_for_each_code_or_for_none(harness: ServiceHarness) -> None:
    shared(harness, "TEN", rule=rule(percent=1_000), limits={"per_identity": 1})
    full = shared(harness, "FIVE", rule=rule(amount_off=500, currency="EUR"))
    person = Identity((("email", b"0123456789abcdef"),))
    harness.change(full.id, limits={"total": 0})
    with pytest.raises(LimitReached):
        several_codes.redeem(harness.store, structs.replace(checkout(), identity=person), ["TEN", "FIVE"])
    harness.change(full.id, limits={"total": None})
    # The refused order has claimed nothing.
    second = structs.replace(checkout(user="User 2"), identity=person)
    assert offs(several_codes.redeem(harness.store, second, ["TEN", "FIVE"])) == [1000, 500]
    assert [each.fresh for each in several_codes.redeem(harness.store, second, ["TEN", "FIVE"])] == [False, False]
    third = structs.replace(checkout("A-2", user="User 3"), identity=person)
    with pytest.raises(AlreadyGrantedElsewhere) as caught:
        several_codes.redeem(harness.store, third, ["FIVE", "TEN"])
    assert caught.value.facts["limit"] == "per_identity"
    with pytest.raises(IdentityMissing):
        redeem(harness, "FIVE", "TEN", order="A-3", user="User 4")
