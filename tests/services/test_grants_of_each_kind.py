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
from discount.services import brand_grants, contacts, discount_lists, discounts, grant_records, grants
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


def refusal(harness: ServiceHarness, discount_id: str, total: int | None) -> tuple[str, str]:
    """Check that a total is refused and nothing changes; return the field and the reason."""
    before = harness.state()
    with pytest.raises(Invalid) as caught:
        harness.change(discount_id, total_count=total, paused=True)
    assert harness.state() == before
    [error] = caught.value.facts["errors"]
    return error["pointer"], error["detail"]


# Every kind


@pytest.mark.parametrize("kind", KINDS)
def test_a_discount_of_any_kind_is_shown_and_listed_as_it_was_asked_for(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind)
    assert found.codes == code_kinds.make(kind, 3, GIVEN[kind])
    assert (found.total_count, found.granted_count, found.remaining_count) == (3, 0, 3)
    assert harness.status(found.id) == "active"
    assert discount_lists.list_page(harness.store, brand_id="IKEA").items == [found]


@pytest.mark.parametrize("kind", KINDS)
def test_a_user_gets_a_code_of_any_kind_once_and_the_same_after_that(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind)
    first, *others = [harness.grant(found.id) for _ in range(3)]
    assert first.fresh
    assert [(each.code, each.granted_at, each.fresh) for each in others] == [(first.code, first.granted_at, False)] * 2
    assert (harness.show(found.id).granted_count, harness.show(found.id).remaining_count) == (1, 2)
    assert grant_records.held_grant(harness.store, found.id, "User 1").code == first.code
    assert [each.code for each in flat(harness.pages_of_user("User 1", 10))] == [first.code]


@pytest.mark.parametrize("kind", KINDS)
def test_a_discount_of_any_kind_gives_exactly_its_total(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind)
    held = harness.grant_all(found.id, 3)
    assert len({each.code for each in held}) == (1 if kind == "shared" else 3)
    before = harness.state()
    with pytest.raises(SoldOut):
        harness.grant(found.id, "One more")
    assert harness.state() == before
    assert harness.status(found.id) == "sold-out"
    assert [harness.grant(found.id, each.user_id).code for each in held] == [each.code for each in held]
    assert len(harness.events(found, "discount.sold-out")) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_bulk_grant_gives_the_available_codes_in_user_order(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=3)
    users = ["B", "A", "B", "C", "D"]
    codes = codes_of(grants.grant_many(harness.store, found.id, users))
    assert codes[4] == "sold-out"
    assert codes[2] == codes[0]
    assert codes[:4] == [harness.grant(found.id, user).code for user in users[:4]]
    assert len(set(codes[:4])) == (1 if kind == "shared" else 3)


@pytest.mark.parametrize("kind", KINDS)
def test_the_brand_gives_of_any_kind(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=1)
    held = brand_grants.grant_of_brand(harness.store, "IKEA", "User 1")
    assert (held.discount_id, held.fresh) == (found.id, True)
    assert not brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").fresh
    with pytest.raises(SoldOut):
        brand_grants.grant_of_brand(harness.store, "IKEA", "User 2")


@pytest.mark.parametrize("kind", KINDS)
def test_a_closed_discount_of_any_kind_keeps_its_grants_and_adds_none(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind)
    held = harness.grant(found.id)
    closed = harness.close(found.id)
    assert (closed.total_count, closed.granted_count, closed.remaining_count) == (3, 1, 2)
    assert harness.grant(found.id).code == held.code
    with pytest.raises(Closed):
        harness.grant(found.id, "User 2")


@pytest.mark.parametrize("kind", KINDS)
def test_the_holder_of_any_kind_of_code_gets_it_after_the_end(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=1)
    held = harness.grant(found.id)
    harness.change(found.id, paused=True, expires_at=harness.now() - SECOND)
    assert harness.grant(found.id).code == held.code


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_request_again_makes_one_discount_of_any_kind(harness: ServiceHarness, kind: Kind) -> None:
    asked: dict[str, Any] = {"kind": code_kinds.make(kind, 3, GIVEN[kind]), "idempotency_key": "once"}
    first = harness.create(**asked)
    assert harness.create(**asked) == first
    other: Kind = "imported" if kind != "imported" else "shared"
    with pytest.raises(IdempotencyMismatch):
        harness.create(**asked | {"kind": code_kinds.make(other, 3, GIVEN[other])})
    assert harness.list_ids() == [first.id]


