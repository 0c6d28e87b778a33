"""The address by which clients of several earlier services look whether the service is there."""

from typing import Literal

from discount.api.contract import Contract, Outcome
from discount.api.schemas import Shape
from discount.dialects.voices import OF_ERRORS


class GreetingOut(Shape):
    """The service is there."""

    status: Literal["OK"]
    message: Literal["hello!"]


def add_routes(contract: Contract) -> None:
    """Declare the greeting."""

    @contract.declare("GET", "/test", tag="dialects", answers={200: GreetingOut}, voice=OF_ERRORS)
    def greet() -> Outcome:
        """Say that the service is there."""
        return GreetingOut("OK", "hello!"), 200
