"""Codes made by a keyed permutation of a counter: they never repeat, and none reveals another.

A pattern's `#` signs span a space of `len(alphabet) ** n` codes. Counter i becomes code number P(i) of that space,
where P is a Feistel network over two halves with modular addition and AES as the round function, as in the FF1 mode of
NIST SP 800-38G. P is a bijection whatever the round function gives, so codes cannot repeat. It can be inverted, so a
typed code can be checked without a look-up.

AES takes the halves of a whole block of codes at once. Halves that do not fit into its input have keyed BLAKE2b (RFC
7693) as the round function, as have keys that were made before AES was used.
"""

import hashlib
import re
import secrets
import struct
import unicodedata
from functools import lru_cache
from itertools import accumulate, chain, repeat
from operator import itemgetter

from cryptography.hazmat.primitives.ciphers import Cipher, CipherContext, algorithms, modes

# Without I, L, O, 0 and 1, which are easily confused.
ALPHABET = "23456789ABCDEFGHJKMNPQRSTUVWXYZ"
PATTERN = "####-####-####"
ROUNDS = 10  # as in FF1
# Bytes of a half and of the number that a round adds. Half a code of 51 signs or more needs more than sixteen bytes.
# Shorter codes stay at sixteen, so that existing discounts continue the same sequence.
_WIDTH, _WIDE = 16, 32
# The beginning of keys whose round function is AES, and the bits of the largest half for which it is. What a round adds
# to a half of at most 40 bits has 64 bits, so no letter is more frequent than another by more than 2 ** -24.
_AES, _AES_BITS, _FEW_BITS = "aes:", 64, 40


def make_key() -> str:
    """Return a new secret for one discount's sequence: `aes:` and 32 hex digits."""
    return _AES + secrets.token_hex(16)


def canonical(code: str) -> str:
    """Return the form in which codes are compared: NFKC, case-folded, without spaces and dashes. Other signs count."""
    if code.isascii():
        # The normal form of ASCII is the text itself. Dashes go with the blanks.
        return "".join(code.replace("-", " ").split()).lower()
    plain = unicodedata.normalize("NFKC", code)
    kept = "".join(c for c in plain if not c.isspace() and c not in _DASHES and unicodedata.category(c) not in _DROPPED)
    # Dropping characters may let others combine, and case folding may undo the normal form.
    return unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", kept).casefold())


# Unicode's dashes: all of category Pd, and two more. Characters of category Cf are invisible.
_DROPPED = ("Pd", "Cf")
_DASHES = "\u2212\u2053"


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
        key: as `make_key` made it, stored with the discount; earlier ones are 32 hex digits alone.
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
        secret = bytes.fromhex(key.removeprefix(_AES))
        self._aes: CipherContext | None = None
        largest = max(self._left, self._right)
        self._is_short = largest <= 1 << _FEW_BITS
        if key.startswith(_AES) and largest <= 1 << _AES_BITS:
            # Each block has one input of the pseudorandom function, so no two blocks are equal.
            self._aes = Cipher(algorithms.AES(secret), modes.ECB()).encryptor()  # noqa: S305
        self._rounds = [
            hashlib.blake2b(digest_size=self._width, key=secret, person=b"code%d" % number, salt=b"%d" % self.letters)
            for number in range(0 if self._aes else ROUNDS)
        ]
        # A %-template is prepared once, with a place for each run of letters.
        runs = [len(run) for run in re.findall("#+", pattern)]
        ends = [*accumulate(runs)]
        self._template = re.sub("#+", "%s", pattern.replace("%", "%%"))
        self._runs = itemgetter(*(slice(end - run, end) for run, end in zip(runs, ends, strict=True)))

    @property
    def size(self) -> int:
        """The number of codes that the pattern can give."""
        return self._left * self._right

    def _steps(self, number: int, halves: list[int]) -> list[int]:
        """Return what a round adds for each of some halves."""
        if self._aes is None:
            hashes = [self._rounds[number].copy() for _ in halves]
            for hashed, half in zip(hashes, halves, strict=True):
                hashed.update(half.to_bytes(self._width, "big"))
            return [int.from_bytes(hashed.digest(), "big") for hashed in hashes]
        form = struct.Struct(f">{2 * len(halves)}Q")
        # The number of the round and of the letters, then the half.
        blocks = form.pack(*chain.from_iterable(zip(repeat(number << 8 | self.letters), halves)))
        words = form.unpack(self._aes.update(blocks))
        if self._is_short:
            return list(words[::2])
        return [high << 64 | low for high, low in zip(words[::2], words[1::2], strict=True)]

    def _permute(self, counters: list[int]) -> tuple[list[int], list[int]]:
        lefts = [counter // self._right for counter in counters]
        rights = [counter % self._right for counter in counters]
        for number in range(0, ROUNDS, 2):
            lefts = [(left + more) % self._left for left, more in zip(lefts, self._steps(number, rights), strict=True)]
            more_right = self._steps(number + 1, lefts)
            rights = [(right + more) % self._right for right, more in zip(rights, more_right, strict=True)]
        return lefts, rights

    def code(self, counter: int) -> str:
        """Return the code of one counter, from 0 to size - 1."""
        return self.codes(counter, 1)[0]

    def codes(self, start: int, count: int) -> list[str]:
        """Return `count` codes, from the counter `start` on."""
        lefts, rights = self._permute(list(range(start, start + count)))
        letters = [*self._columns(lefts, self._left_letters), *self._columns(rights, self._right_letters)]
        return [self._template % self._runs(text) for text in map("".join, zip(*letters, strict=True))]

    def _columns(self, values: list[int], letters: int) -> list[list[str]]:
        """Return the columns of text that spell some values: each has the same letters of all of them."""
        columns = []
        while letters > 0:
            size = min(3, letters)
            groups = _groups(self.alphabet, size)
            columns.append([groups[value % len(groups)] for value in values])
            values = [value // len(groups) for value in values]
            letters -= size
        return columns[::-1]

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
            right = (right - self._steps(number + 1, [left])[0]) % self._right
            left = (left - self._steps(number, [right])[0]) % self._left
        return left * self._right + right
