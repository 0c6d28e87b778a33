"""Explain what is wrong with a JSON text, and find names given twice. Everything takes linear time."""

import json
import re
from typing import Any

from discount.domain.errors import Invalid, Malformed
from discount.domain.reasons import escape, named

_POSITION = re.compile(r"\(byte (\d+)\)$")
# Any escape, so that the second half of `\\` is never taken for the start of another one.
_ESCAPE = re.compile(rb"\\(?:u([0-9a-fA-F]{4})|.)", re.DOTALL)


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