@pytest.mark.parametrize("kind", ["unique", *NO_POOL])
def test_a_raised_total_of_any_kind_gives_that_many_more(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=2)
    harness.grant_all(found.id, 2)
    raised = harness.change(found.id, total_count=4)
    assert (raised.total_count, raised.granted_count, raised.remaining_count) == (4, 2, 2)
    assert [each.fresh for each in harness.grant_all(found.id, 4)] == [False, False, True, True]
    with pytest.raises(SoldOut):
        harness.grant(found.id, "One more")


@pytest.mark.parametrize("kind", ["unique", *NO_POOL])
def test_the_total_of_any_kind_cannot_go_below_the_granted_count(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=5)
    harness.grant_all(found.id, 2)
    with pytest.raises(BelowGranted):
        harness.change(found.id, total_count=1)
    assert harness.change(found.id, total_count=2).remaining_count == 0
    with pytest.raises(SoldOut):
        harness.grant(found.id, "One more")


def test_discounts_of_every_kind_coexist(harness: ServiceHarness) -> None:
    made = [harness.create_kind(kind) for kind in KINDS]
    held = {kind: harness.grant(each.id).code for kind, each in zip(KINDS, made, strict=True)}
    assert held["imported"] == "Own 0"
    assert held["personal"] == "ikea-thinks-user-1-is-awesome"
    assert held["shared"] == "AHMED2022BILLO"
    assert [each.code for each in flat(harness.pages_of_user("User 1", 10, "IKEA"))] == list(held.values())


# Unique


def test_unique_codes_have_the_prefix_the_pattern_and_the_letters_that_were_asked_for(harness: ServiceHarness) -> None:
    found = harness.create_kind("unique", total=20, prefix="IKEA-", pattern="######.######", alphabet="XYZ789")
    for each in harness.grant_all(found.id, 20):
        assert re.fullmatch(r"IKEA-[XYZ789]{6}\.[XYZ789]{6}", each.code)


def test_a_genuine_code_is_recognized_in_any_spelling(harness: ServiceHarness) -> None:
    found = harness.create_kind("unique", total=5, prefix="Ikea-")
    sequence = harness.sequence(found.id)
    for counter, held in enumerate(harness.grant_all(found.id, 5)):
        wide = "".join(chr(ord(letter) + 0xFEE0) for letter in held.code)
        for typed in (held.code, held.code.lower(), held.code.replace("-", " – "), f" {held.code}\u200b", wide):
            assert sequence.counter(typed) == counter


def test_a_code_that_was_never_made_is_not_genuine(harness: ServiceHarness) -> None:
    found = harness.create_kind("unique", total=5)
    sequence = harness.sequence(found.id)
    code = harness.grant(found.id).code
    # Of this pattern one guess in 10**17 is a code that was made.
    for letter in set(found.codes.alphabet) - {code[-1]}:
        counter = sequence.counter(code[:-1] + letter)
        assert counter is not None
        assert counter >= 5
    assert sequence.counter("IK-2222") is None


def test_a_raised_total_goes_on_in_the_sequence(harness: ServiceHarness) -> None:
    found = harness.create_kind("unique", total=2)
    harness.grant_all(found.id, 2)
    harness.change(found.id, total_count=6)
    sequence = harness.sequence(found.id)
    assert [sequence.counter(each.code) for each in harness.grant_all(found.id, 6)] == list(range(6))


