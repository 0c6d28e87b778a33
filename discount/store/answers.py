"""Answers of the scripts: a status, and fields that have the names of the script's header."""

from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from operator import itemgetter

from msgspec import Struct

from discount.domain.errors import BY_SLUG, Refusal


@dataclass(frozen=True, slots=True)
class Status:
    """One status that a script may answer, with the fields that follow it.

    A last field with three dots stands for all remaining items.
    """

    name: str
    fields: tuple[str, ...] = ()
    meaning: str = ""
    #: How many items an answer has: the status and its fields, without those that a last field with dots stands for.
    length: int = field(init=False)
    has_rest: bool = field(init=False)
    #: Where each field stands in an answer, by its name without dots.
    positions: dict[str, int] = field(init=False, compare=False)

    def __post_init__(self) -> None:
        has_rest = bool(self.fields) and self.fields[-1].endswith("...")
        object.__setattr__(self, "has_rest", has_rest)
        object.__setattr__(self, "length", 1 + len(self.fields) - has_rest)
        positions = {name.removesuffix("..."): i for i, name in enumerate(self.fields, 1)}
        object.__setattr__(self, "positions", positions)


@cache
def _picker(fields: tuple[str, ...], names: tuple[str, ...]) -> Callable[[list[str]], tuple[str, ...]]:
    """Return a function that picks fields by name from the items of an answer."""
    positions = {name.removesuffix("..."): i for i, name in enumerate(fields, 1)}
    return itemgetter(*(positions[name] for name in names))


class Answer(Struct, eq=False):
    """One answer of a script: its status, and its fields by name."""

    status: str
    _form: Status
    _items: list[str]

    def __getitem__(self, name: str) -> str:
        return self._items[self._form.positions[name]]

    def pick(self, *names: str) -> tuple[str, ...]:
        """Return several fields, two at least, in the order of the names."""
        return _picker(self._form.fields, names)(self._items)

    def rest(self, name: str) -> list[str]:
        """Return the last field as a list: the one that has three dots in the header."""
        return self._items[self._form.positions[name] :]

    def refusal(self) -> Refusal | None:
        """Return the refusal that the script answered, with the fields as its facts; None if it did not refuse."""
        kind = BY_SLUG.get(self.status)
        return None if kind is None else kind(**{name: self[name] for name in self._form.positions})
