"""The kinds of code: valid settings, and codes that differ for a reader."""

import string
import unittest
from typing import Any
from unittest import mock

from hypothesis import assume, example, given
from hypothesis import strategies as st

from discount.domain import code_kinds, code_sequence
from discount.domain.code_kinds import CodeKind
from discount.domain.code_sequence import canonical
from discount.domain.errors import Invalid

# Twelve letters of thirty-one.
SPACE = 31**12
UNICODE_NAMES = {
    "Åse Øst": "ase-ost",
    "李小龍": "li-xiao-long",
    "José": "jose",
    "Jose\u0301": "jose",
    "Straße 7": "strasse-7",
    "O'Brien & Søn": "o-brien-son",
    "USER_1": "user-1",
    "  a  --  b  ": "a-b",
    "ＦＵＬＬ　ＷＩＤＴＨ": "full-width",
}
UNNAMED = ("😀", "🎄🎁", "---", "...", "\u200b")


class Refused(unittest.TestCase):
    def refused(self, pointer: str, words: str, *arguments: Any, **named: Any) -> None:
        with self.assertRaises(Invalid) as caught:
            code_kinds.make(*arguments, **named)
        [error] = caught.exception.facts["errors"]
        self.assertEqual((error["pointer"], words in error["detail"]), (pointer, True), error)

    def test_a_field_of_another_kind_is_refused_by_name(self) -> None:
        belongs = {
            "unique": {"pattern", "alphabet", "prefix"},
            "imported": set(),
            "personal": {"template"},
            "shared": {"code"},
        }
        for kind, own in belongs.items():
            for name in {"pattern", "alphabet", "prefix", "template", "code"} - own:
                with self.subTest(kind=kind, name=name):
                    self.refused(f"/codes/{name}", f"of kind {kind}", kind, 10, {name: "x"})

    def test_a_missing_field_of_a_kind_is_named(self) -> None:
        self.refused("/codes/template", "is missing", "personal", 10, {})
        self.refused("/codes/code", "is missing", "shared", 10, {})
        self.refused("/total_count", "is missing", "unique", None, {})

    def test_only_unique_codes_need_a_total(self) -> None:
        self.assertEqual(code_kinds.make("imported", None, {}).kind, "imported")
        self.assertEqual(code_kinds.make("personal", None, {"template": "{user}"}).kind, "personal")
        self.assertEqual(code_kinds.make("shared", None, {"code": "SALE"}).kind, "shared")

    def test_a_shared_code_that_a_reader_cannot_see_is_refused(self) -> None:
        for code in ("-", " – —", "\u200b", "\u00ad-\u00a0"):
            with self.subTest(repr(code)):
                self.refused("/codes/code", "only spaces and dashes", "shared", None, {"code": code})

    def test_a_pattern_with_too_little_room_is_refused_at_the_pattern(self) -> None:
        self.refused("/codes/pattern", "does not fit", "unique", 1000, {"pattern": "###"})
        self.refused("/codes/pattern", "does not fit", "unique", 1, {"pattern": "SALE"})
        self.refused("/codes/pattern", "does not fit", "unique", 1, {"alphabet": "AB", "pattern": "#########"})

    def test_letters_that_a_reader_cannot_tell_apart_are_refused(self) -> None:
        for alphabet in ("aA", "ABCDEb", "AA", "AＡ", "e\u0301É\u0301E"):
            with self.subTest(alphabet):
                self.refused("/codes/alphabet", "count as equal", "unique", 1, {"alphabet": alphabet})

    def test_an_unknown_placeholder_is_refused(self) -> None:
        for template in ("{nick}", "{}", "{User}", "{user", "user}", "{{user}}", "{user}{ id }", "{seq:04}"):
            with self.subTest(template):
                self.refused("/codes/template", "placeholder other than", "personal", None, {"template": template})

    def test_a_template_that_is_the_same_for_all_users_is_refused(self) -> None:
        for template in ("SALE", "{brand}", "{brand}-{brand}", "{discount}-{brand}", "user-seq-id-random"):
            with self.subTest(template):
                self.refused("/codes/template", "must differ", "personal", None, {"template": template})

    def test_a_number_may_appear_only_once(self) -> None:
        self.refused("/codes/template", "{seq} twice", "personal", None, {"template": "{seq}-{user}-{seq}"})


