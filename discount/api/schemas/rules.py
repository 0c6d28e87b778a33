"""Shapes of a discount's rule: which lines of an order it is for, and with which codes it goes together."""

from collections.abc import Sequence
from typing import Annotated, Any, Literal

from msgspec import Meta

from discount.domain import order_lines
from discount.domain.combinations import CLASSES, RuleClass

Per = Annotated[
    Literal["order", "line"],
    Meta(description="order: the rule takes off all its lines together; line: off each of them."),
]


Combines = Annotated[
    Literal["alone", "all"] | list[RuleClass],
    Meta(
        description="The codes with which its codes may be used for one order: alone with none; all; or the classes of"
        " their rules. Both discounts must allow each other.",
        examples=["all"],
    ),
]


def combines_in(given: Literal["alone", "all"] | list[RuleClass]) -> tuple[RuleClass, ...]:
    """Return the classes of rules with which a discount may be combined."""
    if isinstance(given, str):
        return CLASSES if given == "all" else ()
    return tuple(each for each in CLASSES if each in given)


def combines_out(combines: Sequence[str]) -> Literal["all"] | list[RuleClass]:
    """Return the classes with which a discount may be combined, as callers see them."""
    found = [each for each in CLASSES if each in combines]
    return "all" if len(found) == len(CLASSES) else found


LineCount = Annotated[int, Meta(ge=1, le=order_lines.MOST_LINES, description="Only so many lines.")]


Pieces = Annotated[int, Meta(ge=1, le=order_lines.MOST_PIECES, description="Pieces of what the discount is for.")]


def selection_out(selection: order_lines.Selection | None) -> dict[str, Any]:
    """Return the fields of a selection that say something."""
    if selection is None:
        return {}
    given = {
        "applies_to": selection.applies_to and order_lines.products_out(selection.applies_to),
        "except_": selection.excluded and order_lines.products_out(selection.excluded),
        "minimum_quantity": selection.minimum_quantity,
        "per": "line" if selection.per_line else None,
        "cheapest_lines": selection.cheapest,
        "dearest_lines": selection.dearest,
    }
    return {name: value for name, value in given.items() if value is not None}
