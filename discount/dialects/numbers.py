"""Decimal numbers of the dialects, as the integers of the verbs."""

from decimal import Decimal

from discount.domain.errors import Invalid
from discount.domain.model import Discount

_ONE_HUNDREDTH = Decimal("0.01")


def hundredths_in(given: Decimal, field: str, most: int) -> int:
    """A decimal number in hundredths.

    Raises:
        Invalid: it is no number from 0 to the most (in hundredths), or has more than two decimals.
    """
    if not (given.is_finite() and 0 <= given <= Decimal(most) / 100):
        raise Invalid(field, f"is not a number from 0 to {most // 100}")
    if given != given.quantize(_ONE_HUNDREDTH):
        raise Invalid(field, "has more than two decimals")
    return int(given.quantize(_ONE_HUNDREDTH) * 100)


def percent_out(discount: Discount) -> int | float:
    """What a discount takes off, in percent; a rule that takes nothing off is none."""
    percent = discount.rule.percent or 0
    return percent / 100 if percent % 100 else percent // 100