class Space(unittest.TestCase):
    def test_the_refusal_names_the_figures(self) -> None:
        with self.assertRaises(Invalid) as caught:
            code_kinds.check_space(5000, "AB-####", code_sequence.ALPHABET)
        self.assertEqual(
            caught.exception.detail,
            "/total_count does not fit: AB-#### gives 923,521 codes, and with 5,000 made one guess in 184 would be"
            " right; at most one in 1,000 may.",
        )

    def test_a_total_beyond_the_code_space_makes_every_guess_a_hit(self) -> None:
        with self.assertRaises(Invalid) as caught:
            code_kinds.check_space(1_000_000, "##", "0123456789", "/codes/pattern")
        self.assertEqual(caught.exception.facts["errors"][0]["pointer"], "/codes/pattern")
        self.assertIn("gives 100 codes, and with 1,000,000 made one guess in 1 would be", caught.exception.detail)

    def test_at_most_one_guess_in_a_thousand_is_a_code(self) -> None:
        code_kinds.check_space(10, "####", "0123456789")
        with self.assertRaises(Invalid):
            code_kinds.check_space(11, "####", "0123456789")

    def test_the_usual_pattern_has_room_for_the_largest_total(self) -> None:
        self.assertGreater(SPACE, 100_000_000 * code_kinds.GUESSES)
        self.assertEqual(code_kinds.unique(100_000_000).pattern, "####-####-####")

    @given(total=st.integers(1, 10**8), letters=st.integers(0, 12), size=st.integers(2, 36))
    def test_accepted_codes_cannot_be_guessed(self, total: int, letters: int, size: int) -> None:
        alphabet = (string.ascii_uppercase + string.digits)[:size]
        try:
            kind = code_kinds.unique(total, "#" * letters + "-x", alphabet)
        except Invalid:
            self.assertLess(size**letters / total, code_kinds.GUESSES)
        else:
            self.assertGreaterEqual(
                code_sequence.Sequence(code_sequence.make_key(), kind.pattern, kind.alphabet).size / total, 1000
            )


class Unique(unittest.TestCase):
    def test_without_arguments_the_default_pattern_and_alphabet_are_used(self) -> None:
        self.assertEqual(
            code_kinds.make("unique", 5, {}),
            CodeKind("unique", pattern=code_sequence.PATTERN, alphabet=code_sequence.ALPHABET),
        )

    def test_the_prefix_precedes_the_pattern(self) -> None:
        self.assertEqual(code_kinds.make("unique", 5, {"prefix": "IKEA-"}).pattern, "IKEA-####-####-####")
        self.assertEqual(code_kinds.make("unique", 5, {"prefix": "X", "pattern": "########"}).pattern, "X########")

    def test_a_pattern_character_in_the_prefix_is_literal(self) -> None:
        self.assertEqual(code_kinds.unique(5, "########", prefix="#1-").pattern, "1-########")

    def test_an_alphabet_is_kept_as_it_was_given(self) -> None:
        self.assertEqual(code_kinds.make("unique", 5, {"alphabet": "ZYX987"}).alphabet, "ZYX987")


class Stored(unittest.TestCase):
    def test_every_kind_survives_storing_and_reading(self) -> None:
        for kind in (
            code_kinds.unique(3, prefix="A-"),
            CodeKind("imported"),
            code_kinds.personal("{user}-no{seq}"),
            CodeKind("shared", code="SALE"),
        ):
            with self.subTest(kind.kind):
                stored = kind.fields()
                self.assertNotIn("", stored.values())
                self.assertEqual(code_kinds.kind_of({"brand": "IKEA", "total": "3"} | stored), kind)


def code_of(template: str, number: int, user: str, brand: str = "IKEA") -> str:
    """Return the code of a numbered grant, as the script makes it."""
    [code] = code_kinds.candidates(CodeKind("personal", template=template), brand, user)
    return code.replace("{seq}", str(number))


# Text in which a number can get lost: digits, what reads as a digit, what is dropped, what joins.
PIECES = st.text(alphabet="ax1-_ ²½٣\u0301\u200bｘ１", max_size=3)
PLACEHOLDERS = st.sampled_from(["{brand}", "{user}", "{name}", "{random}"])
TEMPLATES = st.tuples(
    st.lists(PIECES | st.just("seq") | PLACEHOLDERS, max_size=4).map("".join),
    st.lists(PIECES | PLACEHOLDERS, max_size=4).map("".join),
).map("{seq}".join)
NAMES = st.text(alphabet="ax1-", min_size=1, max_size=4)
RANDOM = st.text(alphabet="a1", min_size=8, max_size=8)


