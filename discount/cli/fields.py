"""Options made from the shapes of requests: the same names, the same words."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, TypeVar

import click
import msgspec
import msgspec.inspect as shapes

from discount.api.inputs import read_fields
from discount.domain.errors import Invalid

#: What stands for null, or for an empty list, where that says something else than nothing.
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

    @property
    def name(self) -> str:
        """What it is called in Python."""
        return "__".join(self.path)

    @property
    def choices(self) -> tuple[str, ...]:
        """What is allowed, if it is a closed set."""
        inner = self.type.item_type if isinstance(self.type, shapes.ListType) else self.type
        if not isinstance(inner, shapes.LiteralType):
            return ()
        return (*map(str, inner.values), *([NONE] if self.nullable else []))


def fields(
    shape: type,
    *,
    but: Sequence[str] = (),
    names: Mapping[str, Sequence[str]] | None = None,
    helps: Mapping[str, str] | None = None,
) -> Callable[[Command], Command]:
    """Options for the fields of a shape. One inside another has both names; those of `codes` have their own alone.

    Args:
        but: fields that are no options, but arguments.
        names: of options that are called otherwise.
        helps: what is said of options of which the shape says nothing.
    """

    def decorate(command: Command) -> Command:
        for field in reversed(_fields_of(shape)):
            if field.name not in but:
                declare = _option(field, (names or {}).get(field.name, ()), (helps or {}).get(field.name, ""))
                command = declare(command)
        return command

    return decorate


def read(shape: type, given: Mapping[str, Any]) -> Any:
    """What was given, as that shape.

    Raises:
        Invalid
    """
    found: dict[str, Any] = {}
    for field in _fields_of(shape):
        value = given.get(field.name)
        if value is None or value == ():
            continue
        inner = found
        for name in field.path[:-1]:
            inner = inner.setdefault(name, {})
        inner[field.path[-1]] = _value(field, value)
    return read_fields(found, shape)


def _option(field: Field, names: Sequence[str], text: str) -> Callable[[Any], Any]:
    word = "-".join(field.path[1:] if field.path[0] == "codes" else field.path).replace("_", "-")
    told: dict[str, Any] = {"help": text or field.description, "required": field.required}
    if field.nullable:
        told["help"] = f"{told['help']} `{NONE}` for none.".strip()
    if isinstance(field.type, shapes.BoolType):
        return click.option(*(names or (f"--{word}/--no-{word}",)), field.name, default=None, **told)
    if field.choices:
        told |= {"type": click.Choice(field.choices), "metavar": "TYPE" if len(field.choices) > _MANY else None}
    else:
        told["metavar"] = _METAVARS.get(type(field.type), "TEXT")
    if isinstance(field.type, shapes.ListType):
        told |= {"multiple": True, "help": f"{told['help']} May be repeated.".strip()}
    elif isinstance(field.default, str | int) and field.default != "":
        told |= {"default": str(field.default), "show_default": True}
    return click.option(*(names or (f"--{word}",)), field.name, **told)


#: More choices than these are not written out in a line of help.
_MANY = 6
_METAVARS: dict[type, str] = {
    shapes.IntType: "N",
    shapes.FloatType: "NUMBER",
    shapes.DateTimeType: "TIME",
    shapes.TimeDeltaType: "DURATION",
}


def _value(field: Field, given: Any) -> Any:
    if field.nullable and given in (NONE, (NONE,)):
        return [] if isinstance(field.type, shapes.ListType) else None
    if isinstance(given, str) and isinstance(field.type, shapes.IntType | shapes.FloatType):
        whole = isinstance(field.type, shapes.IntType)
        try:
            return int(given) if whole else float(given)
        except ValueError:
            raise Invalid(field.name.replace("__", "/"), f"is not a {'whole ' if whole else ''}number") from None
    return list(given) if isinstance(given, tuple) else given


@cache
def _fields_of(shape: type) -> tuple[Field, ...]:
    described = shapes.type_info(shape)
    if not isinstance(described, shapes.StructType):
        raise TypeError(f"{shape} has no fields")
    return tuple(_read(described, (), required=True))


def _read(struct: shapes.StructType, path: tuple[str, ...], *, required: bool) -> Iterator[Field]:
    for field in struct.fields:
        kind, description, nullable = _unwrap(field.type)
        here = (*path, field.name)
        if isinstance(kind, shapes.StructType):
            yield from _read(kind, here, required=required and field.required)
            continue
        if isinstance(kind, shapes.ListType):
            # An empty list says something where one that is left out is not empty.
            nullable = not field.required and field.default_factory is msgspec.NODEFAULT
        else:
            # What is null unless it is given need not be said to be null.
            nullable = nullable and field.default is not None
        yield Field(here, kind, description, required and field.required, nullable, field.default)


def _unwrap(kind: shapes.Type) -> tuple[shapes.Type, str, bool]:
    """A type without what surrounds it, what is said of it, and whether it may be null."""
    if isinstance(kind, shapes.Metadata):
        inner, description, nullable = _unwrap(kind.type)
        return inner, (kind.extra_json_schema or {}).get("description", "") or description, nullable
    if isinstance(kind, shapes.UnionType):
        rest = [each for each in kind.types if not isinstance(each, shapes.NoneType)]
        inner, description, nullable = _unwrap(rest[0])
        return inner, description, nullable or len(rest) < len(kind.types)
    return kind, "", False
