"""Codes made by a keyed permutation of a counter: they never repeat, and none reveals another.

A pattern's `#` signs span a space of `len(alphabet) ** n` codes. Counter i becomes code number P(i) of that space,
where P is a Feistel network over two halves with modular addition, as in the FF1 mode of NIST SP 800-38G, with keyed
BLAKE2b (RFC 7693) as the round function. P is a bijection whatever the round function gives, so codes cannot repeat,
and it can be inverted, so a typed code can be checked without a look-up.
"""

import hashlib
import secrets
import unicodedata
from functools import lru_cache

# Without I, L, O, 0 and 1, which are easily confused.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
PATTERN = "####-####-####"
ROUNDS = 10  # as in FF1
# Bytes of a half and of the number that a round adds. Half a code of 51 signs or more needs more than sixteen bytes.
# Shorter codes stay at sixteen, so that existing discounts continue the same sequence.
_WIDTH, _WIDE = 16, 32


def make_key() -> str:
    """Return a new secret for one discount's sequence, 32 hex digits."""
    return secrets.token_hex(16)


def canonical(code: str) -> str:
    """Return the form in which codes are compared: NFKC, case-folded, without spaces and dashes. Other signs count."""
    if code.isascii():
        return code.translate(_ASCII_DROPPED).lower()
    plain = unicodedata.normalize("NFKC", code)
    kept = "".join(c for c in plain if not c.isspace() and c not in _DASHES and unicodedata.category(c) not in _DROPPED)
    # Dropping characters may let others combine, and case folding may undo the normal form.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())


# Unicode's dashes: all of category Pd, and two more. Characters of category Cf are invisible.
_DROPPED = ("Pd", "Cf")
_DASHES = "\u2212\u2053"
# The same rule for ASCII, whose normal form is the text itself.
_ASCII_DROPPED = {ord(letter): None for letter in map(chr, range(128)) if letter == "-" or letter.isspace()}


@lru_cache(maxsize=64)
def _groups(alphabet: str, size: int) -> tuple[str, ...]:
    """Return all strings of `size` letters, in order: one look-up replaces a division for each letter."""
    strings = [""]
    for _ in range(size):
        strings = [head + letter for head in strings for letter in alphabet]
    return tuple(strings)


class Sequence:
    """The codes of one discount, by counter.

    Args:
        key: 32 hex digits, stored with the discount.
        pattern: each `#` becomes a letter of the alphabet; everything else is kept.
    """

    def __init__(self, key: str, pattern: str = PATTERN, alphabet: str = ALPHABET) -> None:
        self.pattern = pattern
        self.alphabet = alphabet
        self.letters = pattern.count("#")
        self._left_letters = self.letters // 2
        self._right_letters = self.letters - self._left_letters
        self._left = int(len(alphabet) ** self._left_letters)
        self._right = int(len(alphabet) ** self._right_letters)
        self._width = _WIDTH if max(self._left, self._right) <= 1 << 8 * _WIDTH else _WIDE
        secret = bytes.fromhex(key)
        self._rounds = [
            hashlib.blake2b(digest_size=self._width, key=secret, person=b"code%d" % number, salt=b"%d" % self.letters)
            for number in range(ROUNDS)
        ]
        # A %-template is prepared once; str.format would parse the pattern for every code.
        self._template = pattern.replace("%", "%%").replace("#", "%s")

    @property
    def size(self) -> int:
        """The number of codes that the pattern can give."""
        return self._left * self._right

    def _step(self, number: int, half: int) -> int:
        hashed = self._rounds[number].copy()
        hashed.update(half.to_bytes(self._width, "big"))
        return int.from_bytes(hashed.digest(), "big")

    def _permute(self, counter: int) -> tuple[int, int]:
        left, right = divmod(counter, self._right)
        for number in range(0, ROUNDS, 2):
            left = (left + self._step(number, right)) % self._left
            right = (right + self._step(number + 1, left)) % self._right
        return left, right

    def _text(self, value: int, letters: int) -> str:
        parts = []
        while letters > 0:
            size = min(3, letters)
            value, rest = divmod(value, len(self.alphabet) ** size)
            parts.append(_groups(self.alphabet, size)[rest])
            letters -= size
        return "".join(reversed(parts))

    def code(self, counter: int) -> str:
        """Return the code of one counter, from 0 to size - 1."""
        return self._format(*self._permute(counter))

    def _format(self, left: int, right: int) -> str:
        return self._template % (*self._text(left, self._left_letters), *self._text(right, self._right_letters))

    def codes(self, start: int, count: int) -> list[str]:
        """Return `count` codes, from the counter `start` on."""
        # The same as `code`, inlined: function calls would dominate the cost of a block.
        rounds = [(even.copy, odd.copy) for even, odd in zip(self._rounds[::2], self._rounds[1::2], strict=True)]
        number, lefts, rights, width = int.from_bytes, self._left, self._right, self._width
        found = []
        for counter in range(start, start + count):
            left, right = divmod(counter, rights)
            for copy_even, copy_odd in rounds:
                hashed = copy_even()
                hashed.update(right.to_bytes(width, "big"))
                left = (left + number(hashed.digest(), "big")) % lefts
                hashed = copy_odd()
                hashed.update(left.to_bytes(width, "big"))
                right = (right + number(hashed.digest(), "big")) % rights
            found.append(self._format(left, right))
        return found

    def counter(self, code: str) -> int | None:
        """Return the counter of a code, compared in canonical form; None if the pattern cannot have made it."""
        typed, fixed = canonical(code), canonical(self.pattern)
        if len(typed) != len(fixed):
            return None
        letters = {canonical(letter): index for index, letter in enumerate(self.alphabet)}
        value = 0
        for expected, given in zip(fixed, typed, strict=True):
            if expected == "#":
                if given not in letters:
                    return None
                value = value * len(self.alphabet) + letters[given]
            elif expected != given:
                return None
        left, right = divmod(value, self._right)
        for number in range(ROUNDS - 2, -1, -2):
            right = (right - self._step(number + 1, left)) % self._right
            left = (left - self._step(number, right)) % self._left
        return left * self._right + right
