"""The roster: which worker processes of a replica run, by kind. All of them see it.

The master writes it when a worker starts or has ended, so it is right also after a crash. A worker notes when it has
started, and when it stops.
"""

import mmap
from enum import IntEnum
from typing import Literal

Kind = Literal["hot", "pool"]
#: The most processes: all of two generations, during a reload.
PLACES = 2048
_KINDS: dict[Kind, int] = {"hot": 16, "pool": 32}


class State(IntEnum):
    """The state of a worker. A new one starts until it has loaded the application."""

    STARTING = 1
    RUNNING = 2
    STOPPING = 3


class Roster:
    """Places in memory that all processes share, one for each worker."""

    def __init__(self, wanted: dict[Kind, int]) -> None:
        self._wanted = wanted
        # A byte each: the kind and the state, or zero.
        self._places = mmap.mmap(-1, PLACES)
        # The kind and the generation of each place; known to the master alone.
        self._present: dict[int, tuple[Kind, int]] = {}
        self._generation = 0

    def renew(self) -> None:
        """Begin a new generation: a reload replaces all workers."""
        self._generation += 1

    def add(self) -> tuple[int, Kind]:
        """Give a new worker a place, and the kind that its generation lacks; `hot` if it lacks none."""
        present = [kind for kind, generation in self._present.values() if generation == self._generation]
        kind: Kind = next((each for each, count in self._wanted.items() if present.count(each) < count), "hot")
        place = next(each for each in range(PLACES) if not self._places[each])
        self._present[place] = (kind, self._generation)
        self.note(place, kind, State.STARTING)
        return place, kind

    def remove(self, place: int) -> None:
        """Free the place of a worker that has ended."""
        self._places[place] = 0
        self._present.pop(place, None)

    def note(self, place: int, kind: Kind, state: State) -> None:
        """Note the state of a worker."""
        self._places[place] = _KINDS[kind] + state

    def has(self, kind: Kind, *states: State) -> bool:
        """Return whether a worker of that kind is in one of the states."""
        places = self._places[:]
        return any(_KINDS[kind] + state in places for state in states)
