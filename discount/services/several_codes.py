"""The service of several codes for one order: all of them are redeemed, or none."""

from collections.abc import Callable, Generator, Mapping, Sequence
from hashlib import blake2b
from typing import Any
from uuid import uuid4

import msgspec
from msgspec import Struct, structs

from discount.domain import combinations, ids
from discount.domain.errors import (
    IdempotencyMismatch,
    Invalid,
    NotCombinable,
    NotFound,
    NotGranted,
    Refusal,
    Unavailable,
)
from discount.domain.metadata import NO_METADATA, Metadata, codes_of_order, others_of_order
from discount.domain.model import Redemption
from discount.domain.order_lines import add_lines
from discount.domain.rules import Order
from discount.services import checkouts, redemption_records, redemption_runs, redemptions, tallies
from discount.services.checkouts import Checkout, PreparedCheckout
from discount.services.redemption_records import Record
from discount.services.redemption_runs import Mode, Run
from discount.services.verdicts import Verdict, off_by_id, read_reasons, verdict_of
from discount.store.answers import Answer
from discount.store.connection import Store
from discount.store.guards import Guard
from discount.store.scripts import SCRIPTS

_decode: Callable[[str], list[str]] = msgspec.json.Decoder(list[Any]).decode
#: Where the mode stands among the arguments of the redeem script, from 1.
_MODE_AT = SCRIPTS["redeem"].arguments.index("mode") + 1
#: Where the lists of the record begin among the keys of the confirm script, from 1.
_RECORD_AT = SCRIPTS["confirm"].keys.index("first") + 1


class SeveralVerdict(Struct, frozen=True):
    """The outcome of a validation of several codes.

    Args:
        verdicts: one for each code; its amounts are what it takes off besides the others.
        discount_amount: what all of them take off.
        lines: the same for each line of the order.
    """

    verdicts: Sequence[Verdict]
    discount_amount: int
    lines: Mapping[str, int]


def validate(store: Store, checkout: Checkout, codes: Sequence[str], guard: Guard | None = None) -> SeveralVerdict:
    """Return what a redemption of several codes would do now. Only wrong codes are counted.

    Raises:
        Invalid: two codes are of one discount.
        TooManyGuesses
    """
    found: dict[int, Verdict] = {}
    prepared: dict[int, PreparedCheckout] = {}
    for n, code in enumerate(codes):
        try:
            prepared[n] = checkouts.prepare(store, structs.replace(checkout, code=code), guard)
        except NotGranted as wrong:
            found[n] = Verdict(None, 0, {}, [wrong], off_by_id(checkout.order, ()))
    together = dict(zip(prepared, _together(list(prepared.values()), list(prepared)), strict=True))
    if together:
        answers = _run(store, list(together.values()), guard, modes=["check"] * len(together))
        assert not isinstance(answers, Answer)  # noqa: S101 - a check finds no order
        for (n, each), answer in zip(together.items(), answers, strict=True):
            found[n] = verdict_of(each, answer)
    verdicts = [found[n] for n in range(len(codes))]
    return SeveralVerdict(
        verdicts, sum(each.discount_amount for each in verdicts), add_lines(each.lines for each in verdicts)
    )