class Numbers(unittest.TestCase):
    def test_a_number_that_can_be_read_back_is_accepted(self) -> None:
        for template in (
            "{seq}",
            "SALE-{seq}",
            "SALE2020-{seq}",
            "{seq}-2020",
            "{brand}{seq}",
            "{brand}-{seq}x{user}",
            "{user}x{seq}",
            "{user}-no{seq}",
            "{user}-no{seq}-",
            "{user}.{seq}.{brand}",
            "{random}n{seq}x",
            "{user}{seq}{id}",
        ):
            with self.subTest(template):
                self.assertEqual(code_kinds.personal(template), CodeKind("personal", template=template))

    def test_a_number_next_to_a_possible_digit_is_refused(self) -> None:
        for template in (
            "{user}{seq}",
            "{brand}seq{user}{seq}",
            "{user}-{seq}",
            "{user} – {seq}",
            "{user}1{seq}",
            "{user}x1-{seq}",
            "{user}１{seq}",
            "{user}²{seq}",
            "{user}x{seq}{brand}",
            "{user}x{seq}1{brand}",
            "{user}x{seq}x{user}",
            "{random}{seq}",
            "{seq}{user}",
            "{seq}-{user}",
            "{seq}1{user}",
            "{seq}½{user}",
            "{seq}{random}",
            "{seq}{brand}{user}",
        ):
            with self.subTest(template), self.assertRaises(Invalid) as caught:
                code_kinds.personal(template)
            [error] = caught.exception.facts["errors"]
            self.assertEqual(error["pointer"], "/codes/template")
            self.assertIn("beside text that could be part of the number", error["detail"])

    def test_refused_templates_would_give_two_users_one_code(self) -> None:
        self.assertEqual(canonical(code_of("{user}-{seq}", 11, "a")), canonical(code_of("{user}-{seq}", 1, "a1")))
        self.assertEqual(canonical(code_of("{seq}-{user}", 1, "1a")), canonical(code_of("{seq}-{user}", 11, "a")))

    @given(
        template=TEMPLATES,
        brand=NAMES,
        users=st.tuples(NAMES, NAMES),
        numbers=st.lists(st.integers(1, 20) | st.integers(1, 10**8), min_size=2, max_size=2, unique=True),
        random=st.tuples(RANDOM, RANDOM),
    )
    @example(template="{user}x{seq}", brand="a", users=("ax1", "a"), numbers=[1, 11], random=("", ""))
    @example(template="{seq}x{user}", brand="a", users=("x1", "1x"), numbers=[1, 11], random=("", ""))
    def test_two_numbers_never_give_the_same_code_for_any_users(
        self, template: str, brand: str, users: tuple[str, str], numbers: list[int], random: tuple[str, str]
    ) -> None:
        try:
            code_kinds.personal(template)
        except Invalid:
            assume(False)
        both = []
        for user, number, letters in zip(users, numbers, random, strict=True):
            with mock.patch.object(code_kinds, "_random", return_value=letters):
                both.append(canonical(code_of(template, number, user, brand)))
        self.assertNotEqual(*both)


