"""The four kinds of code: what a brand may choose, and how codes of each kind are made."""

import re
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import lru_cache
from hashlib import blake2b
from typing import Literal

import shortuuid
from slugify import slugify

from discount.domain import code_sequence
from discount.domain.errors import Invalid

Kind = Literal["unique", "imported", "personal", "shared"]

#: A pattern is refused if more than one guess in this many would be a real code.
GUESSES = 1000
#: The most letters of a name in a personal code.
SLUG_LETTERS = 40
#: Codes tried for one grant: the plain one, then numbered ones, then one with random letters.
CANDIDATES = 4
_PLACEHOLDER = re.compile(r"\{(brand|user|name|discount|id|seq|random)\}")
_VARIABLE = ("user", "name", "random")
_SAME_FOR_ALL = {"brand", "discount"}


@dataclass(frozen=True, slots=True)
class CodeKind:
    """The kind of a discount's codes and its options. Fields of other kinds are empty."""

    kind: Kind = "unique"
    pattern: str = ""
    alphabet: str = ""
    template: str = ""
    code: str = ""

    def fields(self) -> dict[str, str]:
        """Return the fields that are stored with the discount."""
        return {name: value for name, value in asdict(self).items() if value}


def kind_of(fields: Mapping[str, str]) -> CodeKind:
    """Return the kind that was stored with a discount."""
    return CodeKind(**{name: fields[name] for name in CodeKind.__slots__ if fields.get(name)})  # type: ignore[arg-type]


def make(kind: Kind, total_count: int | None, given: Mapping[str, str]) -> CodeKind:
    """Return a kind from the fields of a request: pattern, alphabet and prefix, a template, or the shared code.

    Raises:
        Invalid: a field belongs to another kind, is missing, or has a value that the kind refuses.
    """
    for name in given:
        if name not in _GIVEN[kind]:
            raise Invalid(f"/codes/{name}", f"does not belong to codes of kind {kind}")
    if kind == "unique":
        if total_count is None:
            raise Invalid("/total_count", "is missing")
        return unique(total_count, **given)
    if kind == "imported":
        return CodeKind("imported")
    needed = _GIVEN[kind][0]
    if needed not in given:
        raise Invalid(f"/codes/{needed}", "is missing")
    if kind == "personal":
        return personal(given[needed])
    if not code_sequence.canonical(given[needed]):
        raise Invalid("/codes/code", "has only spaces and dashes")
    return CodeKind("shared", code=given[needed])


_GIVEN: dict[Kind, tuple[str, ...]] = {
    "unique": ("pattern", "alphabet", "prefix"),
    "imported": (),
    "personal": ("template",),
    "shared": ("code",),
}


def unique(total_count: int, pattern: str | None = None, alphabet: str | None = None, prefix: str = "") -> CodeKind:
    """Return the kind of codes made from a pattern.

    Raises:
        Invalid: two letters of the alphabet are equal in canonical form, or the codes could be guessed.
    """
    letters = alphabet or code_sequence.ALPHABET
    if len({code_sequence.canonical(letter) for letter in letters}) < len(letters):
        raise Invalid("/codes/alphabet", "has two letters that count as equal, such as a and A")
    whole = prefix.replace("#", "") + (pattern or code_sequence.PATTERN)
    check_space(total_count, whole, letters, "/codes/pattern")
    return CodeKind("unique", pattern=whole, alphabet=letters)


def check_space(total_count: int, pattern: str, alphabet: str, field: str = "/total_count") -> None:
    """Refuse a pattern that is too short for that many codes, because codes could be guessed.

    Raises:
        Invalid: with the figures in its detail.
    """
    space = len(alphabet) ** pattern.count("#")
    if space < total_count * GUESSES:
        raise Invalid(
            field,
            f"does not fit: {pattern} gives {space:,} codes, and with {total_count:,} made one guess in"
            f" {max(1, space // total_count):,} would be right; at most one in {GUESSES:,} may",
        )


