"""The service of exports: every code of a discount."""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import chain
from typing import Literal

from discount.services import code_pools, discounts, grant_lists, revocations
from discount.store.connection import Store

CodeState = Literal["waiting", "granted", "unused", "revoked"]


@dataclass(frozen=True, slots=True)
class ExportedCode:
    """A code of a discount: waiting, granted to a user, revoked, or unused when the discount was closed."""

    code: str
    state: CodeState
    user_id: str = ""
    granted_at: int | None = None


def list_codes(store: Store, discount_id: str) -> Iterator[ExportedCode]:
    """Yield every code of a discount, in constant memory: those that nobody holds, granted ones, revoked ones.

    A code that is granted meanwhile may be listed twice, the second time as granted; none is missed. Personal and
    shared codes are made at the grant, so none of them is waiting.

    Raises:
        NotFound
    """
    state: CodeState = "unused" if discounts.show(store, discount_id)[0].closed else "waiting"
    not_held = (ExportedCode(code, state) for code in code_pools.list_waiting(store, discount_id))
    return chain(not_held, _list_granted(store, discount_id), _list_revoked(store, discount_id))


def _list_granted(store: Store, discount_id: str) -> Iterator[ExportedCode]:
    # A generator, so that this starts after the waiting codes are read: the first grant may come meanwhile.
    for each in grant_lists.list_all(store, discount_id):
        yield ExportedCode(each.code, "granted", each.user_id, each.granted_at)


def _list_revoked(store: Store, discount_id: str) -> Iterator[ExportedCode]:
    for each in revocations.list_void(store, discount_id):
        yield ExportedCode(each.code, "revoked", each.user_id, each.granted_at)