class Candidates(unittest.TestCase):
    def codes(self, template: str, user: str = "User 1", brand: str = "IKEA") -> list[str]:
        return code_kinds.candidates(code_kinds.personal(template), brand, user)

    def test_the_plain_code_comes_first_then_numbers_then_random_letters(self) -> None:
        plain, second, third, last = self.codes("{brand}-thinks-{user}-is-awesome", "Ann")
        self.assertEqual(plain, "ikea-thinks-ann-is-awesome")
        self.assertEqual((second, third), (f"{plain}-2", f"{plain}-3"))
        self.assertRegex(last, rf"^{plain}-[2-9a-hjkmnp-z]{{8}}$")

    def test_a_code_contains_the_name_as_written_and_the_discount_id(self) -> None:
        kind = code_kinds.personal("{brand}-thinks-{name}-is-awesome-{discount}")
        for name, written in {
            "Stina Åkerman": "Stina Åkerman",
            "": "user.7",
            "{seq} {id}": "seq id",
            " -- ": "user.7",
            "x" * 50: "x" * code_kinds.SLUG_LETTERS,
        }.items():
            with self.subTest(name):
                plain, second, *_ = code_kinds.candidates(kind, "IKEA", "user.7", discount_id="dsc-1Ab", name=name)
                self.assertEqual(plain, f"ikea-thinks-{written}-is-awesome-dsc-1Ab")
                self.assertEqual(second, f"{plain}-2")

    def test_the_last_candidate_is_another_at_each_try(self) -> None:
        self.assertEqual(len({self.codes("{user}")[-1] for _ in range(50)}), 50)

    def test_random_letters_are_new_in_each_candidate(self) -> None:
        found = self.codes("{user}-{random}", "Ann")
        self.assertEqual(len(set(found)), code_kinds.CANDIDATES)
        for code in found:
            self.assertRegex(code, r"^ann-[2-9a-hjkmnp-z]{8}$")

    def test_a_template_that_always_differs_gives_one(self) -> None:
        self.assertEqual(self.codes("{brand}.{user}.{seq}"), ["ikea.user-1.{seq}"])
        [one], [other] = self.codes("{user}-{id}"), self.codes("{user}-{id}")
        self.assertRegex(one, r"^user-1-[2-9A-HJ-NP-Za-km-z]{22}$")
        self.assertNotEqual(canonical(one), canonical(other))

    def test_always_differing_is_known_from_the_template(self) -> None:
        answers = {
            template: code_kinds.always_differs(code_kinds.personal(template))
            for template in ("{user}", "{random}", "{user}x{seq}", "{id}", "{brand}{random}{id}")
        }
        self.assertEqual(list(answers.values()), [False, False, True, True, True])

    def test_text_beside_placeholders_is_kept_unchanged(self) -> None:
        self.assertEqual(self.codes("50% %s \\1 $& {user} Ÿ")[0], "50% %s \\1 $& user-1 Ÿ")

    def test_names_of_any_script_become_plain_letters(self) -> None:
        for name, slug in UNICODE_NAMES.items():
            with self.subTest(name):
                self.assertEqual(self.codes("{user}", name)[0], slug)
                self.assertEqual(self.codes("{brand}+{user}", "x", name)[0], f"{slug}+x")

    def test_names_without_a_letter_fall_back(self) -> None:
        for name in UNNAMED:
            with self.subTest(repr(name)):
                self.assertEqual(self.codes("{brand}+{user}", name, name)[0], "brand+user")

    def test_long_names_are_cut(self) -> None:
        self.assertEqual(self.codes("{user}", "a" * 128)[0], "a" * code_kinds.SLUG_LETTERS)

    @given(user=st.text(min_size=1, max_size=128))
    def test_any_name_is_letters_digits_and_dashes(self, user: str) -> None:
        first = self.codes("{user}", user)[0]
        self.assertRegex(first, r"^[a-z0-9]+(-[a-z0-9]+)*$")
        self.assertLessEqual(len(first), code_kinds.SLUG_LETTERS)

    @given(user=st.text(max_size=20), template=st.sampled_from(["{user}", "{random}", "{brand}{user}-{random}"]))
    def test_candidates_of_one_grant_all_read_differently(self, user: str, template: str) -> None:
        self.assertEqual(len(set(map(canonical, self.codes(template, user)))), code_kinds.CANDIDATES)


class Digest(unittest.TestCase):
    def test_codes_that_read_the_same_have_the_same_canonical_form(self) -> None:
        for one, other in (
            ("AB-12", "ab12"),
            ("AB-12", " a b–1—2 "),
            ("AB-12", "ＡＢ－１２"),
            ("CAF\u00c9", "cafe\u0301"),
            ("\u1ebf", "e\u0302\u0301"),
            ("straße", "STRASSE"),
            ("A\u200bB", "AB"),
        ):
            with self.subTest(one):
                self.assertEqual(code_kinds.digest(one), code_kinds.digest(other))

    def test_codes_that_read_differently_have_different_canonical_forms(self) -> None:
        for one, other in (("CAFÉ", "CAFE"), ("AB12", "AB21"), ("A.B", "AB"), ("A_B", "AB"), ("O0", "00")):
            with self.subTest(one):
                self.assertNotEqual(code_kinds.digest(one), code_kinds.digest(other))

    def test_the_digest_of_a_code_never_changes(self) -> None:
        # Sets of them are stored: another digest would let what is there come again.
        self.assertEqual(code_kinds.digest("AB-12"), 7304167433250151657)

    @given(st.text(max_size=64))
    def test_the_digest_of_any_code_fits_into_eight_bytes(self, code: str) -> None:
        self.assertTrue(0 <= code_kinds.digest(code) < 2**63)

    @given(st.text(alphabet="aB1éß- ", max_size=12))
    def test_case_spaces_and_dashes_do_not_matter(self, code: str) -> None:
        for typed in (code.upper(), code.lower(), code.replace("-", "–"), code.replace(" ", ""), f" {code}-"):
            self.assertEqual(code_kinds.digest(typed), code_kinds.digest(code))
