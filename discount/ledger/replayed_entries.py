"""Entries of a replayed partition: which of them the outbox gets again, and with which ids."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from discount.domain import events
from discount.domain.code_sequence import canonical
from discount.domain.errors import Refusal
from discount.domain.events import Entry
from discount.domain.ids import FORGOTTEN
from discount.ledger import windows
from discount.ledger.replayed_calls import Call
from discount.services import discounts, grant_records, redemption_records, user_grants
from discount.store import keys
from discount.store.exchanges import Command
from discount.store.replay import Past, ReplayStore, flat


@dataclass(slots=True)
class Replayed:
    """The result of a replay.

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


class ReplayedEntries:
    """The entries of one partition.

    Args:
        keep_from: entries of this time and later, in microseconds, are added to the outbox again.
        done: what the replay has done so far; this notes in it which entries are too old.
    """

    def __init__(self, store: ReplayStore, partition: int, keep_from: int, done: Replayed) -> None:
        self._store = store
        self._partition = partition
        self._keep_from = keep_from
        self._done = done

    def past(self, call: Call, *, code: str = "", arguments: dict[str, str] | None = None) -> Past:
        """Return what is made again of a call: its entries, and the code and the arguments of then."""
        is_kept = int(call.fields["at"]) >= self._keep_from
        if not is_kept:
            self._done.dropped = call.entries[-1].entry_id
        return Past(call.entries, is_kept and not _is_hidden(call.entries[0]), code, arguments)

    def add(self, entries: Sequence[Entry]) -> None:
        """Add entries that are not in the outbox, though it has not got beyond them, and note that all are done."""
        commands: list[Command] = []
        reply = self._store.command(*windows.last_entry(self._partition))
        last = events.parts(windows.place_in(reply))
        for each in entries:
            if int(each.fields["at"]) < self._keep_from:
                self._done.dropped = each.entry_id
            elif not _is_hidden(each) and events.parts(each.entry_id) > last:
                commands.append(("XADD", keys.events(self._partition), each.entry_id, *flat(each)))
        commands.append(("SET", keys.restoring(self._partition), entries[-1].entry_id))
        self._store.commands(commands)

    def clean(self, discount_id: str, entry: Entry) -> None:
        """Remove the lists of a user who was forgotten: nobody asks for them."""
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
            bucket = grant_records.bucket_key(discounts.parse_id(self._store, discount_id), user)
            self._store.run("swap", [bucket], [user, grant_records.BLOCKED, ""])


def raise_refusal(refusal: Refusal | None) -> None:
    """Raise the refusal of a call, if it was refused."""
    if refusal is not None:
        raise refusal


def _is_hidden(entry: Entry) -> bool:
    """Return whether an entry names a forgotten user: the outbox no longer has it."""
    names = (entry.fields.get("user", ""), entry.fields.get("next", ""))
    return entry.fields["type"] != "user.forgotten" and any(each.startswith(FORGOTTEN) for each in names)
