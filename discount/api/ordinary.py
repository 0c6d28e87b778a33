"""Tells ordinary requests by their first lines, before anything else of them is read: they take little time."""

import re
from collections.abc import Iterable

from discount.api.contract import Operation

_VARIABLE = re.compile(r"\\{\w+\\}")


class OrdinaryRequests:
    """The requests of operations that never take long, and of those that do so only as CSV."""

    def __init__(self, operations: Iterable[Operation]) -> None:
        never: list[str] = []
        as_csv: list[str] = []
        for each in operations:
            line = f"{each.method} {_VARIABLE.sub('[^/? ]+', re.escape(each.path))}"
            if not each.cost.is_long:
                never.append(rf"{line}(?:\?[^ ]*)?")
            elif each.cost.is_long == "as CSV":
                # An escape could hide the word.
                as_csv.append(rf"{line}(?:\?(?!\S*csv)[^ %]*)?")
        self._lines = re.compile(rf"(?:\r\n)?(?:{'|'.join(never + as_csv)}) ".encode())

    def has(self, received: bytes) -> bool:
        """Return whether the received bytes begin with the line of an ordinary request."""
        return self._lines.match(received) is not None
