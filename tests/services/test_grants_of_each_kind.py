"""The four kinds of code, from creating a discount to its last grant."""

import re
from typing import Any
from unittest import mock

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from discount.domain import code_kinds
from discount.domain.code_kinds import CodeKind, Kind
from discount.domain.code_sequence import ALPHABET, canonical
from discount.domain.errors import (
    BelowGranted,
    Closed,
    CodeTaken,
    IdempotencyMismatch,
    Invalid,
    Refusal,
    SoldOut,
    Unavailable,
)
from discount.domain.model import Grant
from discount.services import brand_grants, contacts, discounts, grants
from tests.services.harness import (
    BRANDS,
    GIVEN,
    SECOND,
    ServiceHarness,
    fake_harness,
    flat,
)

KINDS: list[Kind] = ["unique", "imported", "personal", "shared"]
NO_POOL: list[Kind] = ["personal", "shared"]
# All of these are `ann` in a personal code.
ANNS = ["Ann", "ann", "ANN", "ann!", "¡ann!", "A\u0301nn", "-ann-", "(ann)", "Ａｎｎ", "ann?"]
LETTERS = "[2-9a-hjkmnp-z]{8}"


def codes_of(outcomes: list[Grant | Refusal]) -> list[str]:
    """Return the codes in order, and the slugs of refusals."""
    return [each.slug if isinstance(each, Refusal) else each.code for each in outcomes]


def refusal(stage: ServiceHarness, discount_id: str, total: int | None) -> tuple[str, str]:
    """Check that a total is refused and nothing changes; return the field and the reason."""
    before = stage.state()
    with pytest.raises(Invalid) as caught:
        stage.change(discount_id, total_count=total, paused=True)
    assert stage.state() == before
    [error] = caught.value.facts["errors"]
    return error["pointer"], error["detail"]


# Every kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_discount_of_any_kind_is_shown_and_listed_as_it_was_asked_for(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind)
    assert found.codes == code_kinds.make(kind, 3, GIVEN[kind])
    assert (found.total_count, found.granted_count, found.remaining_count) == (3, 0, 3)
    assert stage.status(found.id) == "active"
    assert discounts.list_page(stage.store, brand_id="IKEA").items == [found]


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_gets_a_code_of_any_kind_once_and_the_same_after_that(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind)
    first, *others = [stage.grant(found.id) for _ in range(3)]
    assert first.fresh
    assert [(each.code, each.granted_at, each.fresh) for each in others] == [(first.code, first.granted_at, False)] * 2
    assert (stage.show(found.id).granted_count, stage.show(found.id).remaining_count) == (1, 2)
    assert grants.held_grant(stage.store, found.id, "User 1").code == first.code
    assert [each.code for each in flat(stage.pages_of_user("User 1", 10))] == [first.code]


