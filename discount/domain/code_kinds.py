"""The four kinds of code: what a brand may ask for, and how a code of each comes to be."""

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

#: A pattern is refused if more than one guess in this many would be a code that was made.
GUESSES = 1000
#: A name in a personal code is cut at this many letters.
SLUG_LETTERS = 40
#: Codes tried for one grant before its script gives up: the plain one, then numbered, then one with random letters.
CANDIDATES = 4
_PLACEHOLDER = re.compile(r"\{(brand|user|name|discount|id|seq|random)\}")
_VARIABLE = ("user", "name", "random")
_SAME_FOR_ALL = {"brand", "discount"}


@dataclass(frozen=True, slots=True)
class CodeKind:
    """How the codes of a discount are made. Fields that do not belong to the kind are empty."""

    kind: Kind = "unique"
    pattern: str = ""
    alphabet: str = ""
    template: str = ""
    code: str = ""

    def fields(self) -> dict[str, str]:
        """What is stored with the discount."""
        return {name: value for name, value in asdict(self).items() if value}


def kind_of(fields: Mapping[str, str]) -> CodeKind:
    """The kind that was stored with a discount."""
    return CodeKind(**{name: fields[name] for name in CodeKind.__slots__ if fields.get(name)})  # type: ignore[arg-type]


def make(kind: Kind, total_count: int | None, given: Mapping[str, str]) -> CodeKind:
    """A kind from what a brand asks for: pattern, alphabet and prefix, a template, or the shared code.

    Raises:
        Invalid: something given does not belong to the kind, something needed is missing, or what the kind refuses.
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
        raise Invalid("/codes/code", "has nothing but blanks and dashes")
    return CodeKind("shared", code=given[needed])


_GIVEN: dict[Kind, tuple[str, ...]] = {
    "unique": ("pattern", "alphabet", "prefix"),
    "imported": (),
    "personal": ("template",),
    "shared": ("code",),
}


def unique(total_count: int, pattern: str | None = None, alphabet: str | None = None, prefix: str = "") -> CodeKind:
    """Codes of a pattern.

    Raises:
        Invalid: letters of the alphabet are alike, the pattern has no room, or its codes could be guessed.
    """
    letters = alphabet or code_sequence.ALPHABET
    if len({code_sequence.canonical(letter) for letter in letters}) < len(letters):
        raise Invalid("/codes/alphabet", "has two letters that are the same to a reader, as a and A are")
    whole = prefix.replace("#", "") + (pattern or code_sequence.PATTERN)
    check_space(total_count, whole, letters, "/codes/pattern")
    return CodeKind("unique", pattern=whole, alphabet=letters)


def check_space(total_count: int, pattern: str, alphabet: str, field: str = "/total_count") -> None:
    """Whether a pattern has room for that many codes that cannot be guessed.

    Raises:
        Invalid: with the figures.
    """
    space = len(alphabet) ** pattern.count("#")
    if space < total_count * GUESSES:
        raise Invalid(
            field,
            f"does not fit: {pattern} gives {space:,} codes, and with {total_count:,} made one guess in"
            f" {max(1, space // total_count):,} would be right; at most one in {GUESSES:,} may",
        )


def personal(template: str) -> CodeKind:
    """Codes made at the grant from a template.

    Raises:
        Invalid: a placeholder is unknown, nothing in the template differs from user to user, or {seq} could run into
            letters beside it, so that two users' codes would read the same.
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
        raise Invalid("/codes/template", "puts {seq} where it cannot be told from what stands beside it")
    return CodeKind("personal", template=template)


def _readable_number(parts: Sequence[str]) -> bool:
    """Whether the number can be read back out of any code, dashes dropped: then no two grants' codes are the same."""
    # Every second part is a name; a text between them may also be `seq`.
    place = 1 + 2 * parts[1::2].index("seq")
    before, after = parts[:place], parts[place + 1 :]
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
    """A name as it stands in a code: whole letters, no braces, no longer than a name may be; it may be empty."""
    return re.sub("[{}]", "", text)[:SLUG_LETTERS].strip()


def needs_name(kind: CodeKind) -> bool:
    """Whether a user's code has the user's name in it."""
    return "{name}" in kind.template


def candidates(kind: CodeKind, brand_id: str, user_id: str, *, discount_id: str = "", name: str = "") -> list[str]:
    """Codes that a user could be given, the nicest first; `{seq}` still stands where the script puts the number.

    A template with {id} or {seq} gives one, which nobody else can be given.

    Args:
        name: what the brand calls the user; empty where it does not say.
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
    """Whether two grants can never get the same code, so that nothing needs to be remembered."""
    return "{id}" in kind.template or "{seq}" in kind.template


def _random(letters: int) -> str:
    return "".join(secrets.choice(code_sequence.ALPHABET) for _ in range(letters)).lower()


def digest(code: str) -> int:
    """63 bits of a code's canonical form: what is remembered of a code that must not come again.

    Two different codes among a million have the same with a chance of one in 18 million.
    """
    return int.from_bytes(blake2b(code_sequence.canonical(code).encode(), digest_size=8).digest(), "big") >> 1
