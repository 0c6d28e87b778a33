"""The service of fitting codes: which codes a user could redeem for an order, best first, and which together."""

from collections.abc import Generator, Mapping, Sequence

from msgspec import Struct, structs

from discount.domain import combinations
from discount.domain.code_sequence import canonical
from discount.domain.model import Discount
from discount.domain.order_lines import add_lines
from discount.services import checkouts, discount_lists, discounts, redemption_runs, user_grants
from discount.services.checkouts import Checkout, PreparedCheckout
from discount.services.discount_records import read_discounts
from discount.services.redemption_runs import Run
from discount.services.verdicts import Verdict, off_by_id, verdict_of
from discount.store import keys
from discount.store.answers import Answer
from discount.store.autopipeline import leave
from discount.store.connection import Store, moment_of
from discount.store.guards import Guard

#: Codes of the user, the newest, and discounts of the brand, the newest, that are looked at.
CODES_OF_USER, DISCOUNTS_OF_BRAND = 100, 200
#: Codes that take the most off, of which each is judged.
JUDGED = 50
#: Codes that take the most off, of which combinations are tried.
COMBINED = 8


class FittingCode(Struct, frozen=True):
    """A code that fits an order, as it was granted, and what it takes off alone."""

    code: str
    verdict: Verdict


class Combination(Struct, frozen=True):
    """The codes that take the most off an order together, in the sequence in which they are to be sent."""

    codes: Sequence[str]
    discount_amount: int
    lines: Mapping[str, int]


class Fitting(Struct, frozen=True):
    """The codes that fit an order, best first, and the best combination of them.

    Args:
        complete: whether all codes were looked at, and not only the newest.
    """

    codes: Sequence[FittingCode]
    best: Combination | None
    complete: bool


def find(store: Store, checkout: Checkout, *, with_shared: bool, guard: Guard | None = None) -> Fitting:
    """Return the codes of a brand that fit an order. Nothing is counted.

    Args:
        checkout: without a code.
        with_shared: also the brand's shared codes, besides those that the user was granted.

    Raises:
        TooManyGuesses: the user has tried too many wrong codes.
    """
    # It reads much, and would make the other calls of a hot worker wait.
    leave()
    assert checkout.brand_id is not None  # noqa: S101 - the caller gives it
    found, complete = _held(store, checkout)
    if with_shared:
        page = discount_lists.list_page(store, brand_id=checkout.brand_id, limit=DISCOUNTS_OF_BRAND)
        shared = {each.id: (each, each.codes.code) for each in page.items if each.codes.kind == "shared"}
        found, complete = shared | found, complete and page.next is None
    prepared = [_prepare(store, checkout, discount, code) for discount, code in found.values()]
    fit = sorted((each for each in prepared if not each.refusals), key=_rank)
    judged = _with_user(store, checkout, fit[:JUDGED])
    codes = [
        (each, verdict_of(each, answer)) for each, answer in zip(judged, _check(store, judged, guard), strict=True)
    ]
    right = [(each, verdict) for each, verdict in codes if not verdict.reasons]
    return Fitting(
        [FittingCode(found[each.discount.text][1], verdict) for each, verdict in right],
        _combine([(each, found[each.discount.text][1]) for each, _ in right[:COMBINED]]),
        complete and len(fit) <= JUDGED,
    )


def _held(store: Store, checkout: Checkout) -> tuple[dict[str, tuple[Discount, str]], bool]:
    """Return the discounts of the brand of which the user holds a code, with it, and whether these are all."""
    brand_id, user_id = checkout.brand_id or "", checkout.user_id
    partition = keys.partition_of(brand_id, store.partitions)
    text = store.command("HGET", keys.users(partition, user_id), user_id)
    numbers = user_grants.numbers_in(store, partition, user_id, text)
    newest = numbers[-CODES_OF_USER:]
    held = [each for _, each in user_grants.held_in(store, partition, newest, user_id, brand_id)] if newest else []
    if not held:
        return {}, len(numbers) <= CODES_OF_USER
    *hashes, time = store.commands(
        [("HGETALL", keys.discount(partition, each.discount_id)) for each in held] + [("TIME",)]
    )
    stored = {each.discount_id: fields for each, fields in zip(held, hashes, strict=True)}
    codes = {each.discount_id: each.code for each in held}
    found = {each.id: (each, codes[each.id]) for each in read_discounts(store, stored, moment_of(time))}
    return found, len(numbers) <= CODES_OF_USER


def _prepare(store: Store, checkout: Checkout, discount: Discount, code: str) -> PreparedCheckout:
    given = structs.replace(checkout, code=code)
    parsed = discounts.parse_id(store, discount.id)
    facts = checkouts.facts_of(store, given, discount.brand_id)
    return checkouts.judge(given, facts, parsed, discount.definition, [])


def _with_user(store: Store, checkout: Checkout, prepared: Sequence[PreparedCheckout]) -> list[PreparedCheckout]:
    judged = checkouts.user_refusals(store, checkout, [each.definition for each in prepared])
    return [
        structs.replace(each, outside=outside) if outside else each
        for each, outside in zip(prepared, judged, strict=True)
    ]


def _rank(prepared: PreparedCheckout) -> tuple[int, str]:
    """Order by what comes off, the most first."""
    return -prepared.discount_amount, canonical(prepared.checkout.code)


def _check(store: Store, prepared: Sequence[PreparedCheckout], guard: Guard | None) -> list[Answer]:
    """Return the script's answer for each code. Those that need nothing more wait for the others."""
    answers: dict[int, Answer] = {}
    runs: list[Generator[Run, Answer, Answer]] = [redemption_runs.runs(each, mode="check") for each in prepared]
    calls = {n: next(each) for n, each in enumerate(runs)}
    while calls:
        asked, calls = calls, {}
        for n, answer in zip(asked, store.run_many("redeem", list(asked.values()), guard), strict=True):
            refusal = answer.refusal()
            if refusal is not None:
                raise refusal
            try:
                calls[n] = runs[n].send(answer)
            except StopIteration as done:
                answers[n] = done.value
    return [answers[n] for n in range(len(prepared))]


def _combine(right: Sequence[tuple[PreparedCheckout, str]]) -> Combination | None:
    """Return the best combination of codes; None without a code."""
    if not right:
        return None
    order = right[0][0].checkout.order
    chosen = combinations.choose_best([each.definition.rule for each, _ in right], order)
    off = combinations.take_off_all([right[n][0].definition.rule for n in chosen], order)
    lines = add_lines(off_by_id(order, each) for each in off)
    return Combination([right[n][1] for n in chosen], sum(map(sum, off)), lines)
