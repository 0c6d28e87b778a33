"""Signs that two users are the same person: an e-mail address, a device, a postal address, a card.

The service never keeps these themselves, only keyed digests of their canonical form.
"""

import re
from typing import Literal
from unicodedata import normalize

from msgspec import Struct

from discount.domain.errors import Invalid

Part = Literal["email", "device", "address", "card"]
PARTS: tuple[Part, ...] = ("email", "device", "address", "card")
#: The most users of a discount that `per_identity` may allow.
MOST_USERS = 10
# Hosts that ignore dots, and the name under which they are one.
_WITHOUT_DOTS = {"gmail.com": "gmail.com", "googlemail.com": "gmail.com"}
_BETWEEN = re.compile(r"[\W_]+")


class Identity(Struct, frozen=True):
    """Keyed digests of what a request gave, by part, in the order of `PARTS`."""

    digests: tuple[tuple[Part, bytes], ...]


def canonical(part: Part, value: str) -> str:
    """Return the form in which two values are compared.

    An e-mail address loses its case and what follows a plus sign, and at some hosts its dots; all others lose case,
    blanks and punctuation.

    Raises:
        Invalid: nothing is left of it.
    """
    text = normalize("NFKC", value).casefold()
    found = _canonical_email(text) if part == "email" else _BETWEEN.sub("", text)
    if not found:
        raise Invalid(f"/identity/{part}", "has no letter or digit")
    return found


def _canonical_email(text: str) -> str:
    box, _, host = text.strip().rpartition("@")
    box = box.partition("+")[0] or box
    host = host.rstrip(".")
    if host in _WITHOUT_DOTS:
        return f"{box.replace('.', '')}@{_WITHOUT_DOTS[host]}"
    return f"{box}@{host}"
