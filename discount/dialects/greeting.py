"""The address by which clients of several earlier services look whether the service is there."""

from typing import Literal

from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import Shape
from discount.api.streaming import text_response
from discount.dialects.error_formats import OF_ERRORS, OF_MESSAGES


class GreetingOut(Shape):
    """The service is there."""

    status: Literal["OK"]
    message: Literal["hello!"]


def add_root(contract: Contract) -> None:
    """Declare the greeting of personal codes, where no other dialect is spoken: it stands at the root."""

    @contract.declare(
        "GET", "/", tag="dialects", answers={200: None}, produces=("text/plain",), error_format=OF_MESSAGES
    )
    def greet_at_root() -> ViewResult:
        """Say that the service is there, in two letters."""
        return text_response("Ok")


def add_routes(contract: Contract) -> None:
    """Declare the greeting."""

    @contract.declare("GET", "/test", tag="dialects", answers={200: GreetingOut}, error_format=OF_ERRORS)
    def greet() -> ViewResult:
        """Say that the service is there."""
        return GreetingOut("OK", "hello!"), 200