def redeem(
    store: Store,
    checkout: Checkout,
    codes: Sequence[str],
    *,
    hold_seconds: int | None = None,
    idempotency_key: str | None = None,
    metadata: Metadata = NO_METADATA,
    guard: Guard | None = None,
) -> list[Redemption]:
    """Count a use of each code, or hold each: all of them, or none. A repeated order gets the first answer.

    Returns:
        one redemption for each code, in the sequence of the first request.

    Raises:
        Invalid: two codes are of one discount.
        NotCombinable: two discounts do not go together.
        Refusal: those of `redemptions.redeem`, with the refused code.
    """
    prepared = []
    for code in codes:
        try:
            prepared.append(checkouts.prepare(store, structs.replace(checkout, code=code), guard))
        except (NotGranted, NotFound) as refusal:
            raise _of_code(refusal, code) from None
    together = _together(prepared, range(len(codes)))
    given: dict[str, Any] = {"hold_seconds": hold_seconds, "metadata": metadata, "codes": _as_stored(together)}
    modes: list[Mode] = ["refuse" if each.refusals or each.outside else "try" for each in together]
    answers = _run(store, together, guard, modes=modes, idempotency_key=idempotency_key, **given)
    if isinstance(answers, Answer):
        first = _first(together)
        record = redemption_records.read_record(answers["record"], first.discount.text)
        found, _ = redemptions.read(store, codes_of_order(record.order) or [first.facts.redemption_id])
        return list(found.values())
    made = [redemptions.new_redemption(*each, metadata) for each in zip(together, answers, strict=True)]
    return [structs.replace(one, redeemed_with=tuple(each.id for each in made if each is not one)) for one in made]


def confirm(store: Store, redemption_id: str) -> Redemption:
    """Make a held use final, with all others of its order, or none. A code that was rolled back alone is left out.

    Raises:
        NotFound
        HoldEnded: one of the holds has ended, or was released for another redemption of the user.
    """
    for _ in range(redemption_runs.TRIES):
        members = _members(store, redemption_id)
        if len(members) < 2:
            return redemptions.confirm(store, redemption_id)
        names, counts, arguments = _blocks(store, members)
        answer = store.run("confirm_all", names, [*counts, _RECORD_AT, *arguments])
        if answer.status != "moved":
            return redemptions.show(store, redemption_id)
    raise Unavailable("This order is being redeemed again and again.")


def roll_back(store: Store, redemption_id: str, reason: str = "") -> Redemption:
    """Undo a use with all others of its order, or end their holds. A repeated call changes nothing.

    Raises:
        NotFound
        TooLate: Redis has let it go.
    """
    members = _members(store, redemption_id)
    if len(members) < 2:
        return redemptions.roll_back(store, redemption_id, reason)
    names, counts, arguments = _blocks(store, members, reason)
    store.run("rollback_all", names, [*counts, *arguments])
    return redemptions.show(store, redemption_id)


def _members(store: Store, redemption_id: str) -> dict[str, Record]:
    """Return the records of all redemptions of an order of which one is known, as far as Redis has them."""
    partition = ids.find_partition("rdm", redemption_id, store.partitions, "There is no such redemption.")
    found = redemption_records.read(store, [redemption_id]).records
    others = others_of_order(found[redemption_id].order, redemption_id) if found else []
    assert all(ids.partition_of(each) == partition for each in others)  # noqa: S101 - all are of one brand
    return found | redemption_records.read(store, others).records if others else found


def _blocks(store: Store, members: Mapping[str, Record], *more: str) -> tuple[list[str], list[int], list[str | int]]:
    """Return what a script that changes several redemptions takes: keys, how many each has, and arguments.

    The counts are those of keys and of arguments.
    """
    changes = [redemptions.change_of(store, each, record, *more) for each, record in members.items()]
    counts = [len(part) for part in changes[0]]
    return [key for names, _ in changes for key in names], counts, [part for _, given in changes for part in given]


def _together(prepared: Sequence[PreparedCheckout], places: Sequence[int]) -> list[PreparedCheckout]:
    """Return checkouts with what each takes off besides the others, and the id of its redemption.

    Raises:
        Invalid: two codes are of one discount.
    """
    seen: set[str] = set()
    for n, each in zip(places, prepared, strict=True):
        if each.discount.text in seen:
            raise Invalid(f"/codes/{n}", "is of the same discount as an earlier code")
        seen.add(each.discount.text)
    first = _first(prepared) if prepared else None
    rules = [each.definition.rule for each in prepared]
    clashes = [[prepared[m].checkout.code for m in each] for each in combinations.clashes(rules)]
    refusals = [
        [*each.refusals, *([NotCombinable(codes=clash)] if clash else [])]
        for each, clash in zip(prepared, clashes, strict=True)
    ]
    # A refused code takes nothing off, and leaves all to the others.
    fit = [n for n, each in enumerate(refusals) if not each]
    order = prepared[0].checkout.order if prepared else Order("", 0, "")
    off = dict(zip(fit, combinations.take_off_all([rules[n] for n in fit], order), strict=True))
    return [
        structs.replace(
            each,
            facts=structs.replace(each.facts, redemption_id=_redemption_id(each)) if each is not first else each.facts,
            refusals=refusals[n],
            discount_amount=sum(off.get(n, ())),
            off_lines=off.get(n, ()) if order.lines else (),
        )
        for n, each in enumerate(prepared)
    ]