def personal(template: str) -> CodeKind:
    """Return the kind of codes made from a template at the grant.

    Raises:
        Invalid: a placeholder is unknown, no placeholder differs from user to user, or the text beside {seq} is
            ambiguous, so that two users could get equal codes.
    """
    rest = _PLACEHOLDER.sub("", template)
    if "{" in rest or "}" in rest:
        raise Invalid(
            "/codes/template",
            "has a placeholder other than {brand}, {user}, {name}, {discount}, {id}, {seq} and {random}",
        )
    parts = _PLACEHOLDER.split(template)
    names = parts[1::2]
    if not set(names) - _SAME_FOR_ALL:
        raise Invalid("/codes/template", "needs {user}, {name}, {id}, {seq} or {random}: users' codes must differ")
    if names.count("seq") > 1:
        raise Invalid("/codes/template", "has {seq} twice")
    if "seq" in names and "id" not in names and not _readable_number(parts):
        raise Invalid("/codes/template", "has {seq} beside text that could be part of the number; put a letter between")
    return CodeKind("personal", template=template)


def _readable_number(parts: Sequence[str]) -> bool:
    """Return whether the number can be read back from any code without dashes: then no two codes are equal."""
    # Every second part is a name; a text between them may also be `seq`.
    position = 1 + 2 * parts[1::2].index("seq")
    before, after = parts[:position], parts[position + 1 :]
    left, right = code_sequence.canonical(before[-1])[-1:], code_sequence.canonical(after[0])[:1]
    if any(name in _VARIABLE for name in before[1::2]):
        if any(name in _VARIABLE for name in after[1::2]):
            return False
        return bool(left) and not left.isdigit() and (bool(right) or len(after) == 1) and not right.isdigit()
    return (bool(right) and not right.isdigit()) or len(after) == 1


@lru_cache(maxsize=4096)
def _slug(text: str, fallback: str) -> str:
    return slugify(text, max_length=SLUG_LETTERS, word_boundary=False) or fallback


def as_written(text: str) -> str:
    """Return a name as a code contains it: without braces, and cut to SLUG_LETTERS; it may be empty."""
    return re.sub("[{}]", "", text)[:SLUG_LETTERS].strip()


def needs_name(kind: CodeKind) -> bool:
    """Return whether codes of this kind contain the user's name."""
    return "{name}" in kind.template


def candidates(kind: CodeKind, brand_id: str, user_id: str, *, discount_id: str = "", name: str = "") -> list[str]:
    """Return codes to try for a user, the plainest first. The script replaces `{seq}` with the number.

    A template with {id} or {seq} gives a single code, because it cannot be taken.

    Args:
        name: the brand's name for the user; empty if there is none.
    """
    values = {
        "brand": _slug(brand_id, "brand"),
        "user": _slug(user_id, "user"),
        "name": next((each for each in map(as_written, (name, user_id)) if code_sequence.canonical(each)), "user"),
        "discount": discount_id,
        "id": shortuuid.uuid(),
        "seq": "{seq}",
    }

    def fill(random: str) -> str:
        return _PLACEHOLDER.sub(lambda found: random if found[1] == "random" else values[found[1]], kind.template)

    if always_differs(kind):
        return [fill(_random(8))]
    if "{random}" in kind.template:
        return [fill(_random(8)) for _ in range(CANDIDATES)]
    plain = fill("")
    numbered = [f"{plain}-{number}" for number in range(2, CANDIDATES)]
    return [plain, *numbered, f"{plain}-{_random(8)}"]


def always_differs(kind: CodeKind) -> bool:
    """Return whether codes of this kind can never be equal, so that digests of them need not be stored."""
    return "{id}" in kind.template or "{seq}" in kind.template


def _random(letters: int) -> str:
    return "".join(secrets.choice(code_sequence.ALPHABET) for _ in range(letters)).lower()


def digest(code: str) -> int:
    """Return 63 bits of the hash of a code's canonical form, by which a repeated code is noticed.

    The chance that any two of a million codes collide is one in 18 million.
    """
    return int.from_bytes(blake2b(code_sequence.canonical(code).encode(), digest_size=8).digest(), "big") >> 1
