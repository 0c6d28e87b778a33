"""Repeat in Redis what the events of the ledger say, in their order: grants, uses, changes of discounts.

Each call of a script is found by its events, which have the same time, and is made again as it was made then
(`discount.store.replay`). What stands in Redis already stays as it is, so an interrupted replay goes on.
"""

from collections.abc import Callable

from structlog import get_logger

from discount.domain.errors import Refusal, Unavailable
from discount.ledger.database import Database
from discount.ledger.replayed_calls import USES, Call, read_calls
from discount.ledger.replayed_codes import ReplayedCodes
from discount.ledger.replayed_discounts import ReplayedDiscounts
from discount.ledger.replayed_entries import Replayed, ReplayedEntries
from discount.ledger.replayed_waits import ReplayedWaits
from discount.security.sealing import Sealer
from discount.store.connection import Store
from discount.store.replay import ReplayStore

#: Grants made together.
TOGETHER = 200


class Replay:
    """The replay of one partition.

    Args:
        keep_from: entries of this time and later, in microseconds, are added to the outbox again.
    """

    def __init__(self, store: Store, database: Database, sealer: Sealer, partition: int, *, keep_from: int) -> None:
        self._database = database
        self._partition = partition
        self._done = Replayed()
        replaying = ReplayStore(store, partition)
        self._entries = ReplayedEntries(replaying, partition, keep_from, self._done)
        self._waits = ReplayedWaits(store, partition)
        self._codes = ReplayedCodes(replaying, self._entries, self._done)
        of_discounts = ReplayedDiscounts(replaying, database, sealer, partition, self._entries)
        self._handlers: dict[str, Callable[[Call], None]] = {
            "discount.created": of_discounts.create,
            "discount.changed": of_discounts.change,
            "discount.closed": of_discounts.close,
            "codes.imported": of_discounts.import_codes,
            "code.granted": self._codes.grant,
            "code.revoked": self._codes.revoke,
            "code.redeemed": self._codes.redeem,
            "redemption.held": self._codes.redeem,
            "redemption.confirmed": self._codes.confirm,
            "redemption.released": self._codes.release,
            "redemption.rolled-back": self._codes.roll_back,
        }

    def run(self, after: str, tell: Callable[[Replayed], None]) -> Replayed:
        """Replay all entries after one.

        Args:
            tell: called after some calls with what is done so far.

        Raises:
            LedgerError: a code sequence cannot be made again.
            Unavailable
        """
        calls: list[Call] = []
        self._waits.hide()
        for call in read_calls(self._database, self._partition, after):
            if calls and not (len(calls) < TOGETHER and calls[0].goes_with(call)):
                self._do(calls)
                tell(self._done)
                calls = []
            calls.append(call)
        if calls:
            self._do(calls)
        self._waits.show()
        return self._done

    def _do(self, calls: list[Call]) -> None:
        """Make calls again, which are either one, or several grants of one discount."""
        first = calls[0]
        self._done.entries += sum(len(each.entries) for each in calls)
        for call in calls:
            for entry in call.entries:
                self._waits.do(call.discount_id, entry)
        try:
            if first.is_plain_grant:
                self._codes.grant_many(calls)
            else:
                self._make(first)
        except Unavailable:
            raise
        except Refusal as refusal:
            # Something else has happened in Redis since.
            get_logger().error("an event is not replayed", event=first.entries[0].event_id, reason=refusal.slug)
            self._done.refused.append(f"{first.entries[0].event_id} {refusal.slug}")
        # What a script has not added: entries of others, and of calls that stand in Redis already.
        self._entries.add([entry for each in calls for entry in each.entries])
        for call in calls:
            for entry in call.entries:
                self._entries.clean(call.discount_id, entry)

    def _make(self, call: Call) -> None:
        """Make a call, and what follows in the same one."""
        if call.is_moved_in:
            self._codes.move_in(call)
            return
        left = call
        while left.entries:
            handler = self._handlers.get(left.kind)
            if handler is None:
                left = Call(left.discount_id, left.entries[1:])
                continue
            handler(left)
            if left.kind == "redemption.released" or left.kind in USES:
                # Several codes of one order are redeemed together.
                name = next((each.fields["redemption"] for each in left.entries if each.fields["type"] in USES), "")
                rest = [n for n, each in enumerate(left.entries) if each.fields.get("redemption") == name]
                left = Call(left.discount_id, left.entries[(rest[-1] if rest else 0) + 1 :])
            else:
                return
