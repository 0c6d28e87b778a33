"""Shapes of the kinds of codes."""

from typing import Annotated, Literal

from msgspec import UNSET, Meta, UnsetType

from discount.api.schemas.common import NAME_PATTERN, Shape
from discount.domain.reasons import with_rule

_VISIBLE = with_rule(
    r"^[!-~ ]*[!-~][!-~ ]*$(?!\n)",
    "[^!-~ ]",
    "visible ASCII and blanks are allowed, but not blanks alone",
)


Kind = Annotated[
    Literal["unique", "imported", "personal", "shared"],
    Meta(
        description="unique: made from a pattern; imported: the brand's own; personal: made from a template at the"
        " grant; shared: one code for all users."
    ),
]


Pattern = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=64,
        pattern=with_rule(
            r"^[A-Za-z0-9#._-]*#[A-Za-z0-9#._-]*$(?!\n)",
            "[^A-Za-z0-9#._-]",
            "the letters A-Z and a-z, digits and # . _ - are allowed, with at least one #",
        ),
        description="Each # becomes a character of the alphabet; everything else is kept.",
        examples=["####-####-####"],
    ),
]


Alphabet = Annotated[
    str,
    Meta(
        min_length=2,
        max_length=36,
        pattern=with_rule(r"^[A-Za-z0-9]+$(?!\n)", "[^A-Za-z0-9]", "the letters A-Z and a-z and digits are allowed"),
        description="The letters and digits of the codes; upper and lower case count as one.",
        examples=["23456789ABCDEFGHJKMNPQRSTUVWXYZ"],
    ),
]


Prefix = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=32,
        pattern=with_rule(
            r"^[A-Za-z0-9._-]+$(?!\n)",
            "[^A-Za-z0-9._-]",
            "the letters A-Z and a-z, digits and . _ - are allowed",
        ),
        description="The start of each code.",
        examples=["IKEA-"],
    ),
]


Template = Annotated[
    str,
    Meta(
        min_length=1,
        max_length=100,
        pattern=_VISIBLE,
        description="{brand} and {user} become slugs of the ids, {name} the user's name as the brand wrote it (or the"
        " user's id), {discount} the discount's id. {id}, {seq} and {random} differ from code to code.",
        examples=["{brand}-thinks-{user}-is-awesome-{id}"],
    ),
]


SharedCode = Annotated[str, Meta(min_length=1, max_length=64, pattern=NAME_PATTERN, examples=["AHMED2022BILLO"])]


class CodesIn(Shape):
    """The kind of the codes and its options."""

    kind: Kind = "unique"
    pattern: Pattern | UnsetType = UNSET
    alphabet: Alphabet | UnsetType = UNSET
    prefix: Prefix | UnsetType = UNSET
    template: Template | UnsetType = UNSET
    code: SharedCode | UnsetType = UNSET


class CodesOut(Shape, omit_defaults=True):
    """The kind of the codes and what they are made from."""

    kind: Kind
    pattern: str = ""
    alphabet: str = ""
    template: str = ""
    code: str = ""
