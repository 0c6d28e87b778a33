"""Options of the commands, made from the shapes of requests."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import click
import msgspec
import msgspec.inspect as shapes

from discount.api.inputs import read_fields
from discount.domain.errors import Invalid

#: The value that sets a field to null, or to an empty list.
NONE = "none"

Command = TypeVar("Command", bound=Callable[..., Any])


@dataclass(frozen=True, slots=True)
class Field:
    """A field of a request, or of an object in it."""

    path: tuple[str, ...]
    type: shapes.Type
    description: str
    required: bool
    nullable: bool
    default: Any
    #: Words that are allowed besides values of the type, such as `off` besides a number.
    words: tuple[str, ...] = ()

    @property
    def name(self) -> str:
        """The name of its parameter in Python."""
        return "__".join(self.path)

    @property
    def choices(self) -> tuple[str, ...]:
        """The allowed values, if they are a closed set; else empty."""
        inner = self.type.item_type if isinstance(self.type, shapes.ListType) else self.type
        if not isinstance(inner, shapes.LiteralType):
            return ()
        words = self.words if inner is not self.type else ()
        return (*words, *map(str, inner.values), *([NONE] if self.nullable else []))


def fields(
    shape: type,
    *,
    exclude: Sequence[str] = (),
    names: Mapping[str, Sequence[str]] | None = None,
    helps: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """Add an option for each field of a shape.

    The option of a nested field has the names of both, such as `--order-id`. Fields of `codes` are named without it.

    Args:
        exclude: the fields that get no option.
        names: the names of options that are not named after their fields.
        helps: help texts that replace the shape's descriptions.
    """

    def decorate(command: Command) -> Command:
        for field in reversed(_fields_of(shape)):
            if field.name not in exclude:
                declare = _option(field, (names or {}).get(field.name, ()), (helps or {}).get(field.name, ""))
                command = declare(command)
        return command

    return decorate


def read(shape: type, given: Mapping[str, Any]) -> Any:
    """Return the values of a command's options as a shape.

    Raises:
        Invalid
    """
    request: dict[str, Any] = {}
    for field in _fields_of(shape):
        value = given.get(field.name)
        if value is None or value == ():
            continue
        parent = request
        for name in field.path[:-1]:
            parent = parent.setdefault(name, {})
        parent[field.path[-1]] = _value(field, value)
    return read_fields(request, shape)


def _option(field: Field, names: Sequence[str], text: str) -> Callable[[Any], Any]:
    name = "-".join(field.path[1:] if field.path[0] == "codes" and field.path[1:] else field.path).replace("_", "-")
    attributes: dict[str, Any] = {"help": text or field.description, "required": field.required}
    if field.nullable:
        attributes["help"] = f"{attributes['help']} `{NONE}` clears it.".strip()
    if isinstance(field.type, shapes.BoolType):
        return click.option(*(names or (f"--{name}/--no-{name}",)), field.name, default=None, **attributes)
    if field.choices:
        metavar = "TYPE" if len(field.choices) > _MAX_CHOICES_SHOWN else None
        attributes |= {"type": click.Choice(field.choices), "metavar": metavar}
    else:
        attributes["metavar"] = _METAVARS.get(type(field.type), "TEXT")
    if isinstance(field.type, shapes.DictType):
        attributes["metavar"] = "NAME=N" if _of_numbers(field.type) else "NAME=VALUE"
    if _of_objects(field.type):
        attributes["metavar"] = "JSON"
    if isinstance(field.type, shapes.ListType | shapes.DictType):
        attributes |= {"multiple": True, "help": f"{attributes['help']} May be repeated.".strip()}
    elif isinstance(field.default, str | int) and field.default != "":
        attributes |= {"default": str(field.default), "show_default": True}
    return click.option(*(names or (f"--{name}",)), field.name, **attributes)


#: An option with more choices shows a placeholder in its help instead of listing them.
_MAX_CHOICES_SHOWN = 6
_METAVARS: dict[type, str] = {
    shapes.IntType: "N",
    shapes.FloatType: "NUMBER",
    shapes.DateTimeType: "TIME",
    shapes.TimeDeltaType: "DURATION",
}


def _value(field: Field, given: Any) -> Any:
    if field.nullable and given in (NONE, (NONE,)):
        return {shapes.ListType: [], shapes.DictType: {}}.get(type(field.type))
    if isinstance(field.type, shapes.DictType):
        entries = (_entry(field, each) for each in given)
        return {name: _number(field, value) if _of_numbers(field.type) else value for name, value in entries}
    if _of_objects(field.type):
        return [_object(field, each) for each in given]
    word = given[0] if isinstance(given, tuple) and len(given) == 1 else given
    if word in field.words:
        return word
    if isinstance(given, str) and isinstance(field.type, shapes.IntType | shapes.FloatType):
        return _number(field, given, whole=isinstance(field.type, shapes.IntType))
    return list(given) if isinstance(given, tuple) else given


def _number(field: Field, text: str, *, whole: bool = True) -> int | float:
    try:
        return int(text) if whole else float(text)
    except ValueError:
        reason = f"is not a {'whole ' if whole else ''}number{''.join(f' or `{word}`' for word in field.words)}"
        raise Invalid(field.name.replace("__", "/"), reason) from None


def _object(field: Field, text: str) -> Any:
    try:
        return msgspec.json.decode(text)
    except msgspec.DecodeError:
        raise Invalid(field.name.replace("__", "/"), "must be a JSON object") from None


def _of_numbers(kind: shapes.Type) -> bool:
    """Return whether a type is an object of whole numbers by name."""
    if not isinstance(kind, shapes.DictType):
        return False
    inner = kind.value_type.type if isinstance(kind.value_type, shapes.Metadata) else kind.value_type
    return isinstance(inner, shapes.IntType)


def _of_objects(kind: shapes.Type) -> bool:
    """Return whether a type is a list of objects."""
    return isinstance(kind, shapes.ListType) and isinstance(kind.item_type, shapes.StructType)


def _entry(field: Field, text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise Invalid(field.name.replace("__", "/"), "must be NAME=VALUE")
    return name, value


@cache
def _fields_of(shape: type) -> tuple[Field, ...]:
    struct = shapes.type_info(shape)
    if not isinstance(struct, shapes.StructType):
        raise TypeError(f"{shape} has no fields")
    return tuple(_flatten(struct, (), required=True))


def _flatten(struct: shapes.StructType, parent: tuple[str, ...], *, required: bool) -> Iterator[Field]:
    """Yield the fields of a struct, those of nested structs included."""
    for field in struct.fields:
        kind, description, nullable = _unwrap(field.type)
        path = (*parent, field.encode_name)
        if isinstance(kind, shapes.StructType):
            yield from _flatten(kind, path, required=required and field.required)
            continue
        if isinstance(kind, shapes.DictType):
            nullable = (nullable and field.default is not None) or field.default is msgspec.UNSET
        elif isinstance(kind, shapes.ListType):
            # `none` makes an empty list, which differs from an omitted one only if that is not empty.
            # One that may be a word instead has a word for none.
            nullable = (nullable and field.default is not None) or (
                not field.required and field.default_factory is msgspec.NODEFAULT and not _words(field.type)
            )
        else:
            # A field that is null by default need not be set to null.
            nullable = nullable and field.default is not None
        yield Field(path, kind, description, required and field.required, nullable, field.default, _words(field.type))


def _words(kind: shapes.Type) -> tuple[str, ...]:
    """Return the words that a union allows besides its other types."""
    if isinstance(kind, shapes.Metadata):
        return _words(kind.type)
    members = kind.types if isinstance(kind, shapes.UnionType) else ()
    return tuple(str(word) for member in members if isinstance(member, shapes.LiteralType) for word in member.values)


def _unwrap(kind: shapes.Type) -> tuple[shapes.Type, str, bool]:
    """Return a type without metadata and union, its description, and whether it may be null."""
    if isinstance(kind, shapes.Metadata):
        inner, description, nullable = _unwrap(kind.type)
        return inner, (kind.extra_json_schema or {}).get("description", "") or description, nullable
    if isinstance(kind, shapes.UnionType):
        rest = [each for each in kind.types if not isinstance(each, shapes.NoneType)]
        several = (each for each in rest if isinstance(each, shapes.ListType))
        inner, description, nullable = _unwrap(next(several, rest[0]))
        return inner, description, nullable or len(rest) < len(kind.types)
    return kind, "", False
