"""The starts of Redis: whether what runs now has all that the ledger knows.

A server that starts may have lost its last moment. So a process asks each new connection which start of the server it
reaches. Until that one was compared with the ledger, changes of its partitions are refused; reads go on. Any process
compares, and writes into each partition for which start that was done. If something is lost, changes stay refused until
a worker has put it back.
"""

import threading
from collections.abc import Callable, Iterable, Sequence
from time import monotonic
from typing import Any

from redis.connection import ConnectionInterface
from structlog import get_logger

from discount.domain.errors import Restoring, Unavailable
from discount.store import keys, nodes
from discount.store.exchanges import Command
from discount.store.nodes import Nodes
from discount.store.scripts import SCRIPTS, Script

#: The field of an installation with the start that was compared.
RUN = "run"
#: Seconds between two looks: while changes are refused, and otherwise.
SOON, LATER = 0.1, 2.0
#: The most seconds that a new connection waits for the comparison, which takes some hundredths if nothing is lost.
COMPARING = 0.8
#: For how many seconds after a lost connection a server that is away is looked for without long pauses.
AWAITED = 10.0
# Scripts that change what the ledger restores, apart from those that a worker or a caller's token needs meanwhile.
_OTHERS = ("open_group", "settle", "test_webhook", "touch", "note_changes", "note_copied")
CHANGING = frozenset(
    name for name, each in SCRIPTS.items() if ("events" in each.keys or each.notes_changes) and name not in _OTHERS
)
_FORMS = frozenset(form for name in CHANGING for form in SCRIPTS[name].forms())


class Starts:
    """The starts of the nodes of a store.

    Args:
        each: the store's function of this name.
        find_whole: returns those of some partitions of which Redis has all that the ledger has.

    Attributes:
        restoring: partitions that may lack something.
    """

    def __init__(
        self,
        of: Nodes,
        partitions: int,
        each: Callable[[Sequence[Command]], list[Any]],
        find_whole: Callable[[Iterable[int]], set[int]],
    ) -> None:
        self.restoring: frozenset[int] = frozenset()
        self._nodes = of
        self._partitions = range(partitions)
        self._each = each
        self._find_whole = find_whole
        self._runs: dict[str, str] = {}
        # When each start was met.
        self._met_at: dict[str, float] = {}
        # Whether a partition could not be reached, and until when that is looked at soon.
        self._is_missing = False
        self._soon_until = 0.0
        self._lock = threading.Condition()
        # Threads that look must not wait for a look themselves.
        self._looking = set[int]()
        self._wanted = threading.Event()
        self._thread: threading.Thread | None = None

    def meet(self, address: str, connection: ConnectionInterface) -> None:
        """Ask a new connection which start it reaches, before anything else is sent on it.

        If it is a new start, wait `COMPARING` seconds at most, so that no change is refused if nothing was lost.

        Raises:
            RedisError, OSError
        """
        (text,), has_errors = nodes.talk(connection, [("INFO", "server")])
        if has_errors:
            raise text
        run = next((line[7:].strip() for line in str(text).splitlines() if line.startswith("run_id:")), "")
        with self._lock:
            if self._runs.get(address) != run:
                self._runs[address], self._met_at[address] = run, monotonic()
                self.restoring |= frozenset(self._nodes.partitions_of(address))
                self._wanted.set()
                if self._looking:
                    # That look began before, and may hang at a name or an address that was gone then.
                    threading.Thread(target=self._look_once, name="start", daemon=True).start()
            if self._thread is None or not self._thread.is_alive():
                self._thread = threading.Thread(target=self._look_on, name="starts", daemon=True)
                self._thread.start()
            if threading.get_ident() not in self._looking:
                self._wait_for_look(address)

    def _wait_for_look(self, address: str) -> None:
        partitions, until = self._nodes.partitions_of(address), self._met_at[address] + COMPARING
        self._lock.wait_for(lambda: self.restoring.isdisjoint(partitions), max(0.0, until - monotonic()))

    def check(self, script: Script, names: Sequence[str]) -> None:
        """Refuse a change of a partition that may lack something.

        Raises:
            Restoring
        """
        if script.name in CHANGING and keys.partition_in(names[0]) in self.restoring:
            raise Restoring

    def refuse(self, commands: Sequence[Command]) -> None:
        """Refuse commands with such a change among them.

        Raises:
            Restoring
        """
        for each in commands:
            if len(each) > 1 and each[1] in _FORMS and keys.partition_of_command(each) in self.restoring:
                raise Restoring

    def look_soon(self) -> None:
        """Compare at once: something is not there that should be, as after a FLUSHALL, or a connection was lost."""
        self._soon_until = monotonic() + AWAITED
        self._wanted.set()

    def look(self) -> None:
        """Compare what was not compared for its present start.

        Raises:
            Unavailable: Redis or the ledger does not answer.
        """
        partitions = self._partitions
        runs = dict(self._runs)
        owners = self._nodes.owners
        replies = self._each(
            [
                command
                for each in partitions
                for command in (("HGET", keys.installation(each), RUN), ("GET", keys.restoring(each)))
            ]
        )
        known = dict(zip(partitions, zip(replies[::2], replies[1::2], strict=True), strict=True))
        reached = [each for each in partitions if not any(isinstance(part, Unavailable) for part in known[each])]
        self._is_missing = len(reached) < len(partitions)
        starts = {each: runs.get(owners[each], "") for each in partitions}
        open_ones = [each for each in reached if known[each][1] is None]
        new = [each for each in open_ones if not starts[each] or known[each][0] != starts[each]]
        whole = self._find_whole(new) if new else set[int]()
        # Another look may have met a newer start meanwhile, and compared it.
        current = [each for each in whole if starts[each] and self._runs.get(owners[each]) == starts[each]]
        self._each([("HSET", keys.installation(each), RUN, starts[each]) for each in current])
        sound = set(open_ones) - set(new) | whole
        with self._lock:
            # A server that started meanwhile is compared next.
            moved = {each for each in partitions if self._runs.get(owners[each], "") != starts[each]}
            lacking = set(reached) - sound
            unknown = self.restoring - set(reached)
            self.restoring = frozenset(lacking | unknown | (moved & set(self.restoring)))
            self._lock.notify_all()

    def _look_once(self) -> None:
        own = threading.get_ident()
        self._looking.add(own)
        try:
            self.look()
        except Unavailable as error:
            self._is_missing = True
            if self.restoring:
                get_logger().warning("a start of Redis cannot be compared with the ledger", detail=error.detail)
        except Exception as error:
            get_logger().error("a look at the starts of Redis failed", exc_info=error)
        finally:
            self._looking.discard(own)

    def _look_on(self) -> None:
        while True:
            is_awaited = self._is_missing and monotonic() < self._soon_until
            self._wanted.wait(SOON if self.restoring or is_awaited else LATER)
            self._wanted.clear()
            self._look_once()
            # The event may be set again and again.
            threading.Event().wait(SOON)
