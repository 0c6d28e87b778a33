"""Discounts of every kind, imports and changed totals, in any order, compared with a plain model."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
)

from discount.domain import code_kinds
from discount.domain.code_kinds import CodeKind
from discount.domain.code_sequence import Sequence, canonical
from discount.domain.errors import Invalid, Refusal
from discount.domain.model import Grant
from discount.services import code_pools, discounts, grants
from discount.services.code_pools import Line, Report
from tests.services.harness import ServiceHarness, fake_harness, real_harness
from tests.support.machines import run_in_batches
from tests.support.redis_server import RedisServer

# What each is in a personal code. Six of them are `ann2` to a reader.
SLUGS = {
    "Ann 2": "ann-2",
    "ann2": "ann2",
    "ANN 2!": "ann-2",
    "Ånn-2": "ann-2",
    "a.n.n.2": "a-n-n-2",
    "annx2": "annx2",
    "Ａｎｎ２": "ann2",
    "李小龍": "li-xiao-long",
    "🎄": "user",
}
USERS = st.sampled_from(list(SLUGS))
# One of `{id}` and `{random}` is only known by its shape; the others are known whole.
TEMPLATES = ["{brand}-for-{user}", "{user}x{seq}", "{seq}", "{brand}{id}", "{user}.{random}"]
SHAPES = {"id": "[2-9A-HJ-NP-Za-km-z]{22}", "random": "[2-9a-hjkmnp-z]{8}"}
BRANDS = {"IKEA": "ikea", "Åhléns": "ahlens"}
TOTALS = st.integers(1, 6)
# Files of codes that often read the same, and of lines that are none.
FILES = st.lists(
    st.sampled_from(["A1", "a-1", "Ａ１", "A 2", "a2", "é3", "e\u03013", "B4", "b5", "C-6", "", "--", "\ufffd"]),
    max_size=9,
)
SHARED = ["SALE", "sale", "S-ALE", "Sálé", "other"]
#: Pools are filled in blocks of two, files go in four lines at a time, bulks in slices of three.
BLOCK, LINES, SLICE = 2, 4, 3


@dataclass
class Model:
    """The plainest model of a discount."""

    id: str
    brand: str
    kind: CodeKind
    total: int | None
    #: The source of its codes: the sequence of unique ones, the file of imported ones.
    sequence: Sequence | None = None
    imported: list[str] = field(default_factory=list)
    closed: str = ""
    codes: dict[str, str] = field(default_factory=dict)

    def refusal(self) -> str:
        if self.closed:
            return "closed"
        return "sold-out" if self.total is not None and len(self.codes) == self.total else ""

    def waiting(self) -> list[str]:
        """Return the codes that no user holds, in the order of their grants."""
        if self.sequence:
            assert self.total is not None
            return self.sequence.codes(len(self.codes), self.total - len(self.codes))
        return self.imported[len(self.codes) :]

    def next_code(self, user: str) -> str:
        """Return a regular expression of the next code, if this user gets it."""
        if self.kind.kind == "shared":
            return re.escape(self.kind.code)
        if self.kind.kind != "personal":
            return re.escape(self.waiting()[0])
        parts = {"brand": BRANDS[self.brand], "user": SLUGS[user], "seq": str(len(self.codes) + 1)}
        plain = re.sub(r"\{(\w+)\}", lambda found: parts.get(found[1], found[0]), self.kind.template)
        if "{" in plain:
            return re.sub(r"\\\{(\w+)\\\}", lambda found: SHAPES[found[1]], re.escape(plain))
        taken = set(map(canonical, self.codes.values()))
        for code in (plain, f"{plain}-2", f"{plain}-3"):
            if canonical(code) not in taken:
                return re.escape(code)
        return f"{re.escape(plain)}-{SHAPES['random']}"

    def import_lines(self, lines: list[str]) -> Report:
        report = Report()
        for number, line in enumerate(lines, 1):
            if not canonical(line) or line == "\ufffd":
                report.bad_count += 1
                reason = {"": "is empty", "--": "has only spaces and dashes"}.get(
                    line, "has bytes that are not valid in UTF-8 or in the declared charset"
                )
                report.lines.append(Line(number, reason))
            elif canonical(line) in map(canonical, self.imported):
                report.repeated_count += 1
                report.lines.append(Line(number, "was imported already"))
            else:
                report.added_count += 1
                self.imported.append(line)
        self.total = len(self.imported)
        return report


class Calls(RuleBasedStateMachine):
    """The services on one side, the model on the other."""

    harness: ServiceHarness

    def __init__(self) -> None:
        super().__init__()
        self.harness.redis.flushall()
        self.harness.store.prepare()
        self.models: dict[str, Model] = {}
        self.touched: Model | None = None

    @initialize(
        totals=st.tuples(TOTALS, st.none() | TOTALS, st.none() | TOTALS),
        templates=st.tuples(st.just(TEMPLATES[0]), st.sampled_from(TEMPLATES[1:])),
        lines=FILES,
    )
    def begin(self, totals: tuple[int, int | None, int | None], templates: tuple[str, str], lines: list[str]) -> None:
        """Create one discount of each kind, so that most steps have something to work on."""
        self.create_unique("IKEA", totals[0], "")
        self.create_imported("IKEA", totals[1], lines)
        for template, total in zip(templates, totals[1:], strict=True):
            self.create_personal("Åhléns", total, template)
        self.create_shared("IKEA", totals[2], SHARED[0])

    def pick(self, data: st.DataObject, *wanted: str) -> Model:
        found = [model for model in self.models.values() if not wanted or model.kind.kind in wanted]
        # The rest of a large number meets each of them as often; small numbers would mostly meet the first.
        self.touched = found[data.draw(st.integers(0, 2**32)) % len(found)]
        return self.touched

    @property
    def more_to_close(self) -> bool:
        """Close few discounts: closed ones have little left to test."""
        return sum(not model.closed for model in self.models.values()) > 3

    def outcome(self, call: Any) -> Any:
        try:
            return call()
        except Refusal as refusal:
            return refusal.slug

    def has(self, *wanted: str) -> bool:
        return any(model.kind.kind in wanted for model in self.models.values())

    # Creating

    def create(self, brand: str, total: int | None, kind: CodeKind) -> Model:
        found = self.harness.create(total=total, brand=brand, kind=kind)
        stored = 0 if kind.kind == "imported" else total
        self.models[found.id] = Model(found.id, brand, kind, stored)
        self.touched = self.models[found.id]
        return self.touched

    @rule(brand=st.sampled_from(list(BRANDS)), total=TOTALS, prefix=st.sampled_from(["", "A-"]))
    def create_unique(self, brand: str, total: int, prefix: str) -> None:
        # Room for six codes and not one more.
        model = self.create(brand, total, code_kinds.unique(total, "####", "ABCDEFGHJ", prefix))
        model.sequence = self.harness.sequence(model.id)

    @rule(brand=st.sampled_from(list(BRANDS)), expected=st.none() | TOTALS, lines=FILES)
    def create_imported(self, brand: str, expected: int | None, lines: list[str]) -> None:
        model = self.create(brand, expected, CodeKind("imported"))
        self.import_lines(model, lines)

    @rule(brand=st.sampled_from(list(BRANDS)), total=st.none() | TOTALS, template=st.sampled_from(TEMPLATES))
    def create_personal(self, brand: str, total: int | None, template: str) -> None:
        self.create(brand, total, code_kinds.personal(template))

    @rule(brand=st.sampled_from(list(BRANDS)), total=st.none() | TOTALS, code=st.sampled_from(SHARED))
    def create_shared(self, brand: str, total: int | None, code: str) -> None:
        taken = {
            canonical(model.kind.code)
            for model in self.models.values()
            if model.brand == brand and model.kind.kind == "shared" and model.closed != "void"
        }
        if canonical(code) in taken:
            answer = self.outcome(lambda: self.harness.create(total, brand, kind=CodeKind("shared", code=code)))
            assert answer == "code-taken"
        else:
            self.create(brand, total, CodeKind("shared", code=code))

    # Granting

    def take(self, model: Model, user: str, answer: Any) -> None:
        """Check a grant's answer, and note it in the model."""
        if user in model.codes:
            assert (answer.code, answer.fresh) == (model.codes[user], False)
        elif model.refusal():
            assert answer == model.refusal()
        else:
            assert (answer.discount_id, answer.user_id, answer.fresh) == (model.id, user, True)
            assert re.fullmatch(model.next_code(user), answer.code)
            if model.kind.kind != "shared":
                assert canonical(answer.code) not in map(canonical, model.codes.values())
            model.codes[user] = answer.code

    @precondition(lambda self: self.models)
    @rule(data=st.data(), user=USERS)
    def grant(self, data: st.DataObject, user: str) -> None:
        model = self.pick(data)
        self.take(model, user, self.outcome(lambda: self.harness.grant(model.id, user)))

    @precondition(lambda self: self.models)
    @rule(data=st.data(), users=st.lists(USERS, min_size=3, max_size=9))
    def grant_many(self, data: st.DataObject, users: list[str]) -> None:
        model = self.pick(data)
        outcomes = grants.grant_many(self.harness.store, model.id, users)
        for user, each in zip(users, outcomes, strict=True):
            self.take(model, user, each if isinstance(each, Grant) else each.slug)

    @precondition(lambda self: any(model.codes for model in self.models.values()))
    @rule(data=st.data())
    def ask_again(self, data: st.DataObject) -> None:
        model = self.pick(data)
        user = data.draw(st.sampled_from(list(model.codes) or list(SLUGS)))
        self.take(model, user, self.outcome(lambda: self.harness.grant(model.id, user)))

    @rule()
    def another_replica_goes_on(self) -> None:
        self.harness.store.definitions.clear()

    # Importing

    def import_lines(self, model: Model, lines: list[str]) -> None:
        assert self.harness.import_lines(model.id, lines) == model.import_lines(lines)

    @precondition(lambda self: self.has("imported"))
    @rule(data=st.data(), lines=FILES)
    def import_a_file(self, data: st.DataObject, lines: list[str]) -> None:
        model = self.pick(data, "imported")
        if not model.closed:
            self.import_lines(model, lines)
        elif any(not code_pools.refusal_of(line) for line in lines):
            assert self.outcome(lambda: self.harness.import_lines(model.id, lines)) == "closed"

    @precondition(lambda self: self.has("imported"))
    @rule(data=st.data(), lines=FILES)
    def import_a_file_that_is_cut_off_and_send_it_again(self, data: st.DataObject, lines: list[str]) -> None:
        model = self.pick(data, "imported")
        if model.closed:
            return

        def reader() -> Iterator[str]:
            yield from lines
            raise Invalid("", "ends half way")

        assert self.outcome(lambda: self.harness.import_lines(model.id, reader())) == "invalid"
        model.import_lines(lines[: len(lines) // LINES * LINES])
        self.check(model)
        self.import_lines(model, [*lines, "the end"])

    @precondition(lambda self: self.has("unique", "personal", "shared"))
    @rule(data=st.data(), lines=FILES)
    def import_into_another_kind(self, data: st.DataObject, lines: list[str]) -> None:
        model = self.pick(data, "unique", "personal", "shared")
        assert self.outcome(lambda: self.harness.import_lines(model.id, lines)) == "wrong-kind"

    # Changing

    @precondition(lambda self: self.models)
    @rule(data=st.data(), total=st.none() | st.integers(1, 7))
    def change_the_total(self, data: st.DataObject, total: int | None) -> None:
        model = self.pick(data)
        answer = self.outcome(lambda: self.harness.change(model.id, total_count=total))
        if model.kind.kind == "imported" or (model.kind.kind == "unique" and (total is None or total > 6)):
            assert answer == "invalid"
        elif model.closed:
            assert answer == "closed"
        elif total is not None and total < len(model.codes):
            assert answer == "below-granted"
        else:
            assert answer.total_count == total
            model.total = total

    @precondition(lambda self: self.more_to_close)
    @rule(data=st.data(), void=st.booleans())
    def close(self, data: st.DataObject, void: bool) -> None:
        model = self.pick(data)
        model.closed = "void" if void or model.closed == "void" else "keep"
        assert self.harness.close(model.id, void=void).closed == model.closed

    # Looking

    @invariant()
    def the_discount_of_this_step_is_as_the_model_says(self) -> None:
        if self.touched:
            self.check(self.touched)

    def teardown(self) -> None:
        for model in self.models.values():
            self.check(model)
        self.harness.check()

    def check(self, model: Model) -> None:
        found, now = discounts.show(self.harness.store, model.id)
        assert (found.brand_id, found.codes, found.closed) == (model.brand, model.kind, model.closed)
        assert (found.total_count, found.granted_count) == (model.total, len(model.codes))
        if model.total is None:
            assert found.remaining_count is None
        else:
            assert found.granted_count + (found.remaining_count or 0) == model.total
        nothing_yet = model.total == 0 and not model.closed
        assert found.status(now) == ("empty" if nothing_yet else model.refusal() or "active")
        exported = self.harness.export(model.id)
        waiting = model.waiting()
        state = "unused" if model.closed else "waiting"
        assert [(each.state, each.code) for each in exported[: len(waiting)]] == [(state, code) for code in waiting]
        rest = exported[len(waiting) :]
        assert {(each.state, each.user_id, each.code) for each in rest} == {
            ("granted", user, code) for user, code in model.codes.items()
        }
        assert len(rest) == len(model.codes)


def run(harness: ServiceHarness, monkeypatch: pytest.MonkeyPatch, examples: int, steps: int) -> None:
    for module, name, value in (
        (discounts, "FIRST_BLOCK", BLOCK),
        (code_pools, "BLOCK", BLOCK),
        (code_pools, "AT_ONCE", LINES // 2),
        (code_pools, "CALLS", 2),
        (grants, "SLICE", SLICE),
    ):
        monkeypatch.setattr(module, name, value)
    machine = type("Machine", (Calls,), {"harness": harness})
    run_in_batches(machine, examples, steps)


def test_random_calls_on_any_kind_on_fakeredis_match_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    run(fake_harness(), monkeypatch, examples=12, steps=25)


def test_random_calls_on_any_kind_on_redis_match_the_model(
    redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(real_harness(redis_server), monkeypatch, examples=40, steps=35)
