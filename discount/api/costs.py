"""The most that each operation costs, by its name; doc/limits.md is made from it (`make docs`).

A test drives operations to their bounds and counts the exchanges.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

Long = Callable[[Any], bool]


def _never(_query: Any) -> bool:
    return False


def _always(_query: Any) -> bool:
    return True


def _as_file(query: Any) -> bool:
    return bool(query.format == "csv")


@dataclass(frozen=True, slots=True)
class Cost:
    """The most that one call costs.

    Args:
        exchanges: with Redis, besides the one that checks the caller's key; for a long call, those of one slice.
        most: what else bounds the call, in words.
        long: whether a call with this query takes long. A long call needs a free place, and works in slices.
    """

    exchanges: int
    most: str = ""
    long: Long = _never

    @property
    def is_long(self) -> str:
        """Say when a call takes long."""
        return {_never: "", _always: "always", _as_file: "as CSV"}[self.long]


_LIST = "1,000 rows a page"
_FILE = "500 rows a slice"
#: Exchanges on top of that of the script, where a discount judges users or asks who they are: its definition is read,
#: groups and lists are looked up, and the script runs again.
JUDGED = 3
#: Exchanges that serve a waiting list: 20 times four for 50 users. They fill the pool, read the list, and run a script.
SERVED = 80
#: Exchanges of a code at the checkout: it is looked up and judged, and the script asks for what only the caller knows.
CHECKOUT = 10
#: Exchanges that find the codes that fit an order.
FITTING = 16

#: By operation; the others are ordinary.
COSTS: dict[str, Cost] = {
    "show_health": Cost(0),
    "show_readiness": Cost(1),
    "show_metrics": Cost(0),
    "grant_code": Cost(
        1,
        "3 more if the pool is empty (1,000 codes are made) or the process does not know the discount yet; "
        "1 more if a sold-out discount has codes again; "
        f"{JUDGED} more with an audience, or with `limits.per_identity` if the process does not know the discount yet; "
        f"{SERVED} more if users wait for codes that are free",
    ),
    "validate_code": Cost(
        5 * CHECKOUT,
        f"{CHECKOUT} for each of five codes; without a code {FITTING}: 200 discounts of the brand and 100 codes of the "
        "user are read, and 50 judged",
    ),
    "redeem_code": Cost(5 * CHECKOUT, f"{CHECKOUT} for each of five codes; 50 more to settle 50,000 holds that ended"),
    "create_discount": Cost(4, "16 codes are made"),
    "list_discounts": Cost(4, "1,000 discounts are read"),
    "show_discount": Cost(2),
    "change_discount": Cost(8, "50 users who wait"),
    "close_discount": Cost(3),
    "show_grant": Cost(1),
    "revoke_code": Cost(16, "20 codes that the user lost before, 50 users who wait"),
    "begin_wait": Cost(1 + JUDGED),
    "show_wait": Cost(1),
    "end_wait": Cost(3),
    "list_waits": Cost(1, _LIST),
    "grant_codes": Cost(
        4 + JUDGED,
        f"10,000 users, 500 a slice; personal codes 100 a slice; {SERVED} more in each slice if users wait",
        _always,
    ),
    "list_grants": Cost(24, _LIST, _as_file),
    "grant_code_of_brand": Cost(
        48,
        f"1,000 discounts of the brand are read, 20 open ones tried; {JUDGED} more for each that has an audience; "
        f"{SERVED} more if users wait for codes that are free",
    ),
    "list_grants_of_user": Cost(40, _LIST),
    "import_codes": Cost(4, "20,000,000 lines and 256 MiB, 500 lines a slice", _always),
    "move_in": Cost(7, "20,000,000 lines and 256 MiB, 400 lines and uses a slice", _always),
    "export_codes": Cost(8, _FILE, _always),
    "show_picture": Cost(1, "one QR picture; the last 64 are cached"),
    "show_page": Cost(3, "one QR picture; the last 64 are cached"),
    "show_redemption": Cost(4),
    "confirm_redemption": Cost(6),
    "roll_back_redemption": Cost(6),
    "list_redemptions": Cost(8, _LIST, _as_file),
    "list_redemptions_of_user": Cost(8, _LIST),
    "add_to_list": Cost(3, "20,000,000 lines and 256 MiB, 500 users a slice", _always),
    "drop_list": Cost(20, "8,192 sets are deleted"),
    "forget_user": Cost(8, "works in slices", _always),
    "find_code": Cost(
        9,
        "20 holders, 100 redemptions and 200 events each, from the ledger; 2,000 deliveries are looked for; "
        "1,000 discounts of the brand are read if no user holds the code",
    ),
    "show_figures_of_discount": Cost(3, "1,500 steps, from the ledger"),
    "show_figures_of_brand": Cost(4, "1,500 steps, from the ledger; 100 discounts are read"),
    "list_changes": Cost(1, "1,000 changes, from the ledger"),
    "export_table": Cost(1, "500 rows a slice, from the ledger", _always),
    "list_events": Cost(12, "2,000 events are read; with `wait` one more exchange every half second"),
    "create_readable_code": Cost(8, "10,000 users, 500 a slice", _always),
    "list_readable_codes": Cost(4, "1,000 discounts a slice", _always),
    "list_uses_of_readable_codes": Cost(8, "500 uses a slice", _always),
    "list_coupons": Cost(4, "1,000 discounts a slice", _always),
    "list_users": Cost(4, "1,000 users a slice", _always),
    "create_codes_of_brand": Cost(8, "16 codes are made"),
}
#: An operation that reads or changes a single resource.
ORDINARY = Cost(8)


def of(name: str) -> Cost:
    """Return the cost of an operation."""
    return COSTS.get(name, ORDINARY)
