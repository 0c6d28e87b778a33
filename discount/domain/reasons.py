"""The reasons why a value is refused: one sentence for each way in which a value can miss its type.

msgspec says where the fault is and of which sort. Its messages are not shown; callers read sentences made from the
type and the refused value.
"""

import json
import re
from collections.abc import Callable, Iterable, Iterator
from functools import lru_cache
from types import UnionType
from typing import Annotated, Any, Union, get_args, get_origin, get_type_hints

import msgspec
from msgspec import inspect

_NOT_EXPLAINED = "cannot be accepted"
#: The most characters of a refused value that are repeated.
_SHOWN = 40
_JSON_TYPES = {
    "int": "an integer",
    "float": "a number",
    "decimal": "a decimal number",
    "str": "a string",
    "bytes": "a string",
    "object": "an object",
    "array": "a list",
    "bool": "true or false",
    "datetime": "a time",
    "date": "a date",
    "duration": "a duration",
    "null": "null",
}
# How msgspec says that a name of an object is at fault, not its value.
_IN_NAME = "key` in `"
_MISSING = re.compile(r"Object missing required field `(.*)`", re.DOTALL)
_UNKNOWN = re.compile(r"Object contains unknown field `(.*)`", re.DOTALL)


#: For each pattern: a class of the characters that it never matches, and its rule in words.
_RULES: dict[str, tuple[str, str]] = {}


def with_rule(pattern: str, strange: str, rule: str) -> str:
    """Return a pattern, and register the rule that callers read when a text does not match.

    Args:
        strange: a class of the characters that the pattern never matches, such as `[^A-Z]`.
        rule: the texts that it matches, in words.
    """
    _RULES[pattern] = strange, rule
    return pattern


def has_rule(pattern: str) -> bool:
    """Return whether a rule is registered for a pattern."""
    return pattern in _RULES


def explain(error: msgspec.ValidationError, kind: Any, given: Any, *, text: bool = False) -> tuple[str, str]:
    """Return the JSON pointer of the first fault, and the reason.

    Args:
        kind: the expected type.
        given: the value as plain objects; None if it is unknown.
        text: whether the value came as text, as in a URL, where everything is a string.
    """
    message, _, path = str(error).partition(" - at `")
    in_name, path = path.startswith(_IN_NAME), path.removeprefix(_IN_NAME).removeprefix("$")
    steps = _with_index(re.findall(r"\.([^.\[\]]+)|\[(\d+|\.\.\.)\]", path.rstrip("`")), kind, given)
    expected: inspect.Type | None = _type_of(kind)
    value = given
    for step in steps:
        expected, value = _inside(expected, value, step)
    missing, unknown = _MISSING.fullmatch(message), _UNKNOWN.fullmatch(message)
    pointer = "".join(f"/{escape(step)}" for step in steps)
    if in_name and isinstance(value, dict):
        of_name = next((each.key_type for each in _several(expected) if isinstance(each, inspect.DictType)), None)
        name = _first_bad_name(kind, steps, value)
        return f"{pointer}/{escape(name)}", f"has a name that {_reason(message, of_name, name, text)}"
    if missing:
        return f"{pointer}/{missing[1]}", "is missing"
    if unknown:
        return f"{pointer}/{escape(unknown[1])}", f"is not a field of this request{_fields_of(expected)}"
    return pointer, _reason(message, expected, value, text)


def escape(name: str) -> str:
    """Return a name as a part of a JSON pointer (RFC 6901), cut if it is long."""
    whole = name[:200].encode(errors="replace").decode()
    return whole.replace("~", "~0").replace("/", "~1")


def choose(values: Iterable[str]) -> str:
    """Return the allowed values as a part of a sentence."""
    return "allowed are " + ", ".join(values)


def shown(value: str) -> str:
    """Return a refused text as a sentence repeats it: cut, with invisible characters as numbers."""
    cut = value if len(value) <= _SHOWN else value[:_SHOWN] + "…"
    return "'" + "".join(each if each.isprintable() else _point(each) for each in cut) + "'"


def character(text: str, position: int) -> str:
    """Return the character at a position (from 0) with its Unicode number and its position from 1."""
    return f"{named(text[position])} as character {position + 1}"


def named(char: str) -> str:
    """Return a character, if it is visible, and its Unicode number."""
    return f"'{char}' ({_point(char)})" if char.isprintable() else _point(char)


def _point(char: str) -> str:
    return f"U+{ord(char):04X}"


