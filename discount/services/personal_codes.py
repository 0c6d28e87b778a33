"""The keys and arguments with which scripts make personal codes."""

from collections.abc import Sequence

from discount.domain import code_kinds
from discount.domain.ids import DiscountId
from discount.domain.model import Definition
from discount.services import contacts
from discount.store import keys
from discount.store.connection import Store


def names_of(store: Store, definition: Definition, user_ids: Sequence[str]) -> dict[str, str]:
    """Return the names that the brand uses for users, if the codes of the discount contain the name."""
    return contacts.names(store, definition.brand_id, user_ids) if code_kinds.needs_name(definition.codes) else {}


def candidates_of(
    parsed: DiscountId, definition: Definition, user_id: str, name: str
) -> tuple[list[str], list[str | int]]:
    """Return the keys and arguments of a script that makes a personal code: each code to try, with its digest."""
    names: list[str] = []
    arguments: list[str | int] = []
    made = code_kinds.candidates(definition.codes, definition.brand_id, user_id, discount_id=parsed.text, name=name)
    for code in made:
        digest = code_kinds.digest(code)
        names.append(keys.taken(parsed.partition, parsed.text, digest % parsed.buckets))
        arguments += [code, "" if code_kinds.always_differs(definition.codes) else digest]
    return names, arguments
