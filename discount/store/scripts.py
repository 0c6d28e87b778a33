"""The Lua scripts: read from `lua/`, checked against their headers, told apart by name.

A script's header is what its body sees: the names after KEYS and ARGV become local variables, so the header cannot
drift from the code. The words after OK and ERR are the only answers that the script may give. What stands after WITH
are files of `lua/with/`, functions that several scripts share. With `guard`, the script runs inside of its function.
COST is a sentence: the most work that one call does.
"""

import hashlib
import re
from dataclasses import dataclass
from importlib import resources

#: Scripts that write nothing: a full Redis runs them too.
READING = ("left", "waiting")
_COST = re.compile(r"--- COST\s+(.+)")
_LINE = re.compile(r"--- (KEYS|ARGV|WITH|OK|ERR)\s*(.*)")
_LUA = resources.files(__package__) / "lua"

# The Redis server's clock, as sixteen digits of microseconds: no replica's clock is ever asked. It is looked at once.
_PRELUDE = (
    "local clock local function now() if not clock then local t = redis.call('TIME') "
    "clock = t[1] .. string.format('%06d', t[2]) end return clock end "
)


@dataclass(frozen=True, slots=True)
class Script:
    """One script. `source` runs anywhere; `shebang_source` is for servers that refuse a script whole when full."""

    name: str
    purpose: str
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    answers: frozenset[str]
    refusals: frozenset[str]
    guarded: bool
    source: str
    #: The most work that one call does, in a sentence.
    cost: str = ""

    @property
    def shebang_source(self) -> str:
        return ("#!lua flags=no-writes\n" if self.name in READING else "#!lua\n") + self.source

    @property
    def digests(self) -> tuple[str, str]:
        """SHA-1 of the plain source and of the one with the first line that Redis 7 knows."""
        return _sha1(self.source), _sha1(self.shebang_source)


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _bind(table: str, names: tuple[str, ...]) -> str:
    """Local variables for what a script is given; a last name with three dots is the list of all the rest."""
    return "".join(
        f"local {name[:-3]} = {{unpack({table}, {i})}} " if name.endswith("...") else f"local {name} = {table}[{i}] "
        for i, name in enumerate(names, 1)
    )


def parse(name: str, text: str) -> Script:
    """A script from its file's text.

    Raises:
        ValueError: the header is not whole, or names something twice.
    """
    lines = text.splitlines()
    header, count = _header(lines)
    has_purpose = bool(lines) and lines[0].startswith("--- ") and not _LINE.fullmatch(lines[0])
    shared = header.pop("WITH", ())
    if count != 4 + bool(shared) or set(header) != {"KEYS", "ARGV", "OK", "ERR"} or not has_purpose:
        raise ValueError(f"{name}.lua: the header needs a purpose, KEYS, ARGV, OK and ERR, once each")
    if set(header["OK"]) & set(header["ERR"]):
        raise ValueError(f"{name}.lua: a word stands in both OK and ERR")
    functions = ""
    for each in shared:
        own = (_LUA / "with" / f"{each}.lua").read_text(encoding="utf-8").splitlines()
        # What the shared functions are given comes first: a script's own list may end in "all the rest".
        header = {part: _header(own)[0].get(part, ()) + names for part, names in header.items()}
        functions += " ".join(line.strip() for line in own if not line.startswith("--")) + " "
    names = header["KEYS"] + header["ARGV"]
    if len(set(names)) != len(names):
        raise ValueError(f"{name}.lua: a name stands twice in KEYS and ARGV")
    guarded = "guard" in shared
    # One line before the file's first, so that a line number in an error of Redis is the file's own, plus one.
    before = _PRELUDE + _bind("KEYS", header["KEYS"]) + _bind("ARGV", header["ARGV"]) + functions
    return Script(
        name=name,
        purpose=lines[0][4:],
        keys=header["KEYS"],
        arguments=header["ARGV"],
        answers=frozenset(header["OK"]),
        refusals=frozenset(header["ERR"]),
        guarded=guarded,
        source=f"{before}return guarded(function()\n{text}\nend)" if guarded else f"{before}\n{text}",
        cost=next((cost[1] for cost in map(_COST.fullmatch, lines) if cost), ""),
    )


def _header(lines: list[str]) -> tuple[dict[str, tuple[str, ...]], int]:
    """The parts of a header, and how many lines name one."""
    parts = [match for match in map(_LINE.fullmatch, lines) if match]
    return {part[1]: tuple(part[2].split()) for part in parts}, len(parts)


def _load() -> dict[str, Script]:
    files = sorted((file for file in _LUA.iterdir() if file.name.endswith(".lua")), key=lambda file: file.name)
    return {file.name[:-4]: parse(file.name[:-4], file.read_text(encoding="utf-8")) for file in files}


SCRIPTS = _load()
