"""Activity: when a hot worker last answered a call, in memory that all workers of a replica share."""

import mmap
from struct import Struct

_TIME = Struct("d")


class Activity:
    """The time of the last call, by the monotonic clock that all processes of a machine share."""

    def __init__(self) -> None:
        self._memory = mmap.mmap(-1, _TIME.size)

    def note(self, now: float) -> None:
        """Note that a call is answered now."""
        _TIME.pack_into(self._memory, 0, now)

    def last(self) -> float:
        """Return when the last call was answered; 0 if none was."""
        last: float = _TIME.unpack_from(self._memory)[0]
        return last
