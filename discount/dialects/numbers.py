"""Decimal numbers of the dialects, which the services know as integers."""

from decimal import Decimal

from discount.domain.errors import Invalid
from discount.domain.model import Discount

_ONE_HUNDREDTH = Decimal("0.01")


def hundredths_in(value: Decimal, field: str, most: int) -> int:
    """Return a decimal number in hundredths.

    Args:
        field: names the number in a refusal.
        most: the largest allowed value, in hundredths.

    Raises:
        Invalid: It is not a number from 0 to `most`, or has more than two decimals.
    """
    if not (value.is_finite() and 0 <= value <= Decimal(most) / 100):
        raise Invalid(field, f"must be a number from 0 to {most // 100}")
    if value != value.quantize(_ONE_HUNDREDTH):
        raise Invalid(field, "must have at most two decimals")
    return int(value.quantize(_ONE_HUNDREDTH) * 100)


def percent_out(discount: Discount) -> int | float:
    """Return the percentage that a discount takes off; 0 if it has none."""
    percent = discount.rule.percent or 0
    return percent / 100 if percent % 100 else percent // 100
