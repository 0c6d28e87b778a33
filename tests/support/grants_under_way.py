"""Grants that go on while operators change the servers, and a count of what became of each.

    with GrantsUnderWay(url) as grants:
        ...                     # move partitions, restart servers
        grants.await_more()     # every brand has grants from after the change
    grants.check()              # no answered grant is lost, no code is held twice, every count is exact

A caller repeats a grant that is refused because Redis cannot serve it now, as callers of the service do.
"""

import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from itertools import count
from types import TracebackType
from typing import Self

from discount.domain import code_kinds
from discount.domain.errors import Unavailable
from discount.services import discounts, grant_lists, grants
from discount.store import keys
from discount.store.connection import Store
from tests.support.patience import PATIENCE

PARTITIONS = 16
#: Seconds between two grants of a thread, so that the servers have time for something else.
PAUSE = 0.005


def brand_in(partition: int) -> str:
    """Return a brand of a partition."""
    return next(name for name in map("brand-{}".format, count()) if keys.partition_of(name, PARTITIONS) == partition)


class GrantsUnderWay:
    """Threads that grant codes of a brand in each partition; see the module for its use."""

    def __init__(self, url: str, threads: int = 2) -> None:
        self.store = Store.at(url, 1.0, PARTITIONS)
        self.store.prepare()
        self.discounts = [
            discounts.create(
                self.store,
                brand_id=brand_in(each),
                discount_code="Sale",
                total_count=1_000_000,
                kind=code_kinds.make("unique", 1_000_000, {}),
            )[0].id
            for each in range(PARTITIONS)
        ]
        #: The code that each user was answered, by discount and user.
        self.codes: dict[tuple[str, str], str] = {}
        #: How often a call had to be repeated.
        self.repeated = 0
        self._threads = threads
        self._ending = threading.Event()
        self._pool = ThreadPoolExecutor(threads)

    def __enter__(self) -> Self:
        self._running = [self._pool.submit(self._go_on, number) for number in range(self._threads)]
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ending.set()
        self._pool.shutdown()
        if error is None:
            for each in self._running:
                each.result()

    def await_more(self) -> None:
        """Wait until each brand has grants that were asked for from now on."""
        # Those that are under way were asked for before.
        wanted = {discount_id: self._counts()[discount_id] + self._threads + 1 for discount_id in self.discounts}
        deadline = time.monotonic() + PATIENCE
        while any(self._counts()[discount_id] < least for discount_id, least in wanted.items()):
            for each in self._running:
                if each.done():
                    each.result()
            if time.monotonic() > deadline:
                raise TimeoutError("some brand gets no grants")
            time.sleep(0.02)

    def check(self) -> None:
        """Check every answer against the data.

        Raises:
            AssertionError: a grant is lost, a code is held twice, or a count is wrong.
        """
        for (discount_id, user), code in self.codes.items():
            held = grants.grant(self.store, discount_id, user)
            assert held.code == code, f"{user} had {code} and now has {held.code}"
            assert not held.fresh, f"the grant of {user} was lost"
        given = self._counts()
        for discount_id in self.discounts:
            codes = [code for (each, _), code in self.codes.items() if each == discount_id]
            assert len(set(codes)) == len(codes), f"{discount_id}: a code was given twice"
            found = discounts.show(self.store, discount_id)[0]
            assert found.granted_count == given[discount_id], f"{found.granted_count} and not {given[discount_id]}"
            assert len(list(grant_lists.list_all(self.store, discount_id))) == given[discount_id]

    def _counts(self) -> Counter[str]:
        return Counter(discount_id for discount_id, _ in list(self.codes))

    def _go_on(self, thread: int) -> None:
        for number in count():
            if self._ending.is_set():
                return
            discount_id, user = self.discounts[number % PARTITIONS], f"user-{thread}-{number}"
            if code := self._until_granted(discount_id, user):
                self.codes[discount_id, user] = code
            time.sleep(PAUSE)

    def _until_granted(self, discount_id: str, user: str) -> str:
        """Return the code; empty if the end came before an answer."""
        while not self._ending.is_set():
            try:
                return grants.grant(self.store, discount_id, user).code
            except Unavailable:
                self.repeated += 1
                time.sleep(0.05)
        return ""
