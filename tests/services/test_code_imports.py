"""Imports of a brand's own codes, and exports of all codes."""

from collections.abc import Iterator
from itertools import islice
from typing import Any
from unittest import mock

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from discount.domain import code_kinds
from discount.domain.code_kinds import CodeKind, Kind
from discount.domain.code_sequence import canonical
from discount.domain.errors import (
    Closed,
    Invalid,
    NotFound,
    SoldOut,
    Unavailable,
    WrongKind,
)
from discount.domain.ids import make_discount_id
from discount.domain.model import Discount, Grant
from discount.services import brand_grants, code_pools, discounts, exports, grants
from discount.services.code_pools import Line, Report
from discount.services.exports import ExportedCode
from discount.store import keys
from tests.services.harness import (
    ServiceHarness,
    fake_harness,
    partition_of,
    real_harness,
)
from tests.support.redis_server import RedisServer

KINDS: list[Kind] = ["unique", "imported", "personal", "shared"]
IMPORTED = CodeKind("imported")
THERE = "was imported already"


@pytest.fixture
def small(monkeypatch: pytest.MonkeyPatch) -> int:
    """Shrink imports to calls of three codes, two at a time; return how many lines are read at once."""
    monkeypatch.setattr(code_pools, "AT_ONCE", 3)
    monkeypatch.setattr(code_pools, "CALLS", 2)
    return 6


def own(first: int, last: int) -> list[str]:
    return [f"C-{number:04d}" for number in range(first, last)]


def counts(discount: Discount) -> tuple[int | None, int, int | None]:
    return discount.total_count, discount.granted_count, discount.remaining_count


# Imports


