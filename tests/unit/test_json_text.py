"""Large JSON is refused while it arrives."""

import random
import unittest

from discount.api.json_text import LONGEST_VALUE, MOST_ITEMS, MOST_VALUES, SizeCheck
from discount.domain.errors import Invalid

PIECE = 64 * 1024


def refusal(body: bytes, piece: int = PIECE) -> tuple[str, str, int] | None:
    """Return the pointer and the reason of a refusal, and the bytes read until then."""
    check = SizeCheck()
    for at in range(0, len(body), piece):
        try:
            check.add(body[at : at + piece])
        except Invalid as error:
            (problem,) = error.facts["errors"]
            return problem["pointer"], problem["detail"], at + piece
    return None


def listed(count: int, item: bytes = b'"a user"') -> bytes:
    return b'{"count":1,"user_ids":[' + b",".join([item] * count) + b"]}"


class SizesAreChecked(unittest.TestCase):
    def test_a_list_of_the_most_items_passes(self) -> None:
        for item in (b'"Doe, [John]"', b'"' + b"x" * 700 + b'"', b"7"):
            self.assertIsNone(refusal(listed(MOST_ITEMS, item)))

    def test_one_item_more_is_refused_with_the_field(self) -> None:
        for piece in (1000, PIECE, 1 << 24):
            found = refusal(listed(MOST_ITEMS + 1), piece)
            assert found is not None
            self.assertEqual(found[:2], ("/user_ids", "has more than 10,000 entries; at most 10,000 are allowed"))

    def test_a_list_far_too_long_is_refused_before_it_has_arrived(self) -> None:
        found = refusal(listed(500_000))
        assert found is not None
        self.assertLess(found[2], 3 * PIECE)

    def test_nested_values_are_counted_too(self) -> None:
        deep = b'{"a":{"b":[' + b",".join([b"[]"] * (MOST_VALUES + 1)) + b"]}}"
        found = refusal(deep)
        assert found is not None
        self.assertEqual(found[:2], ("/a", "has more than 20,000 values; at most 20,000 are allowed"))

    def test_a_value_far_too_long_is_refused(self) -> None:
        for body in (b'{"a":"' + b"x" * (2 * LONGEST_VALUE), b'{"a":' + b" " * (2 * LONGEST_VALUE)):
            found = refusal(body)
            assert found is not None
            self.assertEqual(found[:2], ("/a", "has a value of more than 131,072 bytes"))

    def test_what_is_not_json_is_left_to_the_decoder(self) -> None:
        rng = random.Random(1)
        for body in (b"", b"}" * 300_000, b"[[[[", b'{"a":01}', rng.randbytes(300_000)):
            self.assertIsNone(refusal(body))

    def test_an_integer_of_many_digits_does_no_harm(self) -> None:
        self.assertIsNone(refusal(b'{"a":' + b"7" * 50_000 + b"}"))


if __name__ == "__main__":
    unittest.main()
