"""The roster: which worker processes of a replica run, by kind. All of them see it.

The master writes it when a worker starts or has ended, so it is right also after a crash. A worker notes that it stops.
"""

import mmap
from typing import Literal

Kind = Literal["hot", "pool"]
_FREE, _CODES = 0, {"hot": 1, "pool": 2}
#: Added to the code of a worker that is stopping.
_STOPPING = 16
#: The most processes: all of two generations, during a reload.
PLACES = 2048


class Roster:
    """Places in memory that all processes share, one for each worker."""

    def __init__(self, wanted: dict[Kind, int]) -> None:
        self._wanted = wanted
        self._places = mmap.mmap(-1, PLACES)
        #: The kind and the generation of each place; known to the master alone.
        self._running: dict[int, tuple[Kind, int]] = {}
        self._generation = 0

    def renew(self) -> None:
        """Begin a new generation: a reload replaces all workers."""
        self._generation += 1

    def add(self) -> tuple[int, Kind]:
        """Give a new worker a place, and the kind that its generation lacks; `hot` if it lacks none."""
        present = [kind for kind, generation in self._running.values() if generation == self._generation]
        kind: Kind = next((each for each, count in self._wanted.items() if present.count(each) < count), "hot")
        place = next(each for each in range(PLACES) if self._places[each] == _FREE)
        self._running[place] = (kind, self._generation)
        self._places[place] = _CODES[kind]
        return place, kind

    def remove(self, place: int) -> None:
        """Free the place of a worker that has ended."""
        self._places[place] = _FREE
        self._running.pop(place, None)

    def stop(self, place: int) -> None:
        """Note that a worker is stopping."""
        self._places[place] |= _STOPPING

    def is_running(self, kind: Kind, *, or_stopping: bool = False) -> bool:
        """Return whether a worker of that kind runs, or, if asked so, is still stopping."""
        places = self._places[:]
        return _CODES[kind] in places or (or_stopping and _CODES[kind] + _STOPPING in places)