def _first(together: Sequence[PreparedCheckout]) -> PreparedCheckout:
    """Return the checkout that stands for the order, whatever the sequence of its codes.

    The id of its redemption follows from the order, so that a repeated order finds it.
    """
    return min(together, key=lambda each: each.discount.text)


def _redemption_id(prepared: PreparedCheckout) -> str:
    checkout, facts = prepared.checkout, prepared.facts
    # No id of an order has a line break.
    name = f"{checkout.order.id}\n{uuid4()}"
    return ids.make_redemption_id(facts.partition, facts.brand_id, name, checkout.namespace)


def _as_stored(together: Sequence[PreparedCheckout]) -> str:
    """Return the order's redemptions as each of them keeps it: a digest of the discounts, and the ids."""
    if len(together) == 1:
        return ""
    named = " ".join(sorted(each.discount.text for each in together))
    digest = blake2b(named.encode(), digest_size=8).hexdigest()
    return " ".join([digest, *(each.facts.redemption_id for each in together)])


def _run(
    store: Store,
    together: Sequence[PreparedCheckout],
    guard: Guard | None,
    *,
    modes: Sequence[Mode],
    idempotency_key: str | None = None,
    **given: Any,
) -> list[Answer] | Answer:
    """Run the script until it needs nothing more.

    Returns:
        the answer of each code, or the one that repeats the order.

    Raises:
        Refusal: of the first refused code, with that code.
    """
    script = SCRIPTS["redeem"]
    # The one that stands for the order comes first, and alone has the key.
    ranked = sorted(range(len(together)), key=lambda n: together[n].discount.text)
    keys = [idempotency_key, *[None] * (len(together) - 1)]
    runs: list[Generator[Run, Answer, Answer]] = [
        redemption_runs.runs(together[n], mode=modes[n], idempotency_key=key, **given)
        for n, key in zip(ranked, keys, strict=True)
    ]
    calls = [next(each) for each in runs]
    mode = "check" if modes[0] == "check" else "redeem"
    while True:
        names = [key for call in calls for key in call[0]]
        counts = " ".join(str(len(call[0])) for call in calls)
        arguments = [part for call in calls for part in call[1]]
        answer = store.run("redeem_all", names, [mode, _MODE_AT, counts, len(calls[0][1]), *arguments], guard)
        if answer.status != "asks":
            break
        asked = int(answer["position"]) - 1
        calls[asked] = runs[asked].send(script.read(answer.rest("answer")))
    if answer.status == "again":
        return answer
    if answer.status == "refused":
        n = ranked[int(answer["position"]) - 1]
        refused = together[n]
        reasons = read_reasons(answer["reasons"], refused.definition)
        refusal = _of_code([*reasons, *refused.refusals, *refused.outside][0], refused.checkout.code)
        raise tallies.refused(store, refused.discount.text, "redemption", refusal)
    answers = [script.read(_decode(each)) for each in answer.rest("answers")]
    return [answers[ranked.index(n)] for n in range(len(together))]


def _of_code(refusal: Refusal, code: str) -> Refusal:
    """Return a refusal with the code that it refuses. A mismatch is one of the whole order."""
    if not isinstance(refusal, IdempotencyMismatch):
        refusal.facts["code"] = code
    return refusal
