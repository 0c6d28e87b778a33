"""Run scripts again as they ran before: at the same time, with the same events.

A script decides by its arguments, by what Redis holds and by the clock. So a script that runs again on the state of
then, at the time of then, leaves the state that it left. Its entries in the outbox get the ids of then.

    replay = ReplayStore(store, partition)
    replay.begin({"ann": Past("1790000000000000", [entry])})
    grants.grant(replay, discount_id, "ann")
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from discount.domain import code_kinds
from discount.domain.events import Entry
from discount.domain.ids import parse_discount_id
from discount.store import keys
from discount.store.answers import Answer
from discount.store.connection import Store
from discount.store.guards import Guard
from discount.store.quotas import IN_SCRIPTS, Quotas
from discount.store.scripts import JUDGED, REPLAYED, SCRIPTS, Script, replayed, with_judgement

#: Counts what quotas count, and stops nothing.
_UNBOUNDED = Quotas(dict.fromkeys(IN_SCRIPTS, "9" * 15))


@dataclass(frozen=True, slots=True)
class Past:
    """The entries that one call of a script added to the outbox.

    Args:
        kept: whether they are added to the outbox again.
        code: the code that was made for a user; empty if the script finds it.
        arguments: values of then, by the name that the script has for them.
    """

    entries: Sequence[Entry]
    kept: bool
    code: str = ""
    arguments: Mapping[str, str] | None = None

    @property
    def at(self) -> str:
        """The time of the call, as the script had it."""
        return self.entries[0].fields["at"]

    def text(self) -> str:
        """Return the entries as the script takes them: each its id, its type, and its fields if it is kept."""
        return json.dumps(
            [[each.entry_id, each.fields["type"], flat(each) if self.kept else []] for each in self.entries]
        )


def flat(entry: Entry) -> list[str]:
    """Return the fields of an entry, names and values in turn."""
    return [part for pair in entry.fields.items() for part in pair]


class ReplayStore(Store):
    """A store on the same connections, whose scripts run as in the past. Only one thread may use it."""

    def __init__(self, store: Store, partition: int) -> None:
        self.__dict__.update(vars(store))
        self.quotas = _UNBOUNDED
        self.sold_out = set()
        # It makes the changes that others have to wait for.
        self.starts = None
        self._partition = partition
        self._past: Mapping[str, Past] = {}

    def begin(self, past: Mapping[str, Past]) -> None:
        """Take what the next calls did.

        Args:
            past: by the user of a grant; under `` for any other call.
        """
        self._past = past

    def run_many(
        self, name: str, calls: Sequence[tuple[Sequence[str], Sequence[str | int]]], guard: Guard | None = None
    ) -> list[Answer]:
        """Run a script as in the past, if it is one that adds entries to the outbox."""
        if name in REPLAYED:
            calls = [self._as_then(SCRIPTS[name], *each) for each in calls]
        return super().run_many(name, calls, guard)

    def _script(self, name: str) -> Script:
        return replayed(name) if name in REPLAYED else super()._script(name)

    def _as_then(
        self, script: Script, names: Sequence[str], arguments: Sequence[str | int]
    ) -> tuple[list[str], list[str | int]]:
        user = str(arguments[script.arguments.index("user")]) if script.name == "grant" else ""
        past = self._past[user]
        names, arguments = list(names), list(arguments)
        if user:
            # Whom it was granted to then was judged then. What was claimed is copied.
            extra = script.arguments.index("extra")
            arguments[extra] = with_judgement(str(arguments[extra]), JUDGED)
        for name, value in (past.arguments or {}).items():
            arguments[script.arguments.index(name)] = value
        if "candidates..." in script.arguments and len(arguments) >= len(script.arguments):
            self._choose(script, past.code, names, arguments)
        return [keys.restoring(self._partition), *names], [past.at, past.text(), *arguments]

    def _choose(self, script: Script, code: str, names: list[str], arguments: list[str | int]) -> None:
        """Replace the codes that could be made for a user by the one that was made."""
        first_name, first = script.keys.index("taken..."), script.arguments.index("candidates...")
        always_differs = arguments[first + 1] == ""
        digest = code_kinds.digest(code)
        discount_id = names[script.keys.index("discount")].rpartition(":")[2]
        parsed = parse_discount_id(discount_id)
        assert parsed is not None  # noqa: S101 - the service has made the key
        names[first_name:] = [keys.taken(parsed.partition, discount_id, digest % parsed.buckets)]
        arguments[first:] = [code, "" if always_differs else digest]
