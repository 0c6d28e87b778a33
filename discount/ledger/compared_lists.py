"""Compare the lists of what users hold with the grants that they name."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from discount.ledger import repair
from discount.ledger.differences import Difference, Result
from discount.services import discounts, grant_records, slices, user_grants
from discount.store import keys
from discount.store.connection import Store
from discount.store.replies import pairs

#: Buckets of users that are read together, and grants that are looked up together.
BUCKETS, TOGETHER = 256, 500
#: How often a grant is looked for before the list is wrong, and the seconds before that.
TRIES, PAUSE = 5, 0.02


class ComparedLists:
    """The comparison of a partition's lists of users; both sides are in Redis."""

    def __init__(self, store: Store, pause: Callable[[float], None]) -> None:
        self._store = store
        self._pause = pause

    def compare(self, partition: int, result: Result, *, repairs: bool) -> None:
        """Find discounts in the lists of users who hold no code of them."""
        for first in range(0, keys.USER_BUCKETS, BUCKETS):
            slices.between()
            replies = self._store.commands(
                [("HGETALL", keys.users_of_bucket(partition, first + n)) for n in range(BUCKETS)]
            )
            listed = [found for reply in replies for field, text in pairs(reply) for found in _listed_in(field, text)]
            for start in range(0, len(listed), TOGETHER):
                self._look_up(partition, listed[start : start + TOGETHER], result, repairs=repairs)

    def _look_up(self, partition: int, listed: Sequence[tuple[str, str]], result: Result, *, repairs: bool) -> None:
        found = self._store.command("HMGET", keys.numbers(partition), *(number for _, number in listed))
        known = [(user, number, each) for (user, number), each in zip(listed, found, strict=True) if each]
        values = self._store.commands([self._grant_of(user, discount_id) for user, _, discount_id in known])
        for (user, number, discount_id), value in zip(known, values, strict=True):
            if value in (None, grant_records.BLOCKED) and self._is_wrong(partition, user, number, discount_id):
                repaired = repairs and partial(repair.take_off_list, self._store, partition, user, number)()
                result.add(Difference(discount_id, "index", user, "1", "0", repaired))

    def _is_wrong(self, partition: int, user: str, number: str, discount_id: str) -> bool:
        """Look again and again: the code may have been granted or taken back just now."""
        for _ in range(TRIES):
            value = self._store.command(*self._grant_of(user, discount_id))
            text = self._store.command("HGET", keys.users(partition, user), user)
            is_listed = number in user_grants.numbers_in(self._store, partition, user, text)
            if not is_listed or value not in (None, grant_records.BLOCKED):
                return False
            self._pause(PAUSE)
        return True

    def _grant_of(self, user: str, discount_id: str) -> tuple[str, str, str]:
        return "HGET", grant_records.bucket_key(discounts.parse_id(self._store, discount_id), user), user


def _listed_in(field: str, text: str) -> Iterator[tuple[str, str]]:
    """Yield the user and the numbers in a field of a users' bucket: the first few, or a page of the further ones."""
    user, is_further, page = field.partition("\n")
    if not is_further or page.isdecimal():
        for number in text.partition("+")[0].split():
            yield user, number