def test_codes_are_added_in_the_order_of_the_file_and_granted_in_it(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    codes = ["Zebra", "apple", "10", "9", "Ärger", "10%", "a:b", "{x}"]
    assert harness.import_lines(found.id, codes) == Report(added_count=8)
    assert harness.pool(found.id) == harness.waiting(found.id) == codes
    assert counts(harness.show(found.id)) == (8, 0, 8)
    assert [each.code for each in harness.grant_all(found.id, 8)] == codes


def test_a_code_is_given_as_it_was_written(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    codes = [
        "sale 2020 – x",
        " x ",
        "Ｗｉｄｅ",
        "cafe\u0301",
        "編號八",
        "🎄1",
        '"a","b"',
        "=1+2",
        "\\n",
        "%s{seq}",
        "low",
    ]
    assert harness.import_lines(found.id, codes).added_count == len(codes)
    assert [each.code for each in harness.grant_all(found.id, len(codes))] == codes
    held = {each.user_id: each.code for each in harness.export(found.id)}
    assert [held[f"User {number}"] for number in range(len(codes))] == codes


def test_repeats_within_a_file_are_counted_and_reported_by_line(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    report = harness.import_lines(
        found.id, ["AB-12", "CD-34", "AB-12", "ab12", "A B 1 2", "ＡＢ１２", "ab–12", "CD-35"]
    )
    assert report == Report(3, 5, 0, [Line(number, THERE) for number in (3, 4, 5, 6, 7)])
    assert harness.pool(found.id) == ["AB-12", "CD-34", "CD-35"]


def test_repeats_of_an_earlier_import_are_counted_but_not_stored(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    harness.import_lines(found.id, ["Café-1", "Café-2"])
    report = harness.import_lines(found.id, ["new", "CAFE\u0301 1", "cafe1", "cafe\u03012"])
    assert report == Report(2, 2, 0, [Line(2, THERE), Line(4, THERE)])
    assert harness.pool(found.id) == ["Café-1", "Café-2", "new", "cafe1"]


def test_a_code_that_was_granted_does_not_come_again(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    harness.import_lines(found.id, ["A1", "A2"])
    assert harness.grant(found.id).code == "A1"
    assert harness.import_lines(found.id, ["a-1", "A3"]) == Report(1, 1, 0, [Line(1, THERE)])
    assert harness.waiting(found.id) == ["A2", "A3"]
    assert counts(harness.show(found.id)) == (3, 1, 2)


def test_two_discounts_may_have_the_same_codes(harness: ServiceHarness) -> None:
    for _ in range(2):
        assert harness.import_lines(harness.create(kind=IMPORTED).id, own(0, 5)) == Report(5)


def test_bad_lines_are_counted_and_named_with_the_reason(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    report = harness.import_lines(
        found.id,
        [
            "",
            "x" * 64,
            "x" * 65,
            "a\tb",
            "a\nb",
            "a\x00b",
            "\ufffdb",
            "\ud800",
            "-- –",
            "   ",
            "\u202ex",
            "good",
            "good",
        ],
    )
    assert (report.added_count, report.repeated_count, report.bad_count) == (2, 1, 10)
    unreadable = "has an unprintable character"
    assert [(each.line, each.reason) for each in report.lines] == [
        (1, "is empty"),
        (3, "is longer than 64 characters"),
        (4, unreadable),
        (5, unreadable),
        (6, unreadable),
        (7, "has bytes that are not valid in UTF-8 or in the declared charset"),
        (8, unreadable),
        (9, "has only spaces and dashes"),
        (10, "has only spaces and dashes"),
        (11, unreadable),
        (13, THERE),
    ]
    assert harness.pool(found.id) == ["x" * 64, "good"]


def test_lines_have_the_numbers_that_the_reader_gives_them(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    report = code_pools.import_codes(harness.store, found.id, [(2, "A"), (5, ""), (40, "a"), (1000, "B")])
    assert report == Report(2, 1, 1, [Line(5, "is empty"), Line(40, THERE)])


def test_the_first_hundred_are_named_and_all_are_counted(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    assert code_pools.NAMED == 100
    report = harness.import_lines(found.id, ["same"] * 251)
    assert (report.added_count, report.repeated_count, report.bad_count) == (1, 250, 0)
    assert report.lines == [Line(number, THERE) for number in range(2, 102)]
    report = harness.import_lines(found.id, [""] * 251)
    assert (report.added_count, report.repeated_count, report.bad_count) == (0, 0, 251)
    assert report.lines == [Line(number, "is empty") for number in range(1, 101)]


@pytest.mark.usefixtures("small")
def test_the_first_hundred_are_counted_over_all_calls(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    report = harness.import_lines(found.id, ["same"] * 75 + [""] * 75)
    assert (report.added_count, report.repeated_count, report.bad_count) == (1, 74, 75)
    assert [each.line for each in report.lines] == list(range(2, 102))


@pytest.mark.parametrize("lines", [["same", ""] * 75, ["same"] * 101 + [""] * 101])
def test_the_first_hundred_bad_lines_of_any_sort_are_reported(harness: ServiceHarness, lines: list[str]) -> None:
    report = harness.import_lines(harness.create(kind=IMPORTED).id, lines)
    assert [each.line for each in report.lines] == list(range(2, 102))


@pytest.mark.parametrize("lines", [1, 2, 3, 4, 5, 6, 7, 11, 12, 13, 50])
@pytest.mark.usefixtures("small")
def test_any_number_of_lines_is_imported_completely(harness: ServiceHarness, lines: int) -> None:
    found = harness.create(kind=IMPORTED)
    assert harness.import_lines(found.id, own(0, lines)) == Report(lines)
    assert harness.pool(found.id) == own(0, lines)
    again = harness.import_lines(found.id, own(0, lines))
    assert again == Report(0, lines, 0, [Line(number, THERE) for number in range(1, lines + 1)])


def test_a_large_file_is_imported_and_exported_in_order(redis_server: RedisServer) -> None:
    harness = real_harness(redis_server)
    found = harness.create(total=10_000, kind=IMPORTED)
    codes = own(0, 10_000)
    assert harness.import_lines(found.id, codes + codes[::-1]).repeated_count == 10_000
    assert harness.waiting(found.id) == codes


@pytest.mark.parametrize("expected", [None, 1, 100_000, 100_000_000])
def test_repeats_are_found_for_any_expected_total(harness: ServiceHarness, expected: int | None) -> None:
    found = harness.create(total=expected, kind=IMPORTED)
    assert harness.import_lines(found.id, own(0, 300)).added_count == 300
    assert harness.import_lines(found.id, own(200, 400)) == Report(
        100, 100, 0, [Line(number, THERE) for number in range(1, 101)]
    )
    assert harness.pool(found.id) == own(0, 400)


def test_an_empty_file_and_one_of_bad_lines_change_nothing(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    harness.import_lines(found.id, own(0, 2))
    before = harness.state()
    assert harness.import_lines(found.id, []) == Report()
    assert harness.import_lines(found.id, ["", "-"]).bad_count == 2
    assert harness.import_lines(found.id, own(0, 2)).repeated_count == 2
    assert harness.state() == before


def test_a_file_is_read_as_it_is_stored(harness: ServiceHarness, small: int) -> None:
    found = harness.create(kind=IMPORTED)

    def reader() -> Iterator[str]:
        for number, code in enumerate(own(0, 40)):
            # What is read and not stored yet is what one exchange with Redis takes.
            assert number - len(harness.pool(found.id)) < small
            yield code

    assert harness.import_lines(found.id, reader()).added_count == 40


# Imports while the discount is used


@pytest.mark.usefixtures("small")
def test_codes_are_granted_while_others_are_imported(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    granted: list[str] = []

    def reader() -> Iterator[str]:
        for number, code in enumerate(own(0, 40)):
            if number % 5 == 4 and number > 6:
                granted.append(harness.grant(found.id, f"User {number}").code)
                shown = harness.show(found.id)
                assert shown.granted_count + len(harness.pool(found.id)) == shown.total_count
            yield code

    assert harness.import_lines(found.id, reader()) == Report(40)
    assert granted == own(0, len(granted))
    assert harness.waiting(found.id) == own(len(granted), 40)
    assert counts(harness.show(found.id)) == (40, len(granted), 40 - len(granted))


@pytest.mark.usefixtures("small")
def test_two_imports_at_once_add_every_code_once(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    inner: list[Report] = []

    def reader() -> Iterator[str]:
        for number, code in enumerate(own(0, 30)):
            if number == 13:
                inner.append(harness.import_lines(found.id, own(10, 40)))
            yield code

    outer = harness.import_lines(found.id, reader())
    assert outer.added_count + inner[0].added_count == 40
    assert outer.repeated_count + inner[0].repeated_count == 20
    assert sorted(harness.pool(found.id)) == own(0, 40)


def test_an_import_after_the_last_grant_makes_codes_available(harness: ServiceHarness) -> None:
    found = harness.create_kind("imported", total=2)
    harness.grant_all(found.id, 2)
    with pytest.raises(SoldOut):
        harness.grant(found.id, "User 2")
    assert harness.status(found.id) == "sold-out"
    harness.import_lines(found.id, ["More 1", "More 2"])
    assert harness.status(found.id) == "active"
    assert counts(harness.show(found.id)) == (4, 2, 2)
    assert [each.code for each in harness.grant_all(found.id, 4)[2:]] == ["More 1", "More 2"]
    with pytest.raises(SoldOut):
        harness.grant(found.id, "User 4")
    assert len(harness.events(found, "discount.sold-out")) == 2


def test_a_brand_grants_codes_that_were_just_imported(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    with pytest.raises(SoldOut):
        brand_grants.grant_of_brand(harness.store, "IKEA", "User 1")
    harness.import_lines(found.id, ["A"])
    assert brand_grants.grant_of_brand(harness.store, "IKEA", "User 1").code == "A"


def test_codes_are_imported_while_a_discount_is_paused_or_not_started(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED, starts_at=harness.now() + 10**9)
    assert harness.import_lines(found.id, ["A"]).added_count == 1
    harness.change(found.id, paused=True)
    assert harness.import_lines(found.id, ["B"]).added_count == 1
    harness.change(found.id, paused=False, starts_at=None)
    assert [each.code for each in harness.grant_all(found.id, 2)] == ["A", "B"]


# Interrupted calls


@pytest.mark.parametrize("read", [0, 1, 5, 6, 7, 20, 24])
def test_an_import_interrupted_by_its_reader_can_be_repeated(harness: ServiceHarness, read: int, small: int) -> None:
    found = harness.create(kind=IMPORTED)

    def reader() -> Iterator[str]:
        yield from own(0, read)
        raise Invalid("", "ends half way")

    with pytest.raises(Invalid):
        harness.import_lines(found.id, reader())
    there = read - read % small
    assert harness.pool(found.id) == own(0, there)
    harness.check()
    report = harness.import_lines(found.id, own(0, 24))
    assert (report.added_count, report.repeated_count) == (24 - there, there)
    assert harness.pool(found.id) == own(0, 24)
    assert counts(harness.show(found.id)) == (24, 0, 24)


@pytest.mark.usefixtures("small")
def test_an_import_that_loses_redis_half_way_is_sent_again_and_ends_right(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    run_many = harness.store.run_many
    for calls in (0, 1, 2):
        answered = iter([run_many] * calls)

        def run_some(*call: Any, answered: Iterator[Any] = answered) -> Any:
            try:
                return next(answered)(*call)
            except StopIteration:
                raise Unavailable("Redis did not answer in time.") from None

        with mock.patch.object(harness.store, "run_many", run_some), pytest.raises(Unavailable):
            harness.import_lines(found.id, own(0, 24))
        assert harness.pool(found.id) == own(0, 6 * calls)
        harness.check()
    # Granted meanwhile, so what was lost comes after it, and nothing comes twice.
    assert harness.grant(found.id).code == "C-0000"
    assert harness.import_lines(found.id, own(0, 24)).added_count == 12
    assert harness.waiting(found.id) == own(1, 24)


def test_an_answer_that_was_lost_adds_nothing_twice(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)
    run_many = harness.store.run_many

    def run_twice(*call: Any) -> Any:
        run_many(*call)
        return run_many(*call)

    with mock.patch.object(harness.store, "run_many", run_twice):
        harness.import_lines(found.id, own(0, 10))
    assert harness.pool(found.id) == own(0, 10)
    assert counts(harness.show(found.id)) == (10, 0, 10)


# Refusals


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "imported"])
def test_only_a_discount_of_imported_codes_takes_them(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind)
    before = harness.state()
    for lines in (own(0, 3), [], [""]):
        with pytest.raises(WrongKind):
            harness.import_lines(found.id, lines)
    assert harness.state() == before


def test_the_script_refuses_another_kind_too(harness: ServiceHarness) -> None:
    found = harness.create_kind("unique")
    partition = partition_of(found.id)
    names = [
        keys.waits(partition, found.id),
        keys.waits_due(partition),
        keys.usage(partition),
        keys.discount(partition, found.id),
        keys.codes(partition, found.id),
        keys.buckets(partition, found.id),
        keys.events(partition),
        keys.taken(partition, found.id, 0),
    ]
    arguments: list[str | int] = ["", *harness.store.quotas.arguments, "command", "", 1, 1, code_kinds.digest("A"), "A"]
    before = harness.state()
    with pytest.raises(WrongKind):
        harness.store.run("import", names, arguments)
    assert harness.state() == before


def test_an_unknown_discount_imports_and_exports_no_codes(harness: ServiceHarness) -> None:
    before = harness.state()
    for unknown in ("x", "", make_discount_id(3, 10), make_discount_id(200, 10)):
        with pytest.raises(NotFound):
            harness.import_lines(unknown, own(0, 3))
        # At the call, before the first code is asked for.
        with pytest.raises(NotFound):
            exports.list_codes(harness.store, unknown)
        with pytest.raises(NotFound):
            code_pools.list_waiting(harness.store, unknown)
    assert harness.state() == before


def test_a_closed_discount_imports_no_code(harness: ServiceHarness) -> None:
    found = harness.create_kind("imported", total=2)
    harness.grant(found.id)
    harness.close(found.id)
    before = harness.state()
    for lines in (own(0, 3), [], [""]):
        with pytest.raises(Closed):
            harness.import_lines(found.id, lines)
    assert harness.state() == before


@pytest.mark.usefixtures("small")
def test_a_discount_that_closes_during_an_import_accepts_no_more_codes(harness: ServiceHarness) -> None:
    found = harness.create(kind=IMPORTED)

    def reader() -> Iterator[str]:
        for number, code in enumerate(own(0, 40)):
            if number == 14:
                harness.grant(found.id)
                harness.close(found.id)
            yield code

    with pytest.raises(Closed):
        harness.import_lines(found.id, reader())
    assert counts(harness.show(found.id)) == (12, 1, 11)
    assert harness.pool(found.id) == own(1, 12)
    assert [each.state for each in harness.export(found.id)] == ["unused"] * 11 + ["granted"]


# Exports


def waiting(codes: list[str]) -> list[ExportedCode]:
    return [ExportedCode(code, "waiting") for code in codes]


def granted(held: list[Grant]) -> list[ExportedCode]:
    return [ExportedCode(each.code, "granted", each.user_id, each.granted_at) for each in held]


def in_order(exported: list[ExportedCode]) -> list[ExportedCode]:
    """Sort the granted part of an export, which has no fixed order, by user."""
    return sorted(exported, key=lambda each: each.user_id)


def all_codes(harness: ServiceHarness, found: Discount) -> list[str]:
    """Return the codes that a new discount will grant, in order."""
    if found.codes.kind == "unique":
        return harness.sequence(found.id).codes(0, found.total_count or 0)
    return [f"Own {number}" for number in range(found.total_count or 0)] if found.codes.kind == "imported" else []


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_has_every_code_in_the_state_it_is_in(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=5)
    codes = all_codes(harness, found)
    assert harness.export(found.id) == waiting(codes)
    held: list[Grant] = []
    for number in range(5):
        held.append(harness.grant(found.id, f"User {number}"))
        exported = harness.export(found.id)
        assert in_order(exported) == waiting(codes[number + 1 :]) + granted(held)
        assert {each.state for each in exported[: len(codes[number + 1 :])]} <= {"waiting"}
    assert harness.status(found.id) == "sold-out"
    harness.close(found.id, void=True)
    assert in_order(harness.export(found.id)) == granted(held)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("void", [False, True])
def test_an_export_of_a_closed_discount_lists_granted_and_unused_codes(
    harness: ServiceHarness, kind: Kind, void: bool
) -> None:
    found = harness.create_kind(kind, total=5)
    codes = all_codes(harness, found)
    held = harness.grant_all(found.id, 2)
    closed = harness.close(found.id, void=void)
    unused = [ExportedCode(code, "unused") for code in codes[2:]]
    assert in_order(harness.export(found.id)) == unused + granted(held)
    if codes:
        assert closed.remaining_count == len(unused) == 3


@pytest.mark.parametrize("kind", ["personal", "shared"])
def test_an_export_of_an_unlimited_discount_lists_the_granted_codes(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=None)
    assert harness.export(found.id) == []
    held = harness.grant_all(found.id, 3)
    assert in_order(harness.export(found.id)) == granted(held)


@pytest.mark.parametrize("state", ["paused", "expired", "scheduled"])
@pytest.mark.parametrize("kind", KINDS)
def test_an_export_is_the_same_whether_the_discount_is_open_or_not(
    harness: ServiceHarness, kind: Kind, state: str
) -> None:
    found = harness.create_kind(kind, total=3)
    harness.grant(found.id)
    before = harness.export(found.id)
    now = harness.now()
    changes: dict[str, dict[str, Any]] = {
        "paused": {"paused": True},
        "expired": {"expires_at": now - 1},
        "scheduled": {"starts_at": now + 10**9},
    }
    harness.change(found.id, **changes[state])
    assert harness.status(found.id) == state
    assert harness.export(found.id) == before


def test_an_export_of_unique_codes_has_those_that_are_not_made_yet(
    harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_pools, "BLOCK", 100)
    found = harness.create_kind("unique", total=250)
    assert len(harness.pool(found.id)) == discounts.FIRST_BLOCK
    exported = harness.waiting(found.id)
    assert len(set(exported)) == 250
    outcomes = grants.grant_many(harness.store, found.id, [f"User {number}" for number in range(110)])
    assert [each.code for each in outcomes if isinstance(each, Grant)] == exported[:110]


def test_an_export_follows_the_total_of_unique_codes(harness: ServiceHarness) -> None:
    found = harness.create_kind("unique", total=5)
    first = harness.waiting(found.id)
    harness.change(found.id, total_count=8)
    assert harness.waiting(found.id)[:5] == first
    assert len(harness.waiting(found.id)) == 8
    harness.change(found.id, total_count=2)
    assert harness.waiting(found.id) == first[:2]


@pytest.mark.parametrize("kind", KINDS)
def test_an_export_changes_nothing(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=5)
    harness.grant_all(found.id, 2)
    before = harness.state()
    harness.export(found.id)
    assert harness.state() == before


@pytest.mark.parametrize("kind", ["unique", "imported"])
def test_no_code_is_left_out_of_an_export_while_codes_are_granted(
    harness: ServiceHarness, kind: Kind, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_pools, "BLOCK", 3)
    found = harness.create_kind(kind, total=40)
    codes = all_codes(harness, found)
    harness.grant(found.id, "First")
    exporting = exports.list_codes(harness.store, found.id)
    exported: list[ExportedCode] = []
    for number in range(9):
        exported += islice(exporting, 2)
        harness.grant_all(found.id, 2 * number)
    exported += exporting
    assert {each.code for each in exported} == set(codes)
    # The last line of each code has its latest state.
    last = {each.code: each.state for each in exported}
    assert [code for code in codes if last[code] == "granted"] == codes[:17]
    assert len([each for each in exported if each.state == "granted"]) == 17


@pytest.mark.parametrize("kind", KINDS)
def test_a_first_grant_that_comes_during_an_export_is_not_left_out(harness: ServiceHarness, kind: Kind) -> None:
    found = harness.create_kind(kind, total=3)
    exporting = exports.list_codes(harness.store, found.id)
    held = harness.grant(found.id)
    exported = list(exporting)
    assert exported[-1:] == granted([held])
    assert {each.code for each in exported} == {held.code, *all_codes(harness, found)}


def test_codes_imported_during_an_export_come_last(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(code_pools, "BLOCK", 3)
    found = harness.create(kind=IMPORTED)
    harness.import_lines(found.id, own(0, 5))
    exporting = exports.list_codes(harness.store, found.id)
    first = list(islice(exporting, 4))
    harness.import_lines(found.id, own(0, 9))
    assert [each.code for each in (*first, *exporting)] == own(0, 9)


def test_a_large_pool_is_exported_in_few_round_trips(redis_server: RedisServer) -> None:
    harness = real_harness(redis_server)
    found = harness.create(total=5000, kind=IMPORTED)
    harness.import_lines(found.id, own(0, 5000))
    trips = mock.Mock()
    with mock.patch.object(harness.store, "_on_round_trip", trips):
        assert len(harness.export(found.id)) == 5000
    assert trips.call_count <= 5000 // code_pools.BLOCK + 6


# Any file


CODES = st.lists(
    st.text(alphabet="aAbB1 -–é\u0301\t", max_size=4) | st.sampled_from(["", "x" * 65, "\ufffd", "ＡＢ", "AB"]),
    max_size=20,
)


@given(files=st.lists(CODES, min_size=1, max_size=3), granted_between=st.integers(0, 3))
@settings(max_examples=60)
def test_random_imports_match_a_set_of_codes(files: list[list[str]], granted_between: int) -> None:
    harness = fake_harness()
    found = harness.create(kind=IMPORTED)
    known: dict[str, str] = {}
    with mock.patch.object(code_pools, "AT_ONCE", 3), mock.patch.object(code_pools, "CALLS", 2):
        for codes in files:
            repeated, bad = [], []
            for number, code in enumerate(codes, 1):
                if code_pools.refusal_of(code):
                    bad.append(number)
                elif canonical(code) in known:
                    repeated.append(number)
                else:
                    known[canonical(code)] = code
            report = harness.import_lines(found.id, codes)
            assert (report.repeated_count, report.bad_count) == (len(repeated), len(bad))
            assert report.added_count == len(codes) - len(repeated) - len(bad)
            assert [each.line for each in report.lines if each.reason == THERE] == repeated
            assert [each.line for each in report.lines if each.reason != THERE] == bad
            for number in range(min(granted_between, harness.show(found.id).remaining_count or 0)):
                harness.grant(found.id, f"{len(known)} {number}")
    given_out = harness.show(found.id).granted_count
    assert harness.waiting(found.id) == list(known.values())[given_out:]
    harness.check()
