"""Lines of an order: which of them a discount is for, and how an amount is shared among them."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Struct

from discount.domain.errors import Invalid, LinesMissing, MinimumQuantity, NoLineFits, Refusal

#: The most lines of an order.
MOST_LINES = 500
#: The most pieces of a line.
MOST_PIECES = 10**6
#: The most entries of each list of products, and the most characters of an entry, of a line's id, SKU and category.
MOST_ENTRIES, LONGEST = 100, 64
#: At the end of an entry it stands for any further characters.
ANY = "*"


class Line(Struct, frozen=True):
    """A line of an order. `amount` is the price of all its pieces, in minor units."""

    id: str
    amount: int
    quantity: int = 1
    sku: str | None = None
    category: str | None = None


@dataclass(frozen=True, slots=True)
class Products:
    """Products by SKU or by category. An entry with a star at its end is a prefix."""

    skus: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()
    # The prefixes of both.
    _prefixes: tuple[tuple[str, ...], tuple[str, ...]] = field(init=False, compare=False, repr=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_prefixes", (_prefixes(self.skus), _prefixes(self.categories)))

    def include(self, line: Line) -> bool:
        """Return whether a line is of these products: by its SKU or by its category."""
        skus, categories = self._prefixes
        return _fits(line.sku, self.skus, skus) or _fits(line.category, self.categories, categories)


def _prefixes(entries: Sequence[str]) -> tuple[str, ...]:
    return tuple(each.removesuffix(ANY) for each in entries if each.endswith(ANY))


def _fits(text: str | None, entries: tuple[str, ...], prefixes: tuple[str, ...]) -> bool:
    return text is not None and (text in entries or text.startswith(prefixes))


@dataclass(frozen=True, slots=True)
class Selection:
    """The lines of an order that a rule is for.

    Args:
        applies_to: only lines of these products; None for all.
        excluded: no lines of these products.
        minimum_quantity: the pieces that the order must have of these lines.
        per_line: the percentage or the amount comes off each line, not off all of them together.
        cheapest: only so many of these lines, those with the lowest amounts. Lines that cost nothing are passed over.
        dearest: the same, with the highest amounts.
    """

    applies_to: Products | None = None
    excluded: Products | None = None
    minimum_quantity: int | None = None
    per_line: bool = False
    cheapest: int | None = None
    dearest: int | None = None

    @property
    def is_for_some(self) -> bool:
        """True if it is for some lines, or for each by itself, and not only for orders of enough pieces."""
        return self != Selection(minimum_quantity=self.minimum_quantity)

    def fields(self) -> dict[str, str]:
        """Return the fields that are stored with the discount."""
        given = {
            "applies_to": _write(self.applies_to),
            "except": _write(self.excluded),
            "minimum_quantity": self.minimum_quantity,
            "per": "line" if self.per_line else None,
            "cheapest_lines": self.cheapest,
            "dearest_lines": self.dearest,
        }
        return {name: str(value) for name, value in given.items() if value is not None}

    def eligible(self, lines: Sequence[Line]) -> list[int]:
        """Return the positions of the lines of the right products."""
        wanted, excluded = self.applies_to, self.excluded
        return [
            n
            for n, line in enumerate(lines)
            if (wanted is None or wanted.include(line)) and not (excluded is not None and excluded.include(line))
        ]

    def choose(self, lines: Sequence[Line]) -> list[int]:
        """Return the positions of the lines from which something comes off. Of equal amounts the first line counts."""
        found = self.eligible(lines)
        if self.cheapest is None and self.dearest is None:
            return found
        sign = -1 if self.cheapest is None else 1
        ranked = sorted((sign * lines[n].amount, n) for n in found if lines[n].amount)
        return sorted(n for _, n in ranked[: self.cheapest or self.dearest])

    def refusals_of(self, lines: Sequence[Line]) -> list[Refusal]:
        """Return why the lines of an order do not fit; empty if they do."""
        if not lines:
            return [LinesMissing()]
        found = self.eligible(lines)
        if not found:
            return [NoLineFits()]
        quantity = sum(lines[n].quantity for n in found)
        if quantity < (self.minimum_quantity or 0):
            return [MinimumQuantity(minimum_quantity=self.minimum_quantity, quantity=quantity)]
        return []


NO_SELECTION = Selection()


def selection_of(stored: Mapping[str, str]) -> Selection | None:
    """Return the selection that was stored with a discount; None if its rule is for whole orders."""
    found = Selection(
        read_products(stored.get("applies_to")),
        read_products(stored.get("except")),
        _number(stored.get("minimum_quantity")),
        "per" in stored,
        _number(stored.get("cheapest_lines")),
        _number(stored.get("dearest_lines")),
    )
    return None if found == NO_SELECTION else found


def read_products(text: str | None) -> Products | None:
    """Return products from their stored text."""
    if not text:
        return None
    found: dict[str, list[str]] = json.loads(text)
    return Products(**{name: tuple(entries) for name, entries in found.items()})


def products_out(products: Products) -> dict[str, list[str]]:
    """Return the lists of products by name, without empty ones."""
    given = {"skus": products.skus, "categories": products.categories}
    return {name: list(entries) for name, entries in given.items() if entries}


def _write(products: Products | None) -> str | None:
    if products is None:
        return None
    return json.dumps(products_out(products), ensure_ascii=False, separators=(",", ":"))


def _number(text: str | None) -> int | None:
    return int(text) if text else None


def check_selection(selection: Selection, *, takes_off: bool) -> None:
    """Refuse a selection with parts that contradict each other.

    Args:
        takes_off: whether the rule takes anything off.

    Raises:
        Invalid: names the part.
    """
    for name, products in (("applies_to", selection.applies_to), ("except", selection.excluded)):
        if products == Products():
            raise Invalid(f"/{name}", "names no SKU and no category")
    if selection.cheapest is not None and selection.dearest is not None:
        raise Invalid("/dearest_lines", "cannot be combined with cheapest_lines")
    need_rule = {
        "per": selection.per_line or None,
        "cheapest_lines": selection.cheapest,
        "dearest_lines": selection.dearest,
    }
    for name, given in need_rule.items():
        if given is not None and not takes_off:
            raise Invalid(f"/{name}", "needs percent_off or amount_off")


def check_lines(lines: Sequence[Line], amount: int) -> None:
    """Refuse lines that do not make up an order.

    Raises:
        Invalid: an id is given twice, or the lines do not add up to the order's amount.
    """
    seen: set[str] = set()
    for n, line in enumerate(lines):
        if line.id in seen:
            raise Invalid(f"/order/lines/{n}/id", "is the id of an earlier line")
        seen.add(line.id)
    whole = sum(line.amount for line in lines)
    if whole != amount:
        raise Invalid(
            "/order/lines",
            f"add up to {whole:,}, not to the order's amount, {amount:,}; delivery and the like are lines, too",
        )


def share(whole: int, weights: Sequence[int]) -> list[int]:
    """Share an amount in proportion to weights, to the last unit: the largest remainders are rounded up.

    Of equal remainders the first is rounded up. A share is at most its weight if the amount is at most their sum.
    """
    total = sum(weights)
    if not total or not whole:
        return [0] * len(weights)
    shares = [whole * weight // total for weight in weights]
    missing = whole - sum(shares)
    if missing:
        remainders = sorted((-(whole * weight % total), n) for n, weight in enumerate(weights))
        for _, n in remainders[:missing]:
            shares[n] += 1
    return shares


def write_lines(lines: Sequence[Line], off: Sequence[int]) -> str:
    """Return, as text in one line, a digest of lines and what came off each; empty without lines."""
    if not lines:
        return ""
    by_id = {line.id: taken for line, taken in zip(lines, off, strict=True)}
    return f"{digest(lines)} {json.dumps(by_id, ensure_ascii=False, separators=(',', ':'))}"


def digest(lines: Sequence[Line]) -> str:
    """Return a digest by which other lines of a repeated order are noticed."""
    given: list[Any] = [[each.id, each.amount, each.quantity, each.sku, each.category] for each in lines]
    return blake2b(msgspec.json.encode(given), digest_size=8).hexdigest()


def add_lines(several: Iterable[Mapping[str, int]]) -> dict[str, int]:
    """Return what several discounts took off each line together."""
    found: dict[str, int] = {}
    for lines in several:
        for line_id, amount in lines.items():
            found[line_id] = found.get(line_id, 0) + amount
    return found


def read_lines(text: str) -> Mapping[str, int]:
    """Return what came off each line, by id, from the text of `write_lines`."""
    found: Mapping[str, int] = json.loads(text.partition(" ")[2]) if text else {}
    return found
