"""Shapes of lists of users."""

from typing import Annotated

from msgspec import Meta

from discount.api.schemas.common import Shape
from discount.domain.reasons import with_rule
from discount.services import user_lists

ListName = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=with_rule(
            r"^[A-Za-z0-9._-]*[A-Za-z0-9_-]$(?!\n)",
            "[^A-Za-z0-9._-]",
            "the letters A-Z and a-z, digits and . _ - are allowed, with no . at the end",
        ),
        description="The name of a list of users.",
        examples=["newsletter"],
    ),
]


class UserListOut(Shape):
    """A list of users of a brand."""

    brand_id: str
    name: ListName
    users_count: int

    @classmethod
    def of(cls, found: user_lists.UserList) -> "UserListOut":
        return cls(found.brand_id, found.name, found.users_count)


class UserListsOut(Shape):
    """All lists of a brand, by name."""

    lists: list[UserListOut]


class AddedOut(Shape):
    """The result of an upload. `bad_lines` has the first hundred lines that are no user id."""

    brand_id: str
    name: ListName
    added_count: int
    repeated_count: int
    bad_count: int
    bad_lines: list[int]

    @classmethod
    def of(cls, brand_id: str, name: str, done: user_lists.Added) -> "AddedOut":
        return cls(brand_id, name, done.added_count, done.repeated_count, done.bad_count, list(done.bad_lines))


class UploadQuery(Shape):
    column: Annotated[str, Meta(min_length=1, max_length=64, description="The CSV column with the users.")] = "user_id"