@given(
    pattern=st.text("#A7_.-", max_size=63).map(lambda text: text + "#") | st.integers(1, 64).map(lambda n: "#" * n),
    alphabet=st.sampled_from(["AB", "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789", ALPHABET]),
    prefix=st.sampled_from(["", "IKEA-", "P" * 32]),
    total=st.integers(1, 40),
)
@settings(max_examples=60, deadline=None)
def test_any_pattern_that_is_taken_gives_all_its_codes(pattern: str, alphabet: str, prefix: str, total: int) -> None:
    harness = fake_harness()
    asked = {"pattern": pattern, "alphabet": alphabet} | ({"prefix": prefix} if prefix else {})
    try:
        found = harness.create_kind("unique", total, **asked)
        harness.change(found.id, total_count=total + 5)
    except Invalid:
        assume(False)
    held = codes_of(grants.grant_many(harness.store, found.id, [f"User {number}" for number in range(total + 2)]))
    held.append(harness.grant(found.id, "Another").code)
    assert len({canonical(code) for code in held}) == total + 3
    sequence = harness.sequence(found.id)
    assert [sequence.counter(code) for code in held] == list(range(total + 3))
    assert len(harness.waiting(found.id)) == 2
    harness.check()


def test_two_discounts_of_one_pattern_have_codes_of_their_own(harness: ServiceHarness) -> None:
    one, other = (harness.create_kind("unique", total=50) for _ in range(2))
    assert not set(harness.waiting(one.id)) & set(harness.waiting(other.id))


def test_unique_codes_are_never_without_limit(harness: ServiceHarness) -> None:
    found = harness.create_kind("unique")
    assert refusal(harness, found.id, None) == ("/total_count", "cannot be null for unique codes")


def test_unique_codes_are_never_raised_until_they_can_be_guessed(harness: ServiceHarness) -> None:
    found = harness.create_kind("unique", total=10, pattern="####", alphabet="0123456789")
    pointer, detail = refusal(harness, found.id, 11)
    assert pointer == "/total_count"
    assert detail.startswith("does not fit: #### gives 10,000 codes, and with 11 made one guess in 909 would be right")
    assert harness.change(found.id, total_count=9).total_count == 9


def test_no_two_users_hold_codes_that_read_alike(harness: ServiceHarness) -> None:
    found = harness.create_kind("unique", total=200, pattern="####-####", alphabet="aBcDeFgH")
    codes = codes_of(grants.grant_many(harness.store, found.id, [f"User {number}" for number in range(200)]))
    assert len(set(map(canonical, codes))) == 200


# Shared


def test_a_shared_code_is_the_same_for_all_users_until_it_is_sold_out(harness: ServiceHarness) -> None:
    found = harness.create_kind("shared", total=3, code="AHMED2022BILLO")
    held = harness.grant_all(found.id, 3)
    assert [(each.user_id, each.code, each.fresh) for each in held] == [
        (f"User {number}", "AHMED2022BILLO", True) for number in range(3)
    ]
    with pytest.raises(SoldOut):
        harness.grant(found.id, "One more")


@pytest.mark.parametrize("kind", NO_POOL)
def test_a_discount_without_a_total_never_sells_out(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=None)
    assert (found.total_count, found.remaining_count) == (None, None)
    outcomes = grants.grant_many(harness.store, found.id, [f"User {number}" for number in range(300)])
    assert all(isinstance(each, Grant) and each.fresh for each in outcomes)
    shown = harness.show(found.id)
    assert (shown.total_count, shown.granted_count, shown.remaining_count) == (None, 300, None)
    assert harness.status(found.id) == "active"
    assert harness.events(found, "discount.sold-out") == []


@pytest.mark.parametrize("kind", NO_POOL)
def test_a_limit_can_be_set_changed_and_removed(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=None)
    harness.grant_all(found.id, 3)
    with pytest.raises(BelowGranted) as caught:
        harness.change(found.id, total_count=2)
    assert caught.value.facts == {"granted_count": "3"}
    assert harness.change(found.id, total_count=3).remaining_count == 0
    with pytest.raises(SoldOut):
        harness.grant(found.id, "One more")
    assert harness.change(found.id, total_count=None).remaining_count is None
    assert harness.grant(found.id, "One more").fresh
    assert harness.change(found.id, total_count=5).remaining_count == 1


