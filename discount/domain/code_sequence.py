"""Codes made by a keyed permutation of a counter: never twice the same, not guessable from one another.

A pattern's `#` signs span a space of `len(alphabet) ** n` codes. Counter i becomes code number P(i) of that space,
where P is a Feistel network over two halves with modular addition, as in the FF1 mode of NIST SP 800-38G, with keyed
BLAKE2b (RFC 7693) as the round function. P is a bijection whatever the round function gives, so codes cannot repeat,
and it runs backwards, so a typed code shows whether it was ever made without any look-up.
"""

import hashlib
import secrets
import unicodedata
from functools import lru_cache

# No I, L, O, 0, 1: nobody should have to ask which one a letter is.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
PATTERN = "####-####-####"
ROUNDS = 10  # as in FF1
# Bytes of a half, and of what a round adds to it. Half a code of 51 signs or more has more than sixteen bytes; the
# others keep to sixteen, so that a discount that exists goes on with the codes that it began with.
_WIDTH, _WIDE = 16, 32


def make_key() -> str:
    """A new secret for one discount's sequence, 32 hex digits."""
    return secrets.token_hex(16)


def canonical(code: str) -> str:
    """What two codes are compared by: NFKC, case-folded, spaces and dashes dropped. Dots and underscores count."""
    if code.isascii():
        return code.translate(_ASCII_DROPPED).lower()
    plain = unicodedata.normalize("NFKC", code)
    kept = "".join(c for c in plain if not c.isspace() and c not in _DASHES and unicodedata.category(c) not in _DROPPED)
    # What stood apart may join now, and what is folded may come apart.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())


# Dashes have the property Dash in Unicode: all of category Pd, and two more. Those of category Cf have no shape.
_DROPPED = ("Pd", "Cf")
_DASHES = "\u2212\u2053"
# All that the general rule does to ASCII, where normal forms are the text itself.
_ASCII_DROPPED = {ord(letter): None for letter in map(chr, range(128)) if letter == "-" or letter.isspace()}


@lru_cache(maxsize=64)
def _groups(alphabet: str, size: int) -> tuple[str, ...]:
    """All strings of `size` letters, in order: number to text by one look-up instead of one division a letter."""
    strings = [""]
    for _ in range(size):
        strings = [head + letter for head in strings for letter in alphabet]
    return tuple(strings)


class Sequence:
    """The codes of one discount, by counter.

    Args:
        key: 32 hex digits, kept with the discount.
        pattern: its `#` signs become letters of the alphabet, everything else stands as it is.
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
        # "{}" per letter group would parse at every code; the pieces around the letters are cut once.
        self._template = pattern.replace("%", "%%").replace("#", "%s")

    @property
    def size(self) -> int:
        """How many codes the pattern can give."""
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
        """The code of one counter, from 0 to size - 1."""
        return self._format(*self._permute(counter))

    def _format(self, left: int, right: int) -> str:
        return self._template % (*self._text(left, self._left_letters), *self._text(right, self._right_letters))

    def codes(self, start: int, count: int) -> list[str]:
        """The codes of the counters from `start` on."""
        # As `code`, but for the calls: most of what a block costs would be calling.
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
        """The counter whose code this is, however it was typed; None if the pattern cannot have made it."""
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
