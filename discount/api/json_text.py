"""Explain what is wrong with a JSON text, and find names given twice. Everything takes linear time."""

import json
import re
from typing import Any

import ijson

from discount.domain.errors import Invalid, Malformed
from discount.domain.reasons import escape, named

_POSITION = re.compile(r"\(byte (\d+)\)$")
# Any escape, so that the second half of `\\` is never taken for the start of another one.
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


#: The most items of a list in a body, and the most values of a large body in all.
MOST_ITEMS = 10_000
MOST_VALUES = 2 * MOST_ITEMS
#: The most bytes of a large body without the beginning or the end of a value.
LONGEST_VALUE = 128 * 1024
# The most characters of a name that a refusal repeats.
_LONGEST_NAME = 200


class SizeCheck:
    """A check that refuses a large JSON object while it arrives, before its items are decoded and take memory."""

    def __init__(self) -> None:
        self._events = ijson.sendable_list()
        # Floats: an integer of 4,301 digits crashes the process (ijson 3.6.0, yajl2_c).
        self._parser = ijson.basic_parse_coro(self._events, use_float=True)
        self._depth = self._items = self._values = self._silent = 0
        self._name = ""
        self._is_json = True

    def add(self, piece: bytes) -> None:
        """Look at the next piece of the body.

        Raises:
            Invalid: a list of the object is too long, or there are too many values, or too long ones.
        """
        if not self._is_json:
            return
        try:
            self._parser.send(piece)
        except (ijson.JSONError, ValueError):
            # The decoder says what is wrong.
            self._is_json = False
        self._silent = 0 if self._events else self._silent + len(piece)
        if self._silent > LONGEST_VALUE:
            raise self._refusal(f"has a value of more than {LONGEST_VALUE:,} bytes")
        for event, value in self._events:
            self._look_at(event, value)
        self._events.clear()

    def _look_at(self, event: str, value: Any) -> None:
        if event == "map_key":
            if self._depth == 1:
                self._name, self._items = value, 0
            return
        if event in ("end_map", "end_array"):
            self._depth -= 1
            return
        self._values += 1
        self._items += self._depth == 2
        self._depth += event in ("start_map", "start_array")
        for number, most, what in ((self._items, MOST_ITEMS, "entries"), (self._values, MOST_VALUES, "values")):
            if number > most:
                raise self._refusal(f"has more than {most:,} {what}; at most {most:,} are allowed")

    def _refusal(self, reason: str) -> Invalid:
        return Invalid(f"/{escape(self._name[:_LONGEST_NAME])}", reason)


def malformed(error: Exception, raw: bytes) -> Malformed:
    """Return the refusal of a body that is not JSON; `error` is the decoder's."""
    try:
        raw.decode()
    except UnicodeDecodeError as undecodable:
        return Malformed(f"The body is not UTF-8: byte {undecodable.start + 1} is not allowed there.")
    return Malformed(f"{_fault(error, raw)}.")


def _fault(error: Exception, raw: bytes) -> str:
    if isinstance(error, RecursionError):
        return "The JSON is nested too deeply"
    if not raw.strip():
        return "The body is empty; JSON is expected"
    half = _lone_surrogate(raw)
    if half is not None:
        escaped = raw[half : half + 6].decode()
        return f"The JSON has half of a surrogate pair, {escaped} at byte {half + 1}, without its other half"
    if "trailing characters" in str(error):
        return "There is more text after the end of the JSON"
    position = _POSITION.search(str(error))
    if position is None or int(position[1]) >= len(raw):
        return f"The JSON is truncated: it ends at byte {len(raw):,}, before a value or a bracket is complete"
    at = int(position[1])
    return f"The body is not JSON: {named(_character_at(raw, at))} is not allowed at byte {at + 1:,}"


def _character_at(raw: bytes, at: int) -> str:
    # Step back to the first byte of the character.
    while at > 0 and raw[at] & 0xC0 == 0x80:
        at -= 1
    return raw[at : at + 4].decode(errors="ignore")[0]


def _lone_surrogate(raw: bytes) -> int | None:
    """Return the position of an escaped surrogate that has no other half."""
    high: tuple[int, int] | None = None
    for found in _ESCAPE.finditer(raw):
        unit = int(found[1], 16) if found[1] else 0
        if high is not None:
            if found.start() != high[1] or not 0xDC00 <= unit <= 0xDFFF:
                return high[0]
            high = None
        elif 0xDC00 <= unit <= 0xDFFF:
            return found.start()
        elif 0xD800 <= unit <= 0xDBFF:
            high = found.span()
    return None if high is None else high[0]


def refuse_repeated_names(raw: bytes) -> None:
    """Refuse JSON in which an object has a name twice; decoders silently keep the last one.

    Raises:
        Invalid: with the name.
        Malformed: it is nested too deeply.
    """
    try:
        # Numbers are not parsed: one of thousands of digits would be costly, or an error.
        json.loads(raw, object_pairs_hook=_once, parse_int=len, parse_float=len)
    except RecursionError as error:
        raise malformed(error, raw) from None


def _once(pairs: list[tuple[str, Any]]) -> None:
    seen: set[str] = set()
    for name, _ in pairs:
        if name in seen:
            raise Invalid(f"/{escape(name)}", "is given twice")
        seen.add(name)
