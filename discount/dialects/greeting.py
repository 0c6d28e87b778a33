"""The addresses at which clients of several earlier services check that the service is up."""

from typing import Literal

from discount.api.contract import Contract, ViewResult
from discount.api.schemas.common import Shape
from discount.api.streaming import text_response
from discount.dialects.error_formats import OF_ERRORS, OF_MESSAGES


class GreetingOut(Shape):
    """The service is up."""

    status: Literal["OK"]
    message: Literal["hello!"]


def add_root(contract: Contract) -> None:
    """Declare the greeting of personal codes. It takes the root address, so no other dialect may be enabled."""

    @contract.declare(
        "GET", "/", tag="dialects", answers={200: None}, produces=("text/plain",), error_format=OF_MESSAGES
    )
    def greet_at_root() -> ViewResult:
        """Answer `Ok` if the service is up."""
        return text_response("Ok")


def add_routes(contract: Contract) -> None:
    """Declare the greeting."""

    @contract.declare("GET", "/test", tag="dialects", answers={200: GreetingOut}, error_format=OF_ERRORS)
    def greet() -> ViewResult:
        """Greet the client if the service is up."""
        return GreetingOut("OK", "hello!"), 200