def _with_index(found: list[tuple[str, str]], kind: Any, given: Any) -> list[str]:
    """Return the steps to a value, with the index of a list's element where msgspec leaves it out."""
    steps: list[str] = []
    hint, value = kind, given
    for name, index in found:
        hint = _item_hint(hint) if index else _field_hint(hint, name)
        step = name or index
        if index == "...":
            step = str(_first_bad(hint, value)) if isinstance(value, list | dict) else "0"
        steps.append(step)
        value = _value_inside(value, step)
    return steps


def _first_bad(hint: Any, values: list[Any] | dict[str, Any]) -> int | str:
    """Return the index or the name of the first value that does not fit."""
    rows: Iterable[tuple[int | str, Any]] = values.items() if isinstance(values, dict) else enumerate(values)
    for place, value in rows:
        try:
            msgspec.convert(value, hint)
        except msgspec.ValidationError:
            return place
    return 0


def _first_bad_name(kind: Any, steps: Iterable[str], names: Iterable[str]) -> str:
    """Return the first name of an object that does not fit."""
    hint = kind
    for step in steps:
        hint = _field_hint(hint, step)
    of_names = next((get_args(each)[0] for each in _alternatives(hint) if get_origin(each) is dict), Any)
    return str(_first_bad(of_names, {name: name for name in names}))


def _alternatives(hint: Any) -> Iterator[Any]:
    if get_origin(hint) is Annotated:
        yield from _alternatives(get_args(hint)[0])
    elif get_origin(hint) in (Union, UnionType):
        for each in get_args(hint):
            yield from _alternatives(each)
    else:
        yield hint


def _item_hint(hint: Any) -> Any:
    return next((get_args(each)[-1] for each in _alternatives(hint) if get_origin(each) in (list, dict)), Any)


def _field_hint(hint: Any, name: str) -> Any:
    for each in _alternatives(hint):
        if isinstance(each, type) and issubclass(each, msgspec.Struct):
            renamed = dict(zip(each.__struct_encode_fields__, each.__struct_fields__, strict=True))
            return get_type_hints(each, include_extras=True).get(renamed.get(name, name), Any)
    return Any


@lru_cache(maxsize=256)
def _type_of(kind: Any) -> inspect.Type:
    return inspect.type_info(kind)


def _several(expected: inspect.Type | None) -> Iterator[inspect.Type]:
    """Yield the types that a value may have."""
    if isinstance(expected, inspect.Metadata):
        yield from _several(expected.type)
    elif isinstance(expected, inspect.UnionType):
        for each in expected.types:
            yield from _several(each)
    elif expected is not None:
        yield expected


def _inside(expected: inspect.Type | None, value: Any, step: str) -> tuple[inspect.Type | None, Any]:
    following: inspect.Type | None = None
    for each in _several(expected):
        if isinstance(each, inspect.StructType):
            following = next((field.type for field in each.fields if field.encode_name == step), None)
        elif isinstance(each, inspect.ListType):
            following = each.item_type
        elif isinstance(each, inspect.DictType):
            following = each.value_type
    return following, _value_inside(value, step)


def _value_inside(value: Any, step: str) -> Any:
    if isinstance(value, dict):
        return value.get(step)
    if isinstance(value, list) and step.isdecimal() and int(step) < len(value):
        return value[int(step)]
    return None


def _fields_of(expected: inspect.Type | None) -> str:
    for each in _several(expected):
        if isinstance(each, inspect.StructType):
            return f"; {choose([field.encode_name for field in each.fields])}"
    return ""


def _reason(message: str, expected: inspect.Type | None, value: Any, text: bool) -> str:
    for pattern, say in _SENTENCES:
        found = re.fullmatch(pattern, message, re.DOTALL)
        if found:
            return say(found, list(_several(expected)), value, text)
    return _NOT_EXPLAINED


_Types = list[inspect.Type]


def _wrong_type(found: re.Match[str], _types: _Types, _value: Any, text: bool) -> str:
    names = [each.strip() for each in found[1].split("|")]
    if text:
        return f"is not {' or '.join(_JSON_TYPES.get(each, each) for each in names if each != 'null')}"
    given = "a number with a fraction" if found[2] == "float" else _JSON_TYPES.get(found[2], "of another type")
    return f"is {given}, not {' or '.join(_JSON_TYPES.get(each, each) for each in names)}"