def test_a_shared_code_is_given_as_it_was_written(harness: ServiceHarness) -> None:
    for code in ("Ahmed 2022 – Billo", "50% off!", "{user}", "編號　八", "a b"):
        found = harness.create_kind("shared", code=code)
        assert harness.grant(found.id).code == code
        assert harness.export(found.id)[0].code == code


def test_a_brand_has_a_shared_code_once_in_any_spelling(harness: ServiceHarness) -> None:
    harness.create_kind("shared", code="Café-10")
    before = harness.state()
    for code in ("Café-10", "café10", "CAFE\u0301 10", "ＣＡＦÉ１０", "caf\u00e9–1 0", "c-a-f-é-1-0\u200b"):
        with pytest.raises(CodeTaken):
            harness.create_kind("shared", code=code)
    assert harness.state() == before


@pytest.mark.parametrize("how", ["void", "past its end", "closed and past its end"])
def test_a_shared_code_is_free_again_when_its_discount_is_over(harness: ServiceHarness, how: str) -> None:
    first = harness.create_kind("shared", code="Café-10")
    if how != "void":
        harness.change(first.id, expires_at=harness.now())
    if how != "past its end":
        harness.close(first.id, void=how == "void")
    second = harness.create_kind("shared", code="CAFÉ 10")
    assert discounts.id_of_shared(harness.store, "IKEA", "café10") == second.id
    with pytest.raises(CodeTaken):
        harness.create_kind("shared", code="Café-10")


@pytest.mark.parametrize("how", ["paused", "closed", "not started", "sold out"])
def test_a_shared_code_is_not_free_while_a_user_may_use_it(harness: ServiceHarness, how: str) -> None:
    found = harness.create_kind("shared", total=1, code="SALE")
    harness.grant(found.id)
    if how == "closed":
        harness.close(found.id)
    elif how == "paused":
        harness.change(found.id, paused=True)
    elif how == "not started":
        harness.change(found.id, starts_at=harness.now() + 3600 * SECOND)
    before = harness.state()
    with pytest.raises(CodeTaken):
        harness.create_kind("shared", code="sale")
    assert harness.state() == before


def test_a_discount_cannot_be_extended_once_another_uses_its_code(harness: ServiceHarness) -> None:
    first = harness.create_kind("shared", code="SALE")
    ended = harness.now()
    harness.change(first.id, expires_at=ended)
    # Nobody has the code yet.
    harness.change(first.id, expires_at=ended + 3600 * SECOND)
    harness.change(first.id, expires_at=ended)
    second = harness.create_kind("shared", code="sale", total=None)
    before = harness.state()
    for expires_at in (None, ended + 3600 * SECOND):
        with pytest.raises(CodeTaken):
            harness.change(first.id, expires_at=expires_at, discount_code="Easter")
    assert harness.state() == before
    assert harness.change(first.id, discount_code="Easter", expires_at=ended - 1).discount_code == "Easter"
    harness.change(second.id, expires_at=ended + 3600 * SECOND)
    harness.close(second.id, void=True)
    # The holder of the code has ended too, but an extended discount must not bring its old code back.
    with pytest.raises(CodeTaken):
        harness.change(first.id, expires_at=None)


def test_only_one_of_two_simultaneous_takeovers_of_a_code_succeeds(harness: ServiceHarness) -> None:
    first = harness.create_kind("shared", code="SALE")
    harness.close(first.id, void=True)
    run = harness.store.run
    made: list[str] = []

    def take_first(name: str, *call: Any) -> Any:
        if name == "create" and call[1][-1] == first.id and not made:
            made.append("")
            made[0] = harness.create_kind("shared", code="SALE").id
        return run(name, *call)

    with mock.patch.object(harness.store, "run", take_first), pytest.raises(CodeTaken):
        harness.create_kind("shared", code="SALE")
    assert discounts.id_of_shared(harness.store, "IKEA", "SALE") == made[0]


def test_another_brand_may_have_the_same_shared_code(harness: ServiceHarness) -> None:
    made = [harness.create_kind("shared", brand=brand, code="SALE") for brand in (*BRANDS[:3], "b9", "b10")]
    assert {harness.grant(each.id).code for each in made} == {"SALE"}


