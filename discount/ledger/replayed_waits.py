"""The waiting lists of a replayed partition, and the codes that have to be used in time.

Meanwhile no discount counts users who wait, so that each grant is made again as it was made, whoever waited.
"""

from discount.domain.events import Entry, happened_at
from discount.domain.ids import FORGOTTEN
from discount.services import claims, discounts, user_grants
from discount.store import keys
from discount.store.connection import Store
from discount.store.exchanges import Command

# Events that end the wait of their user.
_ENDS = ("wait.ended", "code.granted")


class ReplayedWaits:
    """The waiting lists of one partition."""

    def __init__(self, store: Store, partition: int) -> None:
        self._store = store
        self._partition = partition

    def hide(self) -> None:
        """Let no discount count users who wait, until `show`."""
        for discount_id in self._lists():
            name = keys.discount(self._partition, discount_id)
            brand, count = self._store.command("HMGET", name, "brand", "waits")
            if count:
                self._store.commands([("HDEL", name, "waits"), self._count(brand, -int(count))])

    def do(self, discount_id: str, entry: Entry) -> None:
        """Begin or end the wait that an entry records."""
        kind, user = entry.fields["type"], entry.fields.get("user", "")
        listed = keys.waits(self._partition, discount_id)
        if kind == "wait.started" and not user.startswith(FORGOTTEN):
            self._begin(discount_id, user, entry)
        elif kind in _ENDS:
            self._store.command("ZREM", listed, user)
            within = discounts.get_definition(self._store, discount_id).claim_within
            if kind == "code.granted" and within is not None and not user.startswith(FORGOTTEN):
                claims.note(self._store, discount_id, user, happened_at(entry.fields), within.text)
        elif kind in claims.UNDONE and not user.startswith(FORGOTTEN):
            if discounts.get_definition(self._store, discount_id).claim_within is not None:
                claims.note_undone(self._store, discount_id, user, int(entry.fields["at"]))
        elif kind == "discount.closed":
            self._store.command("DEL", listed)

    def show(self) -> None:
        """Let discounts count the users who wait, and be looked at."""
        for discount_id in self._lists():
            name, listed = keys.discount(self._partition, discount_id), keys.waits(self._partition, discount_id)
            brand, count = self._store.commands([("HGET", name, "brand"), ("ZCARD", listed)])
            if count:
                self._store.commands([("HSET", name, "waits", count), self._count(brand, count)])
            else:
                self._store.command("ZREM", keys.waits_due(self._partition), discount_id)

    def _begin(self, discount_id: str, user: str, entry: Entry) -> None:
        number, at = entry.fields["number"], entry.fields["at"]
        field, users = user_grants.traces_field(user), keys.users(self._partition, user)
        traces = (self._store.command("HGET", users, field) or "").split()
        commands: list[Command] = [
            ("ZADD", keys.waits_due(self._partition), 0, discount_id),
            ("ZADD", keys.waits(self._partition, discount_id), "NX", at, user),
            ("HSETNX", keys.discount(self._partition, discount_id), "loose_from", at),
        ]
        if number not in traces:
            commands.append(("HSET", users, field, " ".join([*traces, number])))
        self._store.commands(commands)

    def _lists(self) -> list[str]:
        found: list[str] = self._store.command("ZRANGE", keys.waits_due(self._partition), 0, -1)
        return found

    def _count(self, brand: str, change: int) -> Command:
        return "HINCRBY", keys.usage(self._partition), f"waits {brand}", change
