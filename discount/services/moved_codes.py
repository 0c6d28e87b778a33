"""The service of moved-in codes: codes that users hold from another service, with what they used of them there."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial

from discount.domain import code_kinds, rules
from discount.domain.code_sequence import canonical
from discount.domain.errors import Closed, WrongKind
from discount.domain.ids import DiscountId, make_redemption_id
from discount.domain.model import COMMAND, Author, Discount
from discount.services import code_pools, discounts, slices
from discount.services.code_pools import Line
from discount.store import keys
from discount.store.answers import Answer
from discount.store.connection import Store

#: Lines and uses in one call of the script: a few milliseconds of Redis.
AT_ONCE = 100
#: Calls of the script sent together.
CALLS = 4
#: The most uses of one line.
MOST_USES = 100
#: The kinds of code that can be moved in. The service makes the codes of the others.
KINDS = ("imported", "shared")
_SECOND = 1_000_000
_REASONS = {
    "revoked": "the code was taken back from this user",
    "other": "the user holds another code of this discount",
    "taken": "the code is another user's, or waits to be granted",
    "full": "the total of the discount is used up",
    "order": "the order was redeemed in another way",
}
#: Keys and arguments of the script.
_Call = tuple[list[str], list[str | int]]


@dataclass(frozen=True, slots=True)
class MovedCode:
    """A line of a file: a code with its holder and uses; without a user, a code that waits to be granted.

    Args:
        granted_at, redeemed_at: microseconds since 1970 UTC; None if the file does not say.
        uses: how often it was used, each time at `redeemed_at`.
        order_id: the order of the one use; empty if the file does not say.
        currency: empty for that of the discount's rule.
    """

    code: str = ""
    user_id: str = ""
    granted_at: int | None = None
    uses: int = 0
    redeemed_at: int | None = None
    order_id: str = ""
    amount: int = 0
    currency: str = ""
    discount_amount: int = 0


@dataclass(slots=True)
class Report:
    """The result of moving in. `lines` names the first lines that were refused, in the order of the file."""

    granted_count: int = 0
    waiting_count: int = 0
    used_count: int = 0
    repeated_count: int = 0
    bad_count: int = 0
    lines: list[Line] = field(default_factory=list)


def move_in(
    store: Store,
    discount_id: str,
    lines: Iterable[tuple[int, MovedCode | str]],
    *,
    tells: bool = False,
    author: Author = COMMAND,
) -> Report:
    """Grant codes to those who hold them, and count their uses, in constant memory.

    What is there already is counted and changes nothing. So an interrupted file can be sent again as a whole. If
    reading fails, the batches read before stay.

    Args:
        lines: pairs of a line number and a code, or why the line cannot be read.
        tells: whether webhooks and users are told of the grants and uses.
        author: who moves them in.

    Raises:
        NotFound, Closed
        WrongKind: the service makes the discount's codes.
        QuotaReached: batches that were added before it stay.
        Malformed: there are more than MOST_LINES lines; those up to there are added.
    """
    discount, now = discounts.show(store, discount_id)
    if discount.codes.kind not in KINDS:
        raise WrongKind()
    if discount.closed:
        raise Closed()
    moving = _Moving(store, discount, now, "told" if tells else "quiet", author)
    for number, line in code_pools.bounded(lines):
        moving.add(number, line)
    moving.flush()
    return moving.report


class _Moving:
    """A file that is being moved in, a batch of lines at a time."""

    def __init__(self, store: Store, discount: Discount, now: int, mark: str, author: Author) -> None:
        self.report = Report()
        self._store = store
        self._parsed = discounts.parse_id(store, discount.id)
        self._discount = discount
        self._now = now
        self._mark = mark
        self._author = author
        self._batch: list[tuple[int, MovedCode]] = []
        self._weight = 0
        # The codes of the batch, and whether each waits to be granted.
        self._waiting: dict[int, bool] = {}
        self._bad: list[Line] = []

    def add(self, number: int, line: MovedCode | str) -> None:
        """Take the next line."""
        reason = line if isinstance(line, str) else self._refusal_of(line)
        if isinstance(line, str) or reason:
            self.report.bad_count += 1
            # These come in order; what the script refuses is added to them at the end of the batch.
            if len(self._bad) < code_pools.NAMED:
                self._bad.append(Line(number, reason))
            return
        if self._discount.codes.kind == "imported":
            digest, waits = code_kinds.digest(line.code), not line.user_id
            # One that waits and one that is held are of different scripts: the first line of a file comes first.
            if self._waiting.get(digest, waits) != waits:
                self.flush()
            self._waiting[digest] = waits
        self._batch.append((number, line))
        self._weight += 1 + line.uses
        if self._weight >= AT_ONCE * CALLS:
            self.flush()

    def flush(self) -> None:
        """Move the batch in."""
        batch, self._batch, self._weight = self._batch, [], 0
        self._waiting.clear()
        waiting = [(number, line.code) for number, line in batch if not line.user_id]
        if waiting:
            imported = code_pools.Report()
            code_pools.import_batch(self._store, self._parsed, waiting, imported, self._author)
            self.report.waiting_count += imported.added_count
            self.report.repeated_count += imported.repeated_count
        for line, outcome in self._run([(number, line) for number, line in batch if line.user_id]):
            self._note(line, outcome)
        room = code_pools.NAMED - len(self.report.lines)
        self.report.lines += sorted(self._bad, key=lambda line: line.line)[:room]
        self._bad.clear()
        slices.between()

    def _refusal_of(self, line: MovedCode) -> str:
        """Return why a line cannot be moved in; empty if it can."""
        kind = self._discount.codes
        reason = code_pools.refusal_of(line.code) if kind.kind == "imported" else ""
        if reason:
            return f"code {reason}"
        if kind.kind == "shared" and line.code and canonical(line.code) != canonical(kind.code):
            return "code is not that of the discount"
        if not line.user_id:
            is_bare = line == MovedCode(line.code) and kind.kind == "imported"
            return "" if is_bare else "user_id is empty"
        late = (name for name in ("granted_at", "redeemed_at") if (getattr(line, name) or 0) > self._now)
        return next((f"{name} is in the future" for name in late), "")

    def _note(self, number: int, outcome: str) -> None:
        if outcome in _REASONS:
            self.report.bad_count += 1
            self._bad.append(Line(number, _REASONS[outcome]))
            return
        word, _, uses = outcome.partition(" ")
        self.report.granted_count += word == "granted"
        self.report.used_count += int(uses)
        self.report.repeated_count += outcome == "held 0"

    def _run(self, held: Sequence[tuple[int, MovedCode]]) -> list[tuple[int, str]]:
        """Run the script for lines with a user, in their order; return what became of each, by number."""
        left, done = _pieces(held), list[tuple[int, str]]()
        while left:
            let_go: str = self._store.command("GET", keys.let_go(self._parsed.partition)) or ""
            rows = [[self._row_of(line) for _, line in each] for each in left]
            self._leave_out_past([row for several in rows for row in several], let_go)
            first = self._discount.rule.currency or rules.NO_CURRENCY
            call = partial(call_of, self._store, self._parsed, mark=self._mark, currency=first, let_go=let_go)
            answers = self._store.run_many("move_in", [call(several) for several in rows])
            again = []
            for each, answer in zip(left, answers, strict=True):
                if answer.status == "changed":
                    again.append(each)
                else:
                    done += zip((number for number, _ in each), _outcomes(answer), strict=True)
            left = again
        return done

    def _leave_out_past(self, rows: Sequence["Row"], let_go: str) -> None:
        """Leave out the uses that Redis has let go, and the ledger has."""
        past = self._store.past
        old = [use.id for row in rows for use in row.uses if use.at <= let_go]
        if past is None or not old:
            return
        known = {each.id for each in past.read(old)}
        for row in rows:
            row.uses[:] = [use for use in row.uses if use.id not in known]

    def _row_of(self, line: MovedCode) -> "Row":
        uses = [self._use_of(line, number) for number in range(1, line.uses + 1)]
        granted_at = self._now if line.granted_at is None else line.granted_at
        return Row(line.user_id, line.code, f"{granted_at:016d}", uses)

    def _use_of(self, line: MovedCode, number: int) -> "RowUse":
        discount, order_id, namespace = self._discount, line.order_id, None
        if not order_id:
            # No user's own order has this name: a user's id has no line break.
            order_id, namespace = f"moved-in-{number}", f"{line.user_id}\n{discount.id}"
        redemption_id = make_redemption_id(self._parsed.partition, discount.brand_id, order_id, namespace)
        # Where the file says nothing, it is a moment ago.
        at = line.redeemed_at or line.granted_at or self._now // _SECOND * _SECOND - _SECOND
        if at % _SECOND == 0:
            # Many uses have the same second. Lists stay cheap to read if few have the same microsecond.
            at = min(at + int(redemption_id[-5:], 16) % _SECOND, self._now)
        return RowUse(
            redemption_id,
            f"{at:016d}",
            str(line.amount),
            line.currency or discount.rule.currency or rules.NO_CURRENCY,
            str(line.discount_amount),
            order_id,
            discount.timezone,
        )


@dataclass(frozen=True, slots=True)
class RowUse:
    """A use as the script takes it."""

    id: str
    at: str
    amount: str
    currency: str
    discount_amount: str
    order: str
    zone: str

    def fields(self) -> list[str]:
        """Return its fields in their order."""
        # The day of the moment stands between its neighbours.
        _, _, day, week, _ = rules.calendar(self.zone, int(self.at)).split(";")[1].split(",")
        return [self.id, self.at, self.amount, self.currency, self.discount_amount, self.order, day, week]


@dataclass(frozen=True, slots=True)
class Row:
    """A line as the script takes it."""

    user_id: str
    code: str
    granted_at: str
    uses: list[RowUse]


def call_of(store: Store, parsed: DiscountId, rows: Sequence[Row], *, mark: str, currency: str, let_go: str) -> _Call:
    """Return the keys and arguments of the script for some lines.

    Args:
        mark: `quiet` if nobody is told of them, or `told`.
        currency: the one whose budget is looked at first.
        let_go: the latest time that Redis let go.
    """
    partition, discount_id = parsed.partition, parsed.text
    names = [
        keys.reserved(partition, discount_id),
        keys.usage(partition),
        keys.discount(partition, discount_id),
        keys.buckets(partition, discount_id),
        keys.waits(partition, discount_id),
        keys.waits_due(partition),
        keys.redemptions(partition, discount_id),
        keys.more_redemptions(partition, discount_id),
        keys.let_go(partition),
        keys.events(partition),
    ]
    lines = []
    for row in rows:
        bucket, digest = keys.grant_bucket(row.user_id, parsed.buckets), code_kinds.digest(row.code)
        names += [
            keys.grants(partition, discount_id, bucket),
            keys.users(partition, row.user_id),
            keys.uses(partition, discount_id, bucket),
            keys.taken(partition, discount_id, digest % parsed.buckets),
            keys.user_redemptions(partition, row.user_id),
        ]
        names += [name for use in row.uses for name in keys.records(use.id)]
        # Lua's numbers cannot hold a digest.
        uses = [use.fields() for use in row.uses]
        lines.append([row.user_id, bucket, row.code, str(digest), row.granted_at, uses])
    return names, [*store.quotas.arguments, json.dumps(lines), mark, currency, let_go]


def _pieces(held: Sequence[tuple[int, MovedCode]]) -> list[list[tuple[int, MovedCode]]]:
    """Return lines in pieces, each for one call of the script."""
    pieces: list[list[tuple[int, MovedCode]]] = []
    room = 0
    for number, line in held:
        weight = 1 + line.uses
        if weight > room:
            pieces.append([])
            room = max(AT_ONCE, weight)
        pieces[-1].append((number, line))
        room -= weight
    return pieces


def _outcomes(answer: Answer) -> list[str]:
    """Return what became of each line.

    Raises:
        Refusal
    """
    refusal = answer.refusal()
    if refusal is not None:
        raise refusal
    return answer.rest("outcomes")
