"""Does again in Redis what the events of the ledger say, in their order: grants, uses, changes of discounts.

Each call of a script is found by its events, which have the same time, and is made again as it was made then
(`discount.store.replay`). What stands in Redis already stays as it is, so an interrupted replay goes on.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import groupby, pairwise

from msgspec import structs
from sqlalchemy import select
from structlog import get_logger

from discount.domain import code_kinds, events, metadata
from discount.domain.code_sequence import Sequence as CodeSequence
from discount.domain.code_sequence import canonical
from discount.domain.errors import Refusal, Unavailable
from discount.domain.events import Entry
from discount.domain.ids import FORGOTTEN
from discount.domain.metadata import NO_METADATA
from discount.domain.model import Author, Grant
from discount.domain.rules import Order
from discount.ledger import LedgerError, windows
from discount.ledger.database import Database
from discount.ledger.replayed_waits import ReplayedWaits
from discount.ledger.tables import DISCOUNTS, EVENTS, IMPORTS
from discount.security.sealing import Sealer
from discount.services import (
    checkouts,
    code_pools,
    discounts,
    grants,
    redemption_records,
    redemptions,
    revocations,
    slices,
    user_grants,
)
from discount.services.checkouts import Checkout
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command
from discount.store.replay import Past, ReplayStore, flat
from discount.store.scripts import SCRIPTS

#: Events read together, and grants made together.
PAGE, TOGETHER = 2_000, 200
_USES = ("code.redeemed", "redemption.held")


@dataclass(slots=True)
class Replayed:
    """What a replay has done.

    Attributes:
        copies: keys that no event tells of, which were written from their copies.
        dropped: the last entry that is too old for the outbox.
        refused: entries that Redis refuses now, each with its reason.
    """

    entries: int = 0
    grants: int = 0
    uses: int = 0
    copies: int = 0
    dropped: str = ""
    refused: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Call:
    """The entries that one call of a script added, and the discount that they are of."""

    discount_id: str
    entries: Sequence[Entry]

    @property
    def kind(self) -> str:
        return self.entries[0].fields["type"]

    @property
    def fields(self) -> dict[str, str]:
        return dict(self.entries[0].fields)

    @property
    def author(self) -> Author:
        return Author(self.fields.get("by", ""), self.fields.get("request", ""))


class Replay:
    """The replay of one partition.

    Args:
        keep_from: entries of this time and later, in microseconds, are added to the outbox again.
    """

    def __init__(self, store: Store, database: Database, sealer: Sealer, partition: int, *, keep_from: int) -> None:
        self._store = ReplayStore(store, partition)
        self._database = database
        self._sealer = sealer
        self._partition = partition
        self._keep_from = keep_from
        self._done = Replayed()
        self._waits = ReplayedWaits(store, partition)
        self._handlers: dict[str, Callable[[_Call], None]] = {
            "discount.created": self._create,
            "discount.changed": self._change,
            "discount.closed": self._close,
            "codes.imported": self._import,
            "code.granted": self._grant,
            "code.revoked": self._revoke,
            "code.redeemed": self._redeem,
            "redemption.held": self._redeem,
            "redemption.confirmed": self._confirm,
            "redemption.released": self._release,
            "redemption.rolled-back": self._roll_back,
        }

    def run(self, after: str, tell: Callable[[Replayed], None]) -> Replayed:
        """Replay all entries after a place.

        Args:
            tell: called after some calls with what is done so far.

        Raises:
            LedgerError: a code sequence cannot be made again.
            Unavailable
        """
        calls: list[_Call] = []
        self._waits.hide()
        for call in self._calls(after):
            if calls and not (len(calls) < TOGETHER and _goes_with(calls[0], call)):
                self._do(calls)
                tell(self._done)
                calls = []
            calls.append(call)
        if calls:
            self._do(calls)
        self._waits.show()
        return self._done

    def _calls(self, after: str) -> Iterator[_Call]:
        for _, rows in groupby(self._entries(after), key=lambda row: (row[1].fields["at"], row[0])):
            found = list(rows)
            entries = [entry for _, entry in found]
            # A call may have handed out codes to users who waited; each of these is a grant of its own.
            waited = [n for n, each in enumerate(entries) if n > 0 and "waited" in each.fields]
            for first, end in pairwise([0, *waited, len(entries)]):
                yield _Call(found[0][0], entries[first:end])

    def _entries(self, after: str) -> Iterator[tuple[str, Entry]]:
        """Yield the entries after a place in their order, each with its discount."""
        columns = EVENTS.c
        last = events.parts(after)
        while True:
            slices.between()
            # Texts do not sort as places do within one millisecond.
            this = (columns.partition == self._partition) & (columns.entry_id >= f"{last[0]:013d}-")
            wanted = select(columns.entry_id, columns.discount_id, columns.fields).where(this)
            with self._database.reading() as connection:
                rows = connection.execute(wanted.order_by(columns.entry_id).limit(PAGE)).all()
            page = sorted((events.parts(row.entry_id), row) for row in rows)
            if len(rows) == PAGE:
                # The last millisecond may go on behind the page.
                page = [each for each in page if each[0][0] < page[-1][0][0]]
            page = [each for each in page if each[0] > last]
            if not page:
                if len(rows) == PAGE:
                    raise LedgerError("more events in one millisecond than can be read together")
                return
            for place, row in page:
                last = place
                yield row.discount_id, Entry(self._partition, row.entry_id, row.fields)

    def _do(self, calls: list[_Call]) -> None:
        """Make calls again, which are either one, or several grants of one discount."""
        first = calls[0]
        self._done.entries += sum(len(each.entries) for each in calls)
        for call in calls:
            for entry in call.entries:
                self._waits.do(call.discount_id, entry)
        try:
            if _is_plain_grant(first):
                self._grant_many(calls)
            else:
                self._make(first)
        except Unavailable:
            raise
        except Refusal as refusal:
            # Something else has happened in Redis since.
            get_logger().error("an event is not replayed", event=first.entries[0].event_id, reason=refusal.slug)
            self._done.refused.append(f"{first.entries[0].event_id} {refusal.slug}")
        # What a script has not added: entries of others, and of calls that stand in Redis already.
        self._pass([entry for each in calls for entry in each.entries])
        for call in calls:
            for entry in call.entries:
                self._clean(call.discount_id, entry)

    def _make(self, call: _Call) -> None:
        """Make a call, and what follows in the same one."""
        left = call
        while left.entries:
            handler = self._handlers.get(left.kind)
            if handler is None:
                left = _Call(left.discount_id, left.entries[1:])
                continue
            handler(left)
            if left.kind == "redemption.released" or left.kind in _USES:
                # Several codes of one order are redeemed together.
                name = next((each.fields["redemption"] for each in left.entries if each.fields["type"] in _USES), "")
                rest = [n for n, each in enumerate(left.entries) if each.fields.get("redemption") == name]
                left = _Call(left.discount_id, left.entries[(rest[-1] if rest else 0) + 1 :])
            else:
                return

    def _past(self, call: _Call, **more: object) -> Past:
        is_kept = int(call.fields["at"]) >= self._keep_from
        if not is_kept:
            self._done.dropped = call.entries[-1].entry_id
        # The entries that named a forgotten user are no longer in the outbox.
        names = (call.fields.get("user", ""), call.fields.get("next", ""))
        is_hidden = any(each.startswith(FORGOTTEN) for each in names)
        return Past(call.entries, is_kept and not is_hidden, **more)  # type: ignore[arg-type]

    def _pass(self, entries: Sequence[Entry]) -> None:
        """Add entries that are not in the outbox, though it has not got beyond them, and note that all are done."""
        commands: list[Command] = []
        reply = self._store.command(*windows.last_entry(self._partition))
        last = events.parts(windows.place_in(reply))
        for each in entries:
            named = (each.fields.get("user", ""), each.fields.get("next", ""))
            is_hidden = each.fields["type"] != "user.forgotten" and any(name.startswith(FORGOTTEN) for name in named)
            if int(each.fields["at"]) < self._keep_from:
                self._done.dropped = each.entry_id
            elif not is_hidden and events.parts(each.entry_id) > last:
                commands.append(("XADD", keys.events(self._partition), each.entry_id, *flat(each)))
        commands.append(("SET", keys.restoring(self._partition), entries[-1].entry_id))
        self._store.commands(commands)

    def _clean(self, discount_id: str, entry: Entry) -> None:
        """Leave no list of a user who was forgotten: nobody asks for it."""
        user, fields = entry.fields.get("user", ""), entry.fields
        if not user.startswith(FORGOTTEN):
            return
        name, code = keys.users(self._partition, user), canonical(fields.get("code", ""))
        listed = [*user_grants.code_fields(user, fields["brand"], code), user_grants.traces_field(user)]
        listed.append(redemption_records.few_field(user))
        self._store.commands(
            [("HDEL", name, *listed, f"{user}\n0"), ("DEL", keys.user_redemptions(self._partition, user))]
        )
        if fields["type"] == "code.revoked" and discount_id:
            bucket = grants.bucket_key(discounts.parse_id(self._store, discount_id), user)
            self._store.run("swap", [bucket], [user, grants.BLOCKED, ""])

    # Discounts

    def _create(self, call: _Call) -> None:
        fields = call.fields
        stored = dict(zip(*[iter(json.loads(fields["definition"]))] * 2, strict=True))
        kind = code_kinds.kind_of(stored)
        code_key, block = "", list[str]()
        if kind.kind == "unique":
            code_key = self._code_key(call.discount_id)
            call = _with(call, key=code_key)
            sequence = CodeSequence(code_key, kind.pattern, kind.alphabet)
            block = sequence.codes(0, min(int(stored["total"]), discounts.FIRST_BLOCK))
        brand = fields["brand"]
        names = self._names(call.discount_id, brand)
        self._run(
            "create",
            call,
            names | {"holder": names["discount"], "idempotency": keys.mark(self._partition), "webhook": names["mark"]},
            {
                "discount_id": call.discount_id,
                "fingerprint": "",
                "keep_seconds": "0",
                "fields": fields["definition"],
                "code_key": code_key,
                "first_block": json.dumps(block),
                "shared_code": canonical(kind.code),
                "webhook_fields": "[]",
                "held_by": "",
            },
        )
        number = self._store.command("HGET", names["discount"], "number")
        if number != fields["number"]:
            raise LedgerError("Redis has discounts that the ledger does not know; restore into an empty Redis")

    def _code_key(self, discount_id: str) -> str:
        with self._database.reading() as connection:
            sealed = connection.execute(
                select(DISCOUNTS.c.key).where(DISCOUNTS.c.id == discount_id)
            ).scalar_one_or_none()
        opened = self._sealer.open(sealed, discount_id) if sealed else None
        if opened is None:
            raise LedgerError(
                f"what the codes of {discount_id} are made with is not in the ledger, or sealed with another SECRET"
            )
        return opened

    def _change(self, call: _Call) -> None:
        definition = discounts.get_definition(self._store, call.discount_id)
        self._run(
            "change",
            call,
            self._names(call.discount_id, definition.brand_id),
            {
                "fields": call.fields["after"],
                "discount_id": call.discount_id,
                "shared_code": canonical(definition.codes.code),
            },
        )

    def _close(self, call: _Call) -> None:
        after = json.loads(call.fields["after"])
        granted_codes = dict(zip(after[::2], after[1::2], strict=True))["closed"]
        names = self._names(call.discount_id, call.fields["brand"])
        self._run("close", call, names, {"granted_codes": granted_codes})

    def _import(self, call: _Call) -> None:
        this = (IMPORTS.c.partition == self._partition) & (IMPORTS.c.entry_id == call.entries[0].entry_id)
        with self._database.reading() as connection:
            codes = connection.execute(select(IMPORTS.c.codes).where(this)).scalar_one()
        parsed, call = discounts.parse_id(self._store, call.discount_id), _with(call, codes=codes)
        first = [*self._store.quotas.arguments, call.author.by, call.author.request_id]
        self._store.begin({"": self._past(call)})
        (answer,) = self._store.run_many("import", [code_pools.import_call(parsed, codes.split("\n"), first)])
        self._check(answer.refusal())

    def _names(self, discount_id: str, brand_id: str) -> dict[str, str]:
        """Return the keys of the scripts that make and change discounts, by the names that they have there."""
        partition = self._partition
        return {
            "usage": keys.usage(partition),
            "brand_record": keys.mark(partition),
            "discount": keys.discount(partition, discount_id),
            "discounts": keys.discounts(partition),
            "brand_discounts": keys.brand_discounts(partition, brand_id),
            "numbers": keys.numbers(partition),
            "codes": keys.codes(partition, discount_id),
            "shared": keys.shared(partition, brand_id),
            "events": keys.events(partition),
            "buckets": keys.buckets(partition, discount_id),
            "waits": keys.waits(partition, discount_id),
            "waits_due": keys.waits_due(partition),
            "mark": keys.mark(partition),
        }

    def _run(self, name: str, call: _Call, names: dict[str, str], arguments: dict[str, str]) -> None:
        script = SCRIPTS[name]
        quotas = dict(zip(_QUOTAS, self._store.quotas.arguments, strict=True))
        waits = {"next_waits": "", "from": "", "block": "", "discount_id": call.discount_id}
        given = quotas | waits | {"by": call.author.by, "request_id": call.author.request_id} | arguments
        self._store.begin({"": self._past(call)})
        values = [given[each] for each in script.arguments]
        # Nobody waits: a last list of keys is empty.
        used = [names[each] for each in script.keys if not each.endswith("...")]
        (answer,) = self._store.run_many(name, [(used, values)])
        self._check(answer.refusal())

    @staticmethod
    def _check(refusal: Refusal | None) -> None:
        if refusal is not None:
            raise refusal

    # Grants

    def _grant_many(self, calls: Sequence[_Call]) -> None:
        discount_id = calls[0].discount_id
        self._know(discount_id)
        self._store.begin({each.fields["user"]: self._past(each, code=each.fields["code"]) for each in calls})
        outcomes = grants.grant_many(self._store, discount_id, [each.fields["user"] for each in calls])
        for call, outcome in zip(calls, outcomes, strict=True):
            self._check(None if isinstance(outcome, Grant) else outcome)
            self._note_grant(call, outcome)

    def _grant(self, call: _Call) -> None:
        fields = call.fields
        self._know(call.discount_id)
        self._store.begin({fields["user"]: self._past(call, code=fields["code"])})
        of_grant = metadata.read(fields.get("metadata"))
        self._note_grant(call, grants.grant(self._store, call.discount_id, fields["user"], metadata=of_grant))

    def _know(self, discount_id: str) -> None:
        # A personal code is offered to the script only if the definition is known.
        discounts.get_definition(self._store, discount_id)

    def _note_grant(self, call: _Call, outcome: Grant | Refusal) -> None:
        if isinstance(outcome, Grant):
            self._done.grants += 1
            if outcome.code != call.fields["code"]:
                event_id = call.entries[0].event_id
                get_logger().error("a user holds another code than the ledger says", event=event_id)
                self._done.refused.append(f"{event_id} another code")

    def _revoke(self, call: _Call) -> None:
        fields = call.fields
        given = next((each.fields["code"] for each in call.entries[1:] if each.fields["type"] == "code.granted"), "")
        self._store.begin({"": self._past(call, code=given)})
        revocations.revoke(
            self._store,
            call.discount_id,
            fields["user"],
            reason=fields["reason"],
            back=fields["back"] if fields["next"] or fields["back"] != "next" else "void",  # type: ignore[arg-type]
            next_user_id=fields["next"] or None,
            reissue=fields["reissue"] == "1",
            author=call.author,
        )

    # Redemptions

    def _redeem(self, call: _Call) -> None:
        used = next(each.fields for each in call.entries if each.fields["type"] in _USES)
        order_id, of_redemption = metadata.of_order(used["order"])
        hold_until = used.get("hold_until")
        seconds = (int(hold_until) - int(used["at"])) // 1_000_000 if hold_until else None
        # It was allowed then, whatever is asked of an order and its user.
        given = {"mode": "redeem", "conditions": ""} | {name: used[name] for name in ("discount_amount", "order")}
        self._store.begin({"": self._past(call, arguments=given)})
        checkout = Checkout(
            used["user"],
            used["code"],
            Order(order_id, int(used["amount"]), used["currency"]),
            discount_id=call.discount_id,
        )
        prepared = checkouts.prepare(self._store, checkout, None)
        # It was redeemed, so neither its rule nor its audience refused it. Its id may be that of one of several codes.
        facts = structs.replace(prepared.facts, redemption_id=used["redemption"])
        prepared = structs.replace(prepared, facts=facts, refusals=[], outside=[])
        redemptions.redeem_prepared(self._store, prepared, hold_seconds=seconds, metadata=of_redemption or NO_METADATA)
        self._done.uses += 1

    def _confirm(self, call: _Call) -> None:
        self._store.begin({"": self._past(call)})
        redemptions.confirm(self._store, call.fields["redemption"])

    def _release(self, call: _Call) -> None:
        """Release a hold: for a newer one, whose entry follows, or because it was rolled back."""
        if any(each.fields["type"] in _USES for each in call.entries):
            self._redeem(call)
        else:
            self._roll_back(call)

    def _roll_back(self, call: _Call) -> None:
        self._store.begin({"": self._past(call)})
        redemptions.roll_back(self._store, call.fields["redemption"], call.fields.get("reason", ""))


_QUOTAS = ("most_discounts", "most_codes", "most_grants_a_day", "most_stored_bytes")


def _is_plain_grant(call: _Call) -> bool:
    return call.kind == "code.granted" and not call.fields.get("metadata")


def _goes_with(call: _Call, other: _Call) -> bool:
    """Return whether two calls can be made together: they are grants of one discount."""
    return call.discount_id == other.discount_id and _is_plain_grant(call) and _is_plain_grant(other)


def _with(call: _Call, **fields: str) -> _Call:
    """Return a call whose first entry has more fields."""
    first, *others = call.entries
    return _Call(call.discount_id, [Entry(first.partition, first.entry_id, {**first.fields, **fields}), *others])
