"""The interface to redemptions that Redis has let go. The ledger implements it, and the services import no more."""

from collections.abc import Sequence
from typing import Protocol

from discount.domain.model import Redemption


class Past(Protocol):
    """Redemptions as Redis had them, with the state at their end.

    Raises:
        Unavailable: the ledger does not answer.
    """

    def read(self, redemption_ids: Sequence[str]) -> list[Redemption]:
        """Return the latest redemption of each id that is known."""

    def of_discount(self, discount_id: str, since: int, until: int, most: int) -> list[Redemption]:
        """Return a discount's redemptions from `since` to `until`, both included, newest first."""

    def of_user(self, user_id: str, brand_id: str | None, since: int, until: int, most: int) -> list[Redemption]:
        """Return a user's redemptions, of one brand or of all, as `of_discount` does."""