def test_a_brand_may_have_shared_codes_that_read_differently(harness: ServiceHarness) -> None:
    made = [harness.create_kind("shared", code=code) for code in ("CAFE10", "CAFÉ10", "CAFE.10", "CAFE1O")]
    assert len(harness.list_ids()) == len(made)


def test_the_code_that_is_taken_does_not_stop_the_same_request_from_being_sent_again(harness: ServiceHarness) -> None:
    asked: dict[str, Any] = {"kind": CodeKind("shared", code="SALE"), "idempotency_key": "once"}
    first = harness.create(**asked)
    assert harness.create(**asked) == first
    with pytest.raises(CodeTaken):
        harness.create(**asked | {"idempotency_key": "again"})
    with pytest.raises(CodeTaken):
        harness.create(kind=asked["kind"])


def test_a_request_that_was_refused_leaves_its_key_and_its_code_free(harness: ServiceHarness) -> None:
    harness.create_kind("shared", code="SALE")
    with pytest.raises(CodeTaken):
        harness.create(kind=CodeKind("shared", code="sale"), idempotency_key="once")
    with pytest.raises(Invalid):
        harness.create(kind=CodeKind("shared", code="LATE"), expires_at=harness.now() - SECOND, idempotency_key="once")
    assert harness.create(kind=CodeKind("shared", code="LATE"), idempotency_key="once").codes.code == "LATE"


# Personal


