"""The sequence of codes: a permutation; codes are the same however they are typed."""

import itertools
import unittest

from hypothesis import given, settings
from hypothesis import strategies as st

from discount.domain.code_sequence import (
    ALPHABET,
    PATTERN,
    Sequence,
    canonical,
    make_key,
)

KEY = "000102030405060708090a0b0c0d0e0f"
#: A key whose round function is AES, as new ones are.
AES_KEY = f"aes:{KEY}"
KEYS = st.builds("{}{}".format, st.sampled_from(["", "aes:"]), st.binary(min_size=16, max_size=16).map(bytes.hex))
SIZE = Sequence(KEY).size
WIDEST = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Permutation(unittest.TestCase):
    @given(key=KEYS, letters=st.integers(1, 5), alphabet=st.sampled_from(["AB", "XYZ", "2345"]))
    @settings(max_examples=60)
    def test_every_code_of_a_space_is_made_exactly_once(self, key: str, letters: int, alphabet: str) -> None:
        sequence = Sequence(key, "#" * letters, alphabet)
        self.assertEqual(sequence.size, len(alphabet) ** letters)
        self.assertEqual(len(set(sequence.codes(0, sequence.size))), sequence.size)

    @given(key=KEYS, letters=st.integers(1, 5))
    @settings(max_examples=40)
    def test_every_code_of_a_space_gives_its_counter_back(self, key: str, letters: int) -> None:
        sequence = Sequence(key, f"A{'#' * letters}-Z", "XYZ")
        counters = [sequence.counter(code) for code in sequence.codes(0, sequence.size)]
        self.assertEqual(counters, list(range(sequence.size)))

    @given(key=KEYS, letters=st.integers(10, 64), alphabet=st.sampled_from(["AB", ALPHABET, WIDEST]), data=st.data())
    @settings(max_examples=100)
    def test_patterns_of_any_length_give_their_counters_back(
        self, key: str, letters: int, alphabet: str, data: st.DataObject
    ) -> None:
        sequence = Sequence(key, "#" * letters, alphabet)
        counter = data.draw(st.integers(0, sequence.size - 1))
        self.assertEqual(sequence.counter(sequence.code(counter)), counter)
        [code] = sequence.codes(counter, 1)
        self.assertEqual(code, sequence.code(counter))

    def test_the_letters_of_a_long_code_all_differ_from_code_to_code(self) -> None:
        made = Sequence(KEY, "#" * 64, WIDEST).codes(0, 1000)
        self.assertEqual({len(set(letters)) for letters in zip(*made, strict=True)}, {len(WIDEST)})

    @given(key=KEYS, counter=st.integers(0, SIZE - 1))
    def test_a_code_decodes_to_its_counter(self, key: str, counter: int) -> None:
        sequence = Sequence(key)
        self.assertEqual(sequence.counter(sequence.code(counter)), counter)

    @given(key=KEYS, counter=st.integers(0, SIZE - 1), data=st.data())
    def test_a_code_is_recognized_in_any_spelling(self, key: str, counter: int, data: st.DataObject) -> None:
        sequence = Sequence(key)
        typed = ""
        for letter in sequence.code(counter):
            wide = chr(ord(letter) + 0xFEE0)
            typed += data.draw(
                st.sampled_from([letter, letter.lower(), wide, f" {letter}", f"{letter}–", f"{letter}\u200b"])
            )
        self.assertEqual(sequence.counter(typed), counter)

    def test_a_range_of_codes_is_the_codes_of_its_counters(self) -> None:
        sequence = Sequence(KEY)
        self.assertEqual(sequence.codes(998, 5), [sequence.code(counter) for counter in range(998, 1003)])

    def test_the_codes_of_a_secret_key_never_change(self) -> None:
        # A stored discount goes on from its counter: other codes under the same key would repeat old ones.
        self.assertEqual(
            Sequence(KEY).codes(0, 4), ["FYKN-PE78-ZGNM", "9J3Z-2693-YFH4", "FD9Y-RCS3-HXB3", "U7EQ-VQYM-6ZCA"]
        )
        self.assertEqual(Sequence(KEY, "50%-###").codes(0, 2), ["50%-P7T", "50%-H4K"])
        # The longest of which half a code fits in sixteen bytes.
        self.assertEqual(Sequence(KEY, "#" * 50).codes(0, 1), ["U9J3YF4TYDZG5MN2WUEMXAHSFP4SCN339VNKQ8CE3NZ9889DBX"])
        self.assertEqual(Sequence(AES_KEY).codes(0, 3), ["JPYQ-P3VQ-XFEP", "9U33-YFPB-QKMY", "RPC7-WH4T-GZMA"])
        self.assertEqual(Sequence(AES_KEY, "50%-###").codes(0, 2), ["50%-HA7", "50%-7BY"])
        self.assertEqual(Sequence(AES_KEY, "#" * 24).codes(0, 1), ["2KGN7VA4BYHJWK65T8N8NFV3"])
        # Half a code of 26 letters is too large for AES.
        self.assertEqual(Sequence(AES_KEY, "#" * 26).code(0), Sequence(KEY, "#" * 26).code(0))

    def test_a_new_key_has_aes_as_its_round_function(self) -> None:
        self.assertRegex(make_key(), "^aes:[0-9a-f]{32}$")

    def test_twenty_thousand_codes_are_all_different(self) -> None:
        for key in (KEY, AES_KEY):
            self.assertEqual(len(set(Sequence(key).codes(0, 20_000))), 20_000)

    def test_every_letter_is_as_frequent_as_any_other_in_every_place(self) -> None:
        for key in (KEY, AES_KEY):
            for column in zip(*Sequence(key, "#" * 12).codes(0, 31_000), strict=True):
                # 1000 of each are expected; six standard deviations are 187.
                self.assertTrue(all(813 < column.count(letter) < 1187 for letter in ALPHABET))

    def test_two_secret_keys_give_different_codes(self) -> None:
        one, other = (set(Sequence(key).codes(0, 500)) for key in (AES_KEY, f"aes:{KEY[::-1]}"))
        self.assertEqual(one & other, set())

    def test_consecutive_codes_share_no_more_letters_than_random_ones(self) -> None:
        for key in (KEY, AES_KEY):
            codes = Sequence(key).codes(0, 1001)
            same = sum(a == b for one, two in itertools.pairwise(codes) for a, b in zip(one, two, strict=True))
            # Twelve letters of thirty-one and two dashes: 0.39 letters by chance, far from the twelve of a counter.
            self.assertLess(same / 1000 - 2, 0.6)

    def test_the_fixed_text_of_a_pattern_surrounds_its_letters(self) -> None:
        for code in Sequence(KEY, "50% {off} %s-##").codes(0, 50):
            self.assertRegex(code, rf"^50% {{off}} %s-[{ALPHABET}]{{2}}$")

    def test_the_usual_pattern_has_twelve_letters_in_three_groups(self) -> None:
        self.assertEqual(PATTERN, "####-####-####")
        self.assertRegex(Sequence(KEY).code(0), rf"^[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}-[{ALPHABET}]{{4}}$")