def _out_of_range(_found: re.Match[str], types: _Types, _value: Any, _text: bool) -> str:
    for each in types:
        if isinstance(each, inspect.IntType | inspect.FloatType):
            return f"must be {_range(each)}"
    return _NOT_EXPLAINED


def _range(of: inspect.IntType | inspect.FloatType) -> str:
    over = f"more than {_number(of.gt)}" if of.gt is not None else None
    under = f"less than {_number(of.lt)}" if of.lt is not None else None
    if of.ge is not None and of.le is not None:
        return f"from {_number(of.ge)} to {_number(of.le)}"
    least = over or (f"at least {_number(of.ge)}" if of.ge is not None else None)
    most = under or (f"at most {_number(of.le)}" if of.le is not None else None)
    return " and ".join(each for each in (least, most) if each) or "a number that is not as large"


def _number(bound: float) -> str:
    return f"{int(bound) if bound == int(bound) else bound:,}"


def _wrong_length(_found: re.Match[str], types: _Types, value: Any, _text: bool) -> str:
    for each in types:
        if isinstance(each, inspect.StrType | inspect.ListType | inspect.DictType):
            unit = "character" if isinstance(each, inspect.StrType) else "entry"
            has = f"has {_count(len(value), unit)}; " if isinstance(value, str | list | dict) else ""
            if each.max_length is None:
                return f"{has}{each.min_length or 0:,} or more are needed"
            return f"{has}{each.min_length or 0:,} to {each.max_length:,} are allowed"
    return _NOT_EXPLAINED


def _count(number: int, unit: str) -> str:
    plural = "entries" if unit == "entry" else f"{unit}s"
    return f"{number:,} {unit if number == 1 else plural}"


def _wrong_text(_found: re.Match[str], types: _Types, value: Any, _text: bool) -> str:
    pattern = next((each.pattern for each in types if isinstance(each, inspect.StrType)), None)
    strange, rule = _RULES.get(pattern or "", ("", ""))
    if not rule:
        return _NOT_EXPLAINED
    if not isinstance(value, str):
        return f"does not fit; {rule}"
    found = re.search(strange, value)
    if found:
        return f"has {character(value, found.start())}; {rule}"
    for end, position in (("begins", 0), ("ends", -1)):
        if value and value[position] == " ":
            return f"{end} with a space; {rule}"
    return f"cannot be {shown(value)}; {rule}"


def _wrong_choice(_found: re.Match[str], types: _Types, value: Any, _text: bool) -> str:
    for each in types:
        if isinstance(each, inspect.LiteralType | inspect.EnumType):
            values = each.values if isinstance(each, inspect.LiteralType) else [one.value for one in each.cls]
            refused = f"cannot be {shown(value)}; " if isinstance(value, str) else ""
            return refused + choose([value if isinstance(value, str) else json.dumps(value) for value in values])
    return _NOT_EXPLAINED


def _sentence(sentence: str) -> Callable[[re.Match[str], _Types, Any, bool], str]:
    return lambda _found, _types, _value, _text: sentence


_A_TIME = "is not a time in RFC 3339, such as 2026-12-24T18:00:00Z"
_SENTENCES: tuple[tuple[str, Callable[[re.Match[str], _Types, Any, bool], str]], ...] = (
    (r"Expected `(?:int|float|decimal)` (?:>=|<=|>|<) .*", _out_of_range),
    (r"(?:Integer value|Number) out of range", _out_of_range),
    (r"Expected `\w+` of (?:at (?:least|most) )?length .*", _wrong_length),
    (r"Expected `str` matching regex .*", _wrong_text),
    (r"Invalid (?:enum )?value .*", _wrong_choice),
    (
        r"Expected `datetime` with a timezone component",
        _sentence("has no offset from UTC; write it as 2026-12-24T18:00:00Z"),
    ),
    (r"Invalid RFC3339 encoded datetime", _sentence(_A_TIME)),
    (r"Invalid RFC3339 encoded date", _sentence("is not a date, such as 2026-12-24")),
    (r"(?:Timestamp|Invalid epoch timestamp).*", _sentence(_A_TIME)),
    (
        r".*ISO8601 durations?|Duration is out of range",
        _sentence("is not a duration in ISO 8601, such as P14D or PT12H"),
    ),
    (r"Invalid decimal string", _sentence("is not a decimal number, such as 12.50")),
    (r"Expected `(.+?)`, got `(.+?)`", _wrong_type),
    (r"Expected `(\w+)`()", _wrong_type),
)