@pytest.mark.parametrize("kind", KINDS)
def test_a_discount_of_any_kind_gives_its_total_and_not_one_more(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind)
    held = stage.grant_all(found.id, 3)
    assert len({each.code for each in held}) == (1 if kind == "shared" else 3)
    before = stage.state()
    with pytest.raises(SoldOut):
        stage.grant(found.id, "One more")
    assert stage.state() == before
    assert stage.status(found.id) == "sold-out"
    assert [stage.grant(found.id, each.user_id).code for each in held] == [each.code for each in held]
    assert len(stage.events(found, "discount.sold-out")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_bulk_of_any_kind_gives_what_there_is_in_the_order_of_the_users(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind, total=3)
    users = ["B", "A", "B", "C", "D"]
    codes = codes_of(grants.grant_many(stage.store, found.id, users))
    assert codes[4] == "sold-out"
    assert codes[2] == codes[0]
    assert codes[:4] == [stage.grant(found.id, user).code for user in users[:4]]
    assert len(set(codes[:4])) == (1 if kind == "shared" else 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_brand_gives_of_any_kind(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind, total=1)
    held = brand_grants.grant_of_brand(stage.store, "IKEA", "User 1")
    assert (held.discount_id, held.fresh) == (found.id, True)
    assert not brand_grants.grant_of_brand(stage.store, "IKEA", "User 1").fresh
    with pytest.raises(SoldOut):
        brand_grants.grant_of_brand(stage.store, "IKEA", "User 2")


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_discount_of_any_kind_keeps_what_it_gave_and_gives_no_more(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind)
    held = stage.grant(found.id)
    closed = stage.close(found.id)
    assert (closed.total_count, closed.granted_count, closed.remaining_count) == (3, 1, 2)
    assert stage.grant(found.id).code == held.code
    with pytest.raises(Closed):
        stage.grant(found.id, "User 2")


@pytest.mark.parametrize("kind", KINDS)
def test_the_holder_of_any_kind_of_code_gets_it_after_the_end(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind, total=1)
    held = stage.grant(found.id)
    stage.change(found.id, paused=True, expires_at=stage.now() - SECOND)
    assert stage.grant(found.id).code == held.code


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_request_again_makes_one_discount_of_any_kind(stage: ServiceHarness, kind: Kind) -> None:
    asked: dict[str, Any] = {"kind": code_kinds.make(kind, 3, GIVEN[kind]), "idempotency_key": "once"}
    first = stage.create(**asked)
    assert stage.create(**asked) == first
    other: Kind = "imported" if kind != "imported" else "shared"
    with pytest.raises(IdempotencyMismatch):
        stage.create(**asked | {"kind": code_kinds.make(other, 3, GIVEN[other])})
    assert stage.list_ids() == [first.id]


@pytest.mark.parametrize("kind", ["unique", *NO_POOL])
def test_a_raised_total_of_any_kind_gives_that_many_more(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind, total=2)
    stage.grant_all(found.id, 2)
    raised = stage.change(found.id, total_count=4)
    assert (raised.total_count, raised.granted_count, raised.remaining_count) == (4, 2, 2)
    assert [each.fresh for each in stage.grant_all(found.id, 4)] == [False, False, True, True]
    with pytest.raises(SoldOut):
        stage.grant(found.id, "One more")


@pytest.mark.parametrize("kind", ["unique", *NO_POOL])
def test_a_total_of_any_kind_is_lowered_to_what_is_granted_and_not_below(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind, total=5)
    stage.grant_all(found.id, 2)
    with pytest.raises(BelowGranted):
        stage.change(found.id, total_count=1)
    assert stage.change(found.id, total_count=2).remaining_count == 0
    with pytest.raises(SoldOut):
        stage.grant(found.id, "One more")


def test_discounts_of_every_kind_stand_side_by_side(stage: ServiceHarness) -> None:
    made = [stage.create_kind(kind) for kind in KINDS]
    held = {kind: stage.grant(each.id).code for kind, each in zip(KINDS, made, strict=True)}
    assert held["imported"] == "Own 0"
    assert held["personal"] == "ikea-thinks-user-1-is-awesome"
    assert held["shared"] == "AHMED2022BILLO"
    assert [each.code for each in flat(stage.pages_of_user("User 1", 10, "IKEA"))] == list(held.values())


# Unique


def test_unique_codes_have_the_prefix_the_pattern_and_the_letters_that_were_asked_for(stage: ServiceHarness) -> None:
    found = stage.create_kind("unique", total=20, prefix="IKEA-", pattern="######.######", alphabet="XYZ789")
    for each in stage.grant_all(found.id, 20):
        assert re.fullmatch(r"IKEA-[XYZ789]{6}\.[XYZ789]{6}", each.code)


def test_a_typed_code_is_known_as_genuine_however_it_is_typed(stage: ServiceHarness) -> None:
    found = stage.create_kind("unique", total=5, prefix="Ikea-")
    sequence = stage.sequence(found.id)
    for counter, held in enumerate(stage.grant_all(found.id, 5)):
        wide = "".join(chr(ord(letter) + 0xFEE0) for letter in held.code)
        for typed in (held.code, held.code.lower(), held.code.replace("-", " – "), f" {held.code}\u200b", wide):
            assert sequence.counter(typed) == counter


def test_a_code_that_was_never_made_is_not_known_as_genuine(stage: ServiceHarness) -> None:
    found = stage.create_kind("unique", total=5)
    sequence = stage.sequence(found.id)
    code = stage.grant(found.id).code
    # Of this pattern one guess in 10**17 is a code that was made.
    for letter in set(found.codes.alphabet) - {code[-1]}:
        counter = sequence.counter(code[:-1] + letter)
        assert counter is not None
        assert counter >= 5
    assert sequence.counter("IK-2222") is None


def test_a_raised_total_goes_on_in_the_sequence(stage: ServiceHarness) -> None:
    found = stage.create_kind("unique", total=2)
    stage.grant_all(found.id, 2)
    stage.change(found.id, total_count=6)
    sequence = stage.sequence(found.id)
    assert [sequence.counter(each.code) for each in stage.grant_all(found.id, 6)] == list(range(6))


@given(
    pattern=st.text("#A7_.-", max_size=63).map(lambda text: text + "#") | st.integers(1, 64).map(lambda n: "#" * n),
    alphabet=st.sampled_from(["AB", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", ALPHABET]),
    prefix=st.sampled_from(["", "IKEA-", "P" * 32]),
    total=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_any_pattern_that_is_taken_gives_all_its_codes(pattern: str, alphabet: str, prefix: str, total: int) -> None:
    stage = fake_harness()
    asked = {"pattern": pattern, "alphabet": alphabet} | ({"prefix": prefix} if prefix else {})
    try:
        found = stage.create_kind("unique", total, **asked)
        stage.change(found.id, total_count=total + 5)
    except Invalid:
        assume(False)
    held = codes_of(grants.grant_many(stage.store, found.id, [f"User {number}" for number in range(total + 2)]))
    held.append(stage.grant(found.id, "Another").code)
    assert len({canonical(code) for code in held}) == total + 3
    sequence = stage.sequence(found.id)
    assert [sequence.counter(code) for code in held] == list(range(total + 3))
    assert len(stage.waiting(found.id)) == 2
    stage.check()


def test_two_discounts_of_one_pattern_have_codes_of_their_own(stage: ServiceHarness) -> None:
    one, other = (stage.create_kind("unique", total=50) for _ in range(2))
    assert not set(stage.waiting(one.id)) & set(stage.waiting(other.id))


def test_unique_codes_are_never_without_limit(stage: ServiceHarness) -> None:
    found = stage.create_kind("unique")
    assert refusal(stage, found.id, None) == ("/total_count", "cannot be without limit for unique codes")


def test_unique_codes_are_never_raised_until_they_can_be_guessed(stage: ServiceHarness) -> None:
    found = stage.create_kind("unique", total=10, pattern="####", alphabet="0123456789")
    pointer, detail = refusal(stage, found.id, 11)
    assert pointer == "/total_count"
    assert detail.startswith("does not fit: #### gives 10,000 codes, and with 11 made one guess in 909 would be right")
    assert stage.change(found.id, total_count=9).total_count == 9


def test_two_users_hold_what_no_reader_takes_for_the_same(stage: ServiceHarness) -> None:
    found = stage.create_kind("unique", total=200, pattern="####-####", alphabet="aBcDeFgH")
    codes = codes_of(grants.grant_many(stage.store, found.id, [f"User {number}" for number in range(200)]))
    assert len(set(map(canonical, codes))) == 200


# Shared


def test_a_shared_code_is_the_same_for_all_users_until_it_is_sold_out(stage: ServiceHarness) -> None:
    found = stage.create_kind("shared", total=3, code="AHMED2022BILLO")
    held = stage.grant_all(found.id, 3)
    assert [(each.user_id, each.code, each.fresh) for each in held] == [
        (f"User {number}", "AHMED2022BILLO", True) for number in range(3)
    ]
    with pytest.raises(SoldOut):
        stage.grant(found.id, "One more")


@pytest.mark.parametrize("kind", NO_POOL)
def test_without_a_total_there_is_always_one_more(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind, total=None)
    assert (found.total_count, found.remaining_count) == (None, None)
    outcomes = grants.grant_many(stage.store, found.id, [f"User {number}" for number in range(300)])
    assert all(isinstance(each, Grant) and each.fresh for each in outcomes)
    shown = stage.show(found.id)
    assert (shown.total_count, shown.granted_count, shown.remaining_count) == (None, 300, None)
    assert stage.status(found.id) == "active"
    assert stage.events(found, "discount.sold-out") == []


@pytest.mark.parametrize("kind", NO_POOL)
def test_a_limit_is_set_moved_and_taken_away(stage: ServiceHarness, kind: Kind) -> None:
    found = stage.create_kind(kind, total=None)
    stage.grant_all(found.id, 3)
    with pytest.raises(BelowGranted) as caught:
        stage.change(found.id, total_count=2)
    assert caught.value.facts == {"granted_count": "3"}
    assert stage.change(found.id, total_count=3).remaining_count == 0
    with pytest.raises(SoldOut):
        stage.grant(found.id, "One more")
    assert stage.change(found.id, total_count=None).remaining_count is None
    assert stage.grant(found.id, "One more").fresh
    assert stage.change(found.id, total_count=5).remaining_count == 1


def test_a_shared_code_is_given_as_it_was_written(stage: ServiceHarness) -> None:
    for code in ("Ahmed 2022 – Billo", "50% off!", "{user}", "編號　八", "a b"):
        found = stage.create_kind("shared", code=code)
        assert stage.grant(found.id).code == code
        assert stage.export(found.id)[0].code == code


def test_a_brand_has_a_shared_code_once_however_it_is_written(stage: ServiceHarness) -> None:
    stage.create_kind("shared", code="Café-10")
    before = stage.state()
    for code in ("Café-10", "café10", "CAFE\u0301 10", "ＣＡＦÉ１０", "caf\u00e9–1 0", "c-a-f-é-1-0\u200b"):
        with pytest.raises(CodeTaken):
            stage.create_kind("shared", code=code)
    assert stage.state() == before


@pytest.mark.parametrize("how", ["void", "past its end", "closed and past its end"])
def test_a_shared_code_is_free_again_when_its_discount_is_over(stage: ServiceHarness, how: str) -> None:
    first = stage.create_kind("shared", code="Café-10")
    if how != "void":
        stage.change(first.id, expires_at=stage.now())
    if how != "past its end":
        stage.close(first.id, void=how == "void")
    second = stage.create_kind("shared", code="CAFÉ 10")
    assert discounts.id_of_shared(stage.store, "IKEA", "café10") == second.id
    with pytest.raises(CodeTaken):
        stage.create_kind("shared", code="Café-10")


@pytest.mark.parametrize("how", ["paused", "closed", "not started", "sold out"])
def test_a_shared_code_is_not_free_while_somebody_may_use_it(stage: ServiceHarness, how: str) -> None:
    found = stage.create_kind("shared", total=1, code="SALE")
    stage.grant(found.id)
    if how == "closed":
        stage.close(found.id)
    elif how == "paused":
        stage.change(found.id, paused=True)
    elif how == "not started":
        stage.change(found.id, starts_at=stage.now() + 3600 * SECOND)
    before = stage.state()
    with pytest.raises(CodeTaken):
        stage.create_kind("shared", code="sale")
    assert stage.state() == before


def test_a_discount_whose_code_was_taken_over_cannot_be_extended(stage: ServiceHarness) -> None:
    first = stage.create_kind("shared", code="SALE")
    ended = stage.now()
    stage.change(first.id, expires_at=ended)
    # Nobody has the code yet.
    stage.change(first.id, expires_at=ended + 3600 * SECOND)
    stage.change(first.id, expires_at=ended)
    second = stage.create_kind("shared", code="sale", total=None)
    before = stage.state()
    for expires_at in (None, ended + 3600 * SECOND):
        with pytest.raises(CodeTaken):
            stage.change(first.id, expires_at=expires_at, discount_code="Easter")
    assert stage.state() == before
    assert stage.change(first.id, discount_code="Easter", expires_at=ended - 1).discount_code == "Easter"
    stage.change(second.id, expires_at=ended + 3600 * SECOND)
    stage.close(second.id, void=True)
    # Who has the code is over too, but it may be told of no longer than one discount.
    with pytest.raises(CodeTaken):
        stage.change(first.id, expires_at=None)


def test_of_two_who_take_over_a_code_at_once_one_gets_it(stage: ServiceHarness) -> None:
    first = stage.create_kind("shared", code="SALE")
    stage.close(first.id, void=True)
    run = stage.store.run
    made: list[str] = []

    def take_first(name: str, *call: Any) -> Any:
        if name == "create" and call[1][-1] == first.id and not made:
            made.append("")
            made[0] = stage.create_kind("shared", code="SALE").id
        return run(name, *call)

    with mock.patch.object(stage.store, "run", take_first), pytest.raises(CodeTaken):
        stage.create_kind("shared", code="SALE")
    assert discounts.id_of_shared(stage.store, "IKEA", "SALE") == made[0]


def test_another_brand_may_have_the_same_shared_code(stage: ServiceHarness) -> None:
    made = [stage.create_kind("shared", brand=brand, code="SALE") for brand in (*BRANDS[:3], "b9", "b10")]
    assert {stage.grant(each.id).code for each in made} == {"SALE"}


def test_a_brand_may_have_shared_codes_that_read_differently(stage: ServiceHarness) -> None:
    made = [stage.create_kind("shared", code=code) for code in ("CAFE10", "CAFÉ10", "CAFE.10", "CAFE1O")]
    assert len(stage.list_ids()) == len(made)


def test_the_code_that_is_taken_does_not_stop_the_same_request_from_being_sent_again(stage: ServiceHarness) -> None:
    asked: dict[str, Any] = {"kind": CodeKind("shared", code="SALE"), "idempotency_key": "once"}
    first = stage.create(**asked)
    assert stage.create(**asked) == first
    with pytest.raises(CodeTaken):
        stage.create(**asked | {"idempotency_key": "again"})
    with pytest.raises(CodeTaken):
        stage.create(kind=asked["kind"])


def test_a_request_that_was_refused_leaves_its_key_and_its_code_free(stage: ServiceHarness) -> None:
    stage.create_kind("shared", code="SALE")
    with pytest.raises(CodeTaken):
        stage.create(kind=CodeKind("shared", code="sale"), idempotency_key="once")
    with pytest.raises(Invalid):
        stage.create(kind=CodeKind("shared", code="LATE"), expires_at=stage.now() - SECOND, idempotency_key="once")
    assert stage.create(kind=CodeKind("shared", code="LATE"), idempotency_key="once").codes.code == "LATE"


# Personal


def test_a_personal_code_is_as_the_template_says(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", brand="Åhléns", template="{brand}-thinks-{user}-is-awesome")
    assert stage.grant(found.id, "Åse Øst").code == "ahlens-thinks-ase-ost-is-awesome"
    assert stage.grant(found.id, "李小龍").code == "ahlens-thinks-li-xiao-long-is-awesome"
    assert stage.grant(found.id, "🎄").code == "ahlens-thinks-user-is-awesome"


def test_an_id_in_a_personal_code_is_another_for_each_user(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=20, template="{brand}-{user}-{id}")
    codes = [stage.grant(found.id, user).code for user in ANNS]
    for code in codes:
        assert re.fullmatch("ikea-ann-[2-9A-HJ-NP-Za-km-z]{22}", code)
    assert len(set(map(canonical, codes))) == len(ANNS)


def test_random_letters_in_a_personal_code_are_others_for_each_user(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=20, template="{user}.{random}")
    codes = [stage.grant(found.id, user).code for user in ANNS]
    for code in codes:
        assert re.fullmatch(rf"ann\.{LETTERS}", code)
    assert len(set(codes)) == len(ANNS)


def test_users_whose_names_are_written_alike_get_a_number_then_letters(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=20, template="for-{user}")
    codes = [stage.grant(found.id, user).code for user in ANNS]
    assert codes[:3] == ["for-ann", "for-ann-2", "for-ann-3"]
    for code in codes[3:]:
        assert re.fullmatch(f"for-ann-{LETTERS}", code)
    assert len(set(codes)) == len(ANNS)
    assert [stage.grant(found.id, user).code for user in ANNS] == codes


def test_a_bulk_of_users_whose_names_are_written_alike_gives_each_a_code_of_its_own(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=None, template="for-{user}")
    codes = codes_of(grants.grant_many(stage.store, found.id, ANNS * 2))
    assert codes[:3] == ["for-ann", "for-ann-2", "for-ann-3"]
    assert codes[len(ANNS) :] == codes[: len(ANNS)]
    assert len(set(codes)) == len(ANNS)


def test_a_name_that_reads_like_anothers_code_gets_a_code_of_its_own(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=20, template="{user}")
    # All are `ann2` to a reader.
    users = ["Ann", "ann", "Ann 2", "ann-2", "Ann2", "a-n-n-2"]
    codes = [stage.grant(found.id, user).code for user in users]
    assert codes[:4] == ["ann", "ann-2", "ann-2-2", "ann-2-3"]
    assert re.fullmatch(f"ann2-{LETTERS}", codes[4])
    assert re.fullmatch(f"a-n-n-2-{LETTERS}", codes[5])
    assert len(set(map(canonical, codes))) == len(users)


def test_another_discount_may_give_the_same_personal_code(stage: ServiceHarness) -> None:
    made = [stage.create_kind("personal", template="for-{user}") for _ in range(2)]
    assert [stage.grant(each.id, "Ann").code for each in made] == ["for-ann", "for-ann"]


def test_letters_that_somebody_has_are_drawn_again(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=20, template="{user}")
    with mock.patch.object(code_kinds, "_random", return_value="aaaaaaaa"):
        assert [stage.grant(found.id, user).code for user in ANNS[:4]][3] == "ann-aaaaaaaa"
    # The fifth draws the letters of the fourth twice before it draws its own.
    with mock.patch.object(code_kinds, "_random", side_effect=["aaaaaaaa", "aaaaaaaa", "bbbbbbbb"]):
        assert stage.grant(found.id, ANNS[4]).code == "ann-bbbbbbbb"
    with mock.patch.object(code_kinds, "_random", side_effect=["bbbbbbbb", "cccccccc", "cccccccc", "dddddddd"]):
        assert codes_of(grants.grant_many(stage.store, found.id, ANNS[5:7])) == ["ann-dddddddd", "ann-cccccccc"]


def test_a_draw_that_never_ends_is_given_up(stage: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "REFILLS", 3)
    found = stage.create_kind("personal", total=20, template="{user}")
    with mock.patch.object(code_kinds, "_random", return_value="aaaaaaaa"):
        for user in ANNS[:4]:
            stage.grant(found.id, user)
        before = stage.state()
        with pytest.raises(Unavailable):
            stage.grant(found.id, ANNS[4])
        with pytest.raises(Unavailable):
            grants.grant_many(stage.store, found.id, ANNS[4:6])
    assert stage.state() == before


def test_a_number_counts_the_grants_and_goes_on_when_the_total_is_raised(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=3, template="{brand}-{seq}/{user}")
    assert [each.code for each in stage.grant_all(found.id, 3)] == [f"ikea-{n + 1}/user-{n}" for n in range(3)]
    with pytest.raises(SoldOut):
        stage.grant(found.id, "User 3")
    stage.change(found.id, total_count=5)
    assert [each.code for each in stage.grant_all(found.id, 5)] == [f"ikea-{n + 1}/user-{n}" for n in range(5)]


def test_a_refused_grant_uses_no_number_up(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", template="no{seq}")
    stage.change(found.id, paused=True)
    assert codes_of(grants.grant_many(stage.store, found.id, ["A", "B"])) == ["paused", "paused"]
    stage.change(found.id, paused=False)
    assert codes_of(grants.grant_many(stage.store, found.id, ["B", "A", "B"])) == ["no1", "no2", "no1"]


def test_users_whose_names_are_written_alike_are_told_apart_by_the_number(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=50, template="{user}x{seq}")
    users = ["a", "ax1", "a x 1", "ax", "a-x", "x", "ax1x", "1", "ax11", "A", "ax 1 x 1", "a1"]
    codes = codes_of(grants.grant_many(stage.store, found.id, users))
    assert len(set(map(canonical, codes))) == len(users)


def test_text_of_a_template_is_given_as_it_was_written(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=2, template="%d%1 %s \\0 $1 [{seq}] {brand}%")
    assert [each.code for each in stage.grant_all(found.id, 2)] == [f"%d%1 %s \\0 $1 [{n}] ikea%" for n in (1, 2)]


def test_a_bulk_of_personal_codes_goes_on_over_slices(stage: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "SLICE", 7)
    found = stage.create_kind("personal", total=30, template="{seq}-for-{user}")
    users = [f"User {number}" for number in range(40)]
    codes = codes_of(grants.grant_many(stage.store, found.id, users))
    assert codes == [f"{n + 1}-for-user-{n}" for n in range(30)] + ["sold-out"] * 10


def test_a_replica_that_does_not_know_a_template_learns_it(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=9, template="{user}x{seq}")
    assert found.id not in stage.store.definitions
    codes = [stage.grant(found.id, "User 1").code]
    stage.store.definitions.clear()
    codes += codes_of(grants.grant_many(stage.store, found.id, ["User 1", "User 2", "User 3"]))
    stage.store.definitions.clear()
    codes.append(brand_grants.grant_of_brand(stage.store, "IKEA", "User 4").code)
    assert codes == ["user-1x1", "user-1x1", "user-2x2", "user-3x3", "user-4x4"]
    assert stage.store.definitions == {found.id: found.definition}


def test_a_replica_remembers_only_so_many_templates(stage: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(discounts, "REMEMBERED", 3)
    made = [stage.create_kind("personal", template=f"{number}-{{user}}") for number in range(8)]
    for round_ in range(2):
        for number, each in enumerate(made):
            assert stage.grant(each.id, f"User {round_}").code == f"{number}-user-{round_}"
            assert len(stage.store.definitions) <= 3


def test_other_kinds_have_no_template_to_remember(stage: ServiceHarness) -> None:
    for kind in ("unique", "imported", "shared"):
        stage.grant(stage.create_kind(kind).id)
    assert stage.store.definitions == {}


# Imported


def test_an_imported_discount_begins_with_nothing_however_many_are_expected(stage: ServiceHarness) -> None:
    for expected in (None, 5, 1_000_000):
        found = stage.create(total=expected, kind=CodeKind("imported"))
        assert (found.total_count, found.granted_count, found.remaining_count) == (0, 0, 0)
        assert stage.status(found.id) == "empty"
        with pytest.raises(SoldOut):
            stage.grant(found.id)


def test_imported_codes_are_as_many_as_were_imported(stage: ServiceHarness) -> None:
    found = stage.create_kind("imported", total=2)
    stage.grant(found.id)
    why = ("/total_count", "is how many codes were imported; import more")
    for total in (1, 2, 5, None):
        assert refusal(stage, found.id, total) == why


def test_other_changes_of_an_imported_discount_are_fine(stage: ServiceHarness) -> None:
    found = stage.create_kind("imported", total=2)
    changed = stage.change(found.id, discount_code="Easter", paused=True)
    assert (changed.discount_code, changed.paused, changed.total_count) == ("Easter", True, 2)


# Names


def test_a_code_has_the_name_that_the_brand_knows_of_its_user(stage: ServiceHarness) -> None:
    found = stage.create_kind("personal", total=9, template="{name}-has-{discount}")
    contacts.put(stage.store, "u1", brand_id="IKEA", email="a@x.example", name="Stina Åkerman")
    contacts.put(stage.store, "u2", brand_id="IKEA", email="a@x.example", name="stina åkerman")
    contacts.put(stage.store, "u3", brand_id="Other", email="a@x.example", name="Not for IKEA")
    contacts.put(stage.store, "u3", brand_id=None, email="a@x.example", name="Not for IKEA either")
    assert stage.grant(found.id, "u1").code == f"Stina Åkerman-has-{found.id}"
    # To a reader it would be the same.
    assert stage.grant(found.id, "u2").code == f"stina åkerman-has-{found.id}-2"
    assert codes_of(grants.grant_many(stage.store, found.id, ["u3", "u1"])) == [
        f"u3-has-{found.id}",
        f"Stina Åkerman-has-{found.id}",
    ]
    assert brand_grants.grant_of_brand(stage.store, "IKEA", "u2").code == f"stina åkerman-has-{found.id}-2"


def test_only_a_code_with_a_name_in_it_costs_a_look_for_the_name(
    stage: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    names = contacts.names

    def counted(*arguments: Any) -> Any:
        looked.append("names")
        return names(*arguments)

    monkeypatch.setattr(contacts, "names", counted)
    for template in ("{user}-{discount}", "{brand}-{id}"):
        plain = stage.create_kind("personal", template=template)
        stage.grant(plain.id, "u1")
        grants.grant_many(stage.store, plain.id, ["u1", "u2"])
    assert looked == []
    named = stage.create_kind("personal", template="{name}")
    stage.grant(named.id, "u1")
    assert len(looked) == 1