class Strangers(unittest.TestCase):
    def test_a_letter_that_is_in_no_code_is_refused(self) -> None:
        for letter in "IL1O0#é":
            self.assertIsNone(Sequence(KEY).counter(f"2222-2222-222{letter}"))

    def test_a_code_of_another_length_is_refused(self) -> None:
        for code in ("", "2222-2222-222", "2222-2222-22222", "-"):
            self.assertIsNone(Sequence(KEY).counter(code))

    def test_a_code_with_another_beginning_is_refused(self) -> None:
        sequence = Sequence(KEY, "AB-##")
        self.assertEqual(sequence.counter("ab" + sequence.code(7)[3:]), 7)
        self.assertIsNone(sequence.counter("AC" + sequence.code(7)[3:]))

    @given(st.text(max_size=20))
    def test_any_text_decodes_to_a_counter_or_to_none(self, text: str) -> None:
        found = Sequence(KEY).counter(text)
        if found is not None:
            self.assertEqual(canonical(Sequence(KEY).code(found)), canonical(text))


class Canonical(unittest.TestCase):
    def test_case_width_spaces_and_dashes_do_not_matter(self) -> None:
        for typed in ("ab-12", "AB 12", "ＡＢ１２", " a b–1—2 ", "AB\u00ad12", "ab\u200b12", "AB\u201012\u00a0"):
            self.assertEqual(canonical(typed), "ab12", repr(typed))

    def test_every_dash_of_unicode_is_dropped(self) -> None:
        for dash in "-\u2010\u2011\u2012\u2013\u2014\u2015\u2053\u207b\u208b\u2212\ufe58\ufe63\uff0d\u301c":
            self.assertEqual(canonical(f"AB{dash}12"), "ab12", ascii(dash))

    def test_dots_and_underscores_tell_codes_apart(self) -> None:
        self.assertEqual(len({canonical(code) for code in ("A11", "A1.1", "A1_1", "A.11", "A_11")}), 5)

    def test_codes_that_read_differently_stay_different(self) -> None:
        for one, other in (("AB12", "AB21"), ("B8", "88"), ("STRASSE", "STRASE"), ("É1", "E1")):
            self.assertNotEqual(canonical(one), canonical(other))

    @given(st.text(max_size=12))
    @settings(max_examples=300)
    def test_canonicalizing_twice_changes_nothing_more(self, text: str) -> None:
        self.assertEqual(canonical(canonical(text)), canonical(text))

    @given(st.text(alphabet="eaEA-\u0301\u0300\u0345 \u00adßẞſǰΐﬁ㎏\u1fb3", max_size=8))
    @settings(max_examples=300)
    def test_the_same_holds_where_letters_join_and_fold(self, text: str) -> None:
        self.assertEqual(canonical(canonical(text)), canonical(text))

    @given(st.text(max_size=12))
    def test_upper_and_lower_case_of_a_code_in_ascii_are_one(self, text: str) -> None:
        ascii_only = "".join(character for character in text if character.isascii())
        self.assertEqual(canonical(ascii_only.upper()), canonical(ascii_only.lower()))


class Alphabet(unittest.TestCase):
    def test_no_letter_looks_like_another(self) -> None:
        self.assertEqual(set(ALPHABET) & set("IL1O0"), set())
        self.assertEqual(len({canonical(letter) for letter in ALPHABET}), len(ALPHABET))

    def test_a_key_is_new_each_time(self) -> None:
        keys = {make_key() for _ in range(100)}
        self.assertEqual(len(keys), 100)
        self.assertEqual({len(bytes.fromhex(key.removeprefix("aes:"))) for key in keys}, {16})
