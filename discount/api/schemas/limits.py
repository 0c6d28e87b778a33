"""Shapes of limits on redemptions."""

from collections.abc import Mapping
from typing import Annotated, Any

from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import Currency, Often, Shape
from discount.domain import identity, rules, windows

Period = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        description="An ISO 8601 duration from PT1S to P400D, without months and years.",
        examples=["PT24H"],
        extra_json_schema={"format": "duration"},
    ),
]


class WindowShape(Shape):
    """A rolling window: how often each user may redeem within any such period."""

    period: Period
    per_user: Annotated[int, Meta(ge=0, le=windows.MOST_USES)]


Budget = Annotated[
    dict[Currency, Annotated[int, Meta(ge=0, le=rules.MAX_AMOUNT)]],
    Meta(
        max_length=20,
        description="The most that may come off in all, by currency, in minor units. A rollback gives it back.",
        examples=[{"EUR": 100000}],
    ),
]


class LimitsIn(Shape):
    """Limits on redemptions; null is no limit.

    In a change, a limit left out stays as it is. In a new discount, `per_user` is then 1, and the others no limit.
    `per_day`, `per_week` and `per_month` are limits of all users together. The use that would pass `amount` is refused,
    or takes what is left where `budget_caps` is true.
    """

    total: Often | None | UnsetType = UNSET
    per_user: Often | None | UnsetType = UNSET
    per_user_per_day: Often | None | UnsetType = UNSET
    per_user_per_week: Often | None | UnsetType = UNSET
    per_user_per_month: Often | None | UnsetType = UNSET
    per_day: Often | None | UnsetType = UNSET
    per_week: Often | None | UnsetType = UNSET
    per_month: Often | None | UnsetType = UNSET
    windows: Annotated[list[WindowShape], Meta(max_length=5)] | None | UnsetType = UNSET
    amount: Budget | None | UnsetType = UNSET
    budget_caps: bool | UnsetType = UNSET
    per_identity: (
        Annotated[
            int,
            Meta(ge=1, le=identity.MOST_USERS, description="Users who may share a part of an identity; never changes."),
        ]
        | UnsetType
    ) = UNSET


class LimitsOut(Shape):
    """Limits on redemptions; null is no limit. What is missing is no limit either."""

    total: int | None = None
    per_user: int | None = None
    per_user_per_day: int | None = None
    per_user_per_week: int | None = None
    per_user_per_month: int | UnsetType = UNSET
    per_day: int | UnsetType = UNSET
    per_week: int | UnsetType = UNSET
    per_month: int | UnsetType = UNSET
    windows: list[WindowShape] | UnsetType = UNSET
    amount: dict[str, int] | UnsetType = UNSET
    budget_caps: bool | UnsetType = UNSET
    per_identity: int | UnsetType = UNSET

    @classmethod
    def of(cls, limits: Mapping[rules.LimitName, int]) -> "LimitsOut":
        get = limits.get
        out = cls(get("total"), get("per_user"), get("per_user_per_day"), get("per_user_per_week"))
        return out if limits.keys() <= _OF_ALL else out._with(limits)

    def _with(self, limits: Mapping[Any, int]) -> "LimitsOut":
        """Add the limits that only some discounts have."""
        for name in (*windows.PERIOD_LIMITS, "per_identity"):
            if name in limits:
                setattr(self, name, limits[name])
        of_windows = _under(windows.WINDOW, limits)
        if of_windows:
            self.windows = [WindowShape(period, most) for period, most in of_windows.items()]
        self.amount = _under(windows.AMOUNT, limits) or UNSET
        return self


_OF_ALL = frozenset(rules.LIMITS)


def _under(start: str, limits: Mapping[str, int]) -> dict[str, int]:
    return {name.removeprefix(start): most for name, most in limits.items() if name.startswith(start)}
