"""Routes of users: what is kept about one can be forgotten."""

from discount import users
from discount.api.contract import Contract, Outcome
from discount.api.schemas import Shape, UserId
from discount.model import Caller
from discount.store import Store


class Forgotten(Shape):
    """What of a user was made nobody's. The counts of discounts stay as they are."""

    user_id: str
    grants: int
    redemptions: int
    events: int

    @classmethod
    def of(cls, user_id: str, done: users.Forgotten) -> "Forgotten":
        return cls(user_id, done.grants, done.redemptions, done.events)


def add_routes(contract: Contract, store: Store) -> None:
    """Declare the operations of users."""

    @contract.declare(
        "DELETE",
        "/user/<user_id>",
        tag="users",
        scopes=("admin", "manage"),
        caller=True,
        path_types={"user_id": UserId},
        answers={200: Forgotten},
    )
    def forget_user(user_id: str, caller: Caller) -> Outcome:
        """Forget a user: grants, redemptions and events become nobody's. A brand forgets what it keeps itself."""
        return Forgotten.of(user_id, users.forget(store, user_id, brand_id=caller.brand_id)), 200