def test_a_personal_code_follows_the_template(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", brand="Åhléns", template="{brand}-thinks-{user}-is-awesome")
    assert harness.grant(found.id, "Åse Øst").code == "ahlens-thinks-ase-ost-is-awesome"
    assert harness.grant(found.id, "李小龍").code == "ahlens-thinks-li-xiao-long-is-awesome"
    assert harness.grant(found.id, "🎄").code == "ahlens-thinks-user-is-awesome"


def test_an_id_in_a_personal_code_is_another_for_each_user(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=20, template="{brand}-{user}-{id}")
    codes = [harness.grant(found.id, user).code for user in ANNS]
    for code in codes:
        assert re.fullmatch("ikea-ann-[2-9A-HJ-NP-Za-km-z]{22}", code)
    assert len(set(map(canonical, codes))) == len(ANNS)


def test_random_letters_in_a_personal_code_are_others_for_each_user(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=20, template="{user}.{random}")
    codes = [harness.grant(found.id, user).code for user in ANNS]
    for code in codes:
        assert re.fullmatch(rf"ann\.{LETTERS}", code)
    assert len(set(codes)) == len(ANNS)


def test_users_with_equal_slugs_get_a_number_then_letters(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=20, template="for-{user}")
    codes = [harness.grant(found.id, user).code for user in ANNS]
    assert codes[:3] == ["for-ann", "for-ann-2", "for-ann-3"]
    for code in codes[3:]:
        assert re.fullmatch(f"for-ann-{LETTERS}", code)
    assert len(set(codes)) == len(ANNS)
    assert [harness.grant(found.id, user).code for user in ANNS] == codes


def test_a_bulk_grant_to_users_with_equal_slugs_gives_distinct_codes(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=None, template="for-{user}")
    codes = codes_of(grants.grant_many(harness.store, found.id, ANNS * 2))
    assert codes[:3] == ["for-ann", "for-ann-2", "for-ann-3"]
    assert codes[len(ANNS) :] == codes[: len(ANNS)]
    assert len(set(codes)) == len(ANNS)


def test_a_name_that_reads_like_another_code_gets_a_distinct_code(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=20, template="{user}")
    # All are `ann2` to a reader.
    users = ["Ann", "ann", "Ann 2", "ann-2", "Ann2", "a-n-n-2"]
    codes = [harness.grant(found.id, user).code for user in users]
    assert codes[:4] == ["ann", "ann-2", "ann-2-2", "ann-2-3"]
    assert re.fullmatch(f"ann2-{LETTERS}", codes[4])
    assert re.fullmatch(f"a-n-n-2-{LETTERS}", codes[5])
    assert len(set(map(canonical, codes))) == len(users)


def test_another_discount_may_give_the_same_personal_code(harness: ServiceHarness) -> None:
    made = [harness.create_kind("personal", template="for-{user}") for _ in range(2)]
    assert [harness.grant(each.id, "Ann").code for each in made] == ["for-ann", "for-ann"]


def test_random_letters_of_a_taken_code_are_drawn_again(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=20, template="{user}")
    with mock.patch.object(code_kinds, "_random", return_value="aaaaaaaa"):
        assert [harness.grant(found.id, user).code for user in ANNS[:4]][3] == "ann-aaaaaaaa"
    # The fifth draws the letters of the fourth twice before it draws its own.
    with mock.patch.object(code_kinds, "_random", side_effect=["aaaaaaaa", "aaaaaaaa", "bbbbbbbb"]):
        assert harness.grant(found.id, ANNS[4]).code == "ann-bbbbbbbb"
    with mock.patch.object(code_kinds, "_random", side_effect=["bbbbbbbb", "cccccccc", "cccccccc", "dddddddd"]):
        assert codes_of(grants.grant_many(harness.store, found.id, ANNS[5:7])) == ["ann-dddddddd", "ann-cccccccc"]


def test_a_draw_that_never_succeeds_stops(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grants, "REFILLS", 3)
    found = harness.create_kind("personal", total=20, template="{user}")
    with mock.patch.object(code_kinds, "_random", return_value="aaaaaaaa"):
        for user in ANNS[:4]:
            harness.grant(found.id, user)
        before = harness.state()
        with pytest.raises(Unavailable):
            harness.grant(found.id, ANNS[4])
        with pytest.raises(Unavailable):
            grants.grant_many(harness.store, found.id, ANNS[4:6])
    assert harness.state() == before


def test_a_number_counts_the_grants_and_goes_on_when_the_total_is_raised(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=3, template="{brand}-{seq}/{user}")
    assert [each.code for each in harness.grant_all(found.id, 3)] == [f"ikea-{n + 1}/user-{n}" for n in range(3)]
    with pytest.raises(SoldOut):
        harness.grant(found.id, "User 3")
    harness.change(found.id, total_count=5)
    assert [each.code for each in harness.grant_all(found.id, 5)] == [f"ikea-{n + 1}/user-{n}" for n in range(5)]


def test_a_refused_grant_uses_no_number_up(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", template="no{seq}")
    harness.change(found.id, paused=True)
    assert codes_of(grants.grant_many(harness.store, found.id, ["A", "B"])) == ["paused", "paused"]
    harness.change(found.id, paused=False)
    assert codes_of(grants.grant_many(harness.store, found.id, ["B", "A", "B"])) == ["no1", "no2", "no1"]


def test_users_with_similar_names_get_different_codes(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=50, template="{user}x{seq}")
    users = ["a", "ax1", "a x 1", "ax", "a-x", "x", "ax1x", "1", "ax11", "A", "ax 1 x 1", "a1"]
    codes = codes_of(grants.grant_many(harness.store, found.id, users))
    assert len(set(map(canonical, codes))) == len(users)


def test_text_of_a_template_is_given_as_it_was_written(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=2, template="%d%1 %s \\0 $1 [{seq}] {brand}%")
    assert [each.code for each in harness.grant_all(found.id, 2)] == [f"%d%1 %s \\0 $1 [{n}] ikea%" for n in (1, 2)]


def test_a_bulk_grant_of_personal_codes_crosses_slices(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(grants, "SLICE", 7)
    found = harness.create_kind("personal", total=30, template="{seq}-for-{user}")
    users = [f"User {number}" for number in range(40)]
    codes = codes_of(grants.grant_many(harness.store, found.id, users))
    assert codes == [f"{n + 1}-for-user-{n}" for n in range(30)] + ["sold-out"] * 10


def test_a_replica_reads_a_template_that_it_has_not_cached(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=9, template="{user}x{seq}")
    assert found.id not in harness.store.definitions
    codes = [harness.grant(found.id, "User 1").code]
    harness.store.definitions.clear()
    codes += codes_of(grants.grant_many(harness.store, found.id, ["User 1", "User 2", "User 3"]))
    harness.store.definitions.clear()
    codes.append(brand_grants.grant_of_brand(harness.store, "IKEA", "User 4").code)
    assert codes == ["user-1x1", "user-1x1", "user-2x2", "user-3x3", "user-4x4"]
    assert harness.store.definitions == {found.id: found.definition}


def test_a_replica_caches_a_bounded_number_of_templates(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(discounts, "REMEMBERED", 3)
    made = [harness.create_kind("personal", template=f"{number}-{{user}}") for number in range(8)]
    for round_ in range(2):
        for number, each in enumerate(made):
            assert harness.grant(each.id, f"User {round_}").code == f"{number}-user-{round_}"
            assert len(harness.store.definitions) <= 3


def test_other_kinds_have_no_template_to_cache(harness: ServiceHarness) -> None:
    kinds: tuple[Kind, ...] = ("unique", "imported", "shared")
    made = [harness.create_kind(kind).id for kind in kinds]
    harness.store.definitions.clear()
    for discount_id in made:
        harness.grant(discount_id)
    assert harness.store.definitions == {}


# Imported


def test_an_imported_discount_starts_without_codes_for_any_total(harness: ServiceHarness) -> None:
    for expected in (None, 5, 1_000_000):
        found = harness.create(total=expected, kind=CodeKind("imported"))
        assert (found.total_count, found.granted_count, found.remaining_count) == (0, 0, 0)
        assert harness.status(found.id) == "empty"
        with pytest.raises(SoldOut):
            harness.grant(found.id)


def test_imported_codes_are_as_many_as_were_imported(harness: ServiceHarness) -> None:
    found = harness.create_kind("imported", total=2)
    harness.grant(found.id)
    why = ("/total_count", "cannot be set: it is the number of imported codes; import more instead")
    for total in (1, 2, 5, None):
        assert refusal(harness, found.id, total) == why


def test_other_changes_of_an_imported_discount_are_fine(harness: ServiceHarness) -> None:
    found = harness.create_kind("imported", total=2)
    changed = harness.change(found.id, discount_code="Easter", paused=True)
    assert (changed.discount_code, changed.paused, changed.total_count) == ("Easter", True, 2)


# Names


def test_a_code_contains_the_user_name_known_to_the_brand(harness: ServiceHarness) -> None:
    found = harness.create_kind("personal", total=9, template="{name}-has-{discount}")
    contacts.put(harness.store, "u1", brand_id="IKEA", email="a@x.example", name="Stina Åkerman")
    contacts.put(harness.store, "u2", brand_id="IKEA", email="a@x.example", name="stina åkerman")
    contacts.put(harness.store, "u3", brand_id="Other", email="a@x.example", name="Not for IKEA")
    contacts.put(harness.store, "u3", brand_id=None, email="a@x.example", name="Not for IKEA either")
    assert harness.grant(found.id, "u1").code == f"Stina Åkerman-has-{found.id}"
    # To a reader it would be the same.
    assert harness.grant(found.id, "u2").code == f"stina åkerman-has-{found.id}-2"
    assert codes_of(grants.grant_many(harness.store, found.id, ["u3", "u1"])) == [
        f"u3-has-{found.id}",
        f"Stina Åkerman-has-{found.id}",
    ]
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "u2").code == f"stina åkerman-has-{found.id}-2"


def test_only_a_code_that_contains_a_name_costs_a_name_lookup(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: list[str] = []
    names = contacts.names

    def counted(*arguments: Any) -> Any:
        looked.append("names")
        return names(*arguments)

    monkeypatch.setattr(contacts, "names", counted)
    for template in ("{user}-{discount}", "{brand}-{id}"):
        plain = harness.create_kind("personal", template=template)
        harness.grant(plain.id, "u1")
        grants.grant_many(harness.store, plain.id, ["u1", "u2"])
    assert looked == []
    named = harness.create_kind("personal", template="{name}")
    harness.grant(named.id, "u1")
    assert len(looked) == 1
