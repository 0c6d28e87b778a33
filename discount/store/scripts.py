"""The Lua scripts: read from `lua/`, with the headers that say what each takes and answers.

The names after KEYS and ARGV become the script's local variables, so the header cannot drift from the code. Each OK
line names one status that the script may answer, with the fields that follow it and its meaning. ERR names the
refusals with their fields; `domain/errors.py` says what each slug means. WITH names files of `lua/with/`: functions
that several scripts share. RUNS names other scripts: each becomes a function of that name, which takes keys and
arguments as the script does, without its guard, and returns its answer. COST bounds the work of one call. A script with
`guard` has two forms: one as its file has it, and one that runs inside the function of that file, with its keys and
arguments first.
"""

import hashlib
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources

from discount.store.answers import Answer, Status

#: Scripts that write nothing: a full Redis runs them too.
READING = ("counters", "left", "records", "waiting")
#: Scripts that have a form in which they run again as in the past: those that add entries of discounts to the outbox.
REPLAYED = ("change", "close", "confirm", "create", "grant", "import", "move_in", "redeem", "revoke", "rollback")
#: What a script takes for a user who was judged. The identity that it claims may follow.
JUDGED = "judged"
#: Run once to find out whether a server knows scripts with flags.
PROBE = "#!lua\nreturn 1"
_COST = re.compile(r"--- COST\s+(.+)")
_LINE = re.compile(r"--- (KEYS|ARGV|WITH|RUNS|OK|ERR)\s*(.*)")
# A status as a header names it: `granted(grant low)  The user got a code.`
_STATUS = re.compile(r"([a-z-]+)(?:\(([a-z_]+(?: [a-z_]+)*(?:\.{3})?)\))?(?:\s+([A-Z`].*))?")
# The blanks between refusals: those that no brackets enclose.
_BETWEEN = re.compile(r"\s+(?![^(]*\))")
_LUA = resources.files(__package__) / "lua"

# The time on the Redis server as sixteen digits of microseconds, read once. A replica's clock is never used.
_PRELUDE = (
    "local clock local function now() if not clock then local t = redis.call('TIME') "
    "clock = t[1] .. (#t[2] == 6 and t[2] or string.format('%06d', t[2])) end return clock end "
)
# The same where a script runs as in the past. What it adds to the outbox, its key `events`, is `replayed`: ids, types,
# and fields to keep.
# An outbox that has gone on takes no earlier entries; then they stay out of it.
_REPLAY = (
    "local call, attempt, added = redis.call, redis.pcall, 0 "
    "local function now() return replayed_at end "
    "local past = cjson.decode(replayed) "
    "local redis = {call = function(...) "
    "if (...) ~= 'XADD' or select(2, ...) ~= events then return call(...) end "
    "local each = past[added + 1] "
    "if not each or each[2] ~= select(5, ...) then "
    "if added == 0 then error('not the call that is replayed') end return '' end "
    "added = added + 1 "
    "if #each[3] > 0 then "
    "local done = attempt('XADD', (select(2, ...)), each[1], unpack(each[3])) "
    "if type(done) == 'table' and not string.find(done.err, 'equal or smaller', 1, true) then error(done.err) end end "
    "return each[1] end} "
    "local function note(answer) if added > 0 then call('SET', restoring, past[added][1]) end return answer end "
)
_REPLAY_NAMES = (("restoring",), ("replayed_at", "replayed"))


@dataclass(frozen=True, slots=True)
class Script:
    """One script. `source` runs anywhere; `shebang_source` is for servers that refuse a script whole when full."""

    name: str
    purpose: str
    keys: tuple[str, ...]
    arguments: tuple[str, ...]
    #: Every status that it may answer, refusals included.
    statuses: Mapping[str, Status]
    refusals: frozenset[str]
    source: str
    cost: str = ""
    #: Scripts that it runs as functions.
    runs: tuple[str, ...] = ()
    #: Whether its first key is that of changed keys, which the store names itself.
    notes_changes: bool = False
    #: The form for calls that a guard has to check; None for a script without one.
    behind_guard: "Script | None" = None
    #: SHA-1 of `source` and of `shebang_source`.
    digests: tuple[str, str] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "digests", (_sha1(self.source), _sha1(self.shebang_source)))

    @property
    def shebang_source(self) -> str:
        return ("#!lua flags=no-writes\n" if self.name in READING else "#!lua\n") + self.source

    def forms(self) -> frozenset[str]:
        """Return every text of the script, and its digest."""
        own = frozenset((*self.digests, self.source, self.shebang_source))
        return own | self.behind_guard.forms() if self.behind_guard else own

    def read(self, reply: list[str]) -> Answer:
        """Return a reply of Redis as an answer.

        Raises:
            RuntimeError: the header does not name that status with that many fields.
        """
        status = self.statuses.get(reply[0])
        if status is None or (len(reply) != status.length and not (status.has_rest and len(reply) > status.length)):
            raise RuntimeError(
                f"{self.name}.lua answered {reply[0]!r} with {len(reply) - 1} fields, which its header does not name"
            )
        return Answer(status.name, status, reply)


def _sha1(text: str) -> str:
    return hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()


def _bind(table: str, names: tuple[str, ...]) -> str:
    """Return Lua that binds each item of a table to a local name; a last name with three dots takes the rest."""
    return "".join(
        # Most calls have no rest: then the empty table costs a call of `unpack` less.
        f"local {name[:-3]} = {table}[{i}] and {{unpack({table}, {i})}} or {{}} "
        if name.endswith("...")
        else f"local {name} = {table}[{i}] "
        for i, name in enumerate(names, 1)
    )


def parse(name: str, text: str) -> Script:
    """Return the script in a file's text.

    Raises:
        ValueError: the header is incomplete, or gives a name twice.
    """
    lines = text.splitlines()
    header = _header(name, lines)
    has_purpose = bool(lines) and lines[0].startswith("--- ") and not _LINE.fullmatch(lines[0])
    if not header.keys() >= {"KEYS", "ARGV", "OK", "ERR"} or not has_purpose:
        raise ValueError(f"{name}.lua: the header needs a purpose, KEYS, ARGV, OK and ERR")
    shared = header.get("WITH", "").split()
    guarded = "guard" in shared
    script = _build(name, text, header, [each for each in shared if each != "guard"])
    return replace(script, behind_guard=_build(name, text, header, shared)) if guarded else script


@cache
def replayed(name: str) -> Script:
    """Return the form of a script that runs as in the past."""
    text = _read(name)
    header = _header(name, text.splitlines())
    shared = [each for each in header.get("WITH", "").split() if each != "guard"]
    return _build(name, text, header, shared, replays=True)


def _build(
    name: str, text: str, own_header: Mapping[str, str], with_files: Sequence[str], *, replays: bool = False
) -> Script:
    """Return the script of a file with these shared parts."""
    header = dict(own_header)
    shared = {each: _read(f"with/{each}").splitlines() for each in with_files}
    for each, own in shared.items():
        # The shared parts come first: a script's own list may end with a name that takes the rest.
        for part, names in _header(each, own).items():
            header[part] = f"{names} {header[part]}"
    functions = "".join(map(_in_one_line, shared.values()))
    runs = tuple(header.get("RUNS", "").split())
    refusals = _BETWEEN.split(header["ERR"])
    for each in runs:
        function, of_function = _as_function(each)
        functions += function
        refusals += [refusal for refusal in of_function if refusal not in refusals]
    keys, arguments = tuple(header["KEYS"].split()), tuple(header["ARGV"].split())
    if len(set(keys + arguments)) != len(keys + arguments):
        raise ValueError(f"{name}.lua: KEYS and ARGV give a name twice")
    ok = _statuses(name, header["OK"].splitlines())
    # Two shared parts may refuse in the same way.
    err = _statuses(name, dict.fromkeys(filter(None, refusals)))
    if ok.keys() & err.keys():
        raise ValueError(f"{name}.lua: OK and ERR give the same status")
    # All of this is one line, so that a line number in an error of Redis is the file's own plus one.
    before = _PRELUDE + _bind("KEYS", keys) + _bind("ARGV", arguments) + functions
    source = f"{before}return guarded(function()\n{text}\nend)" if "guard" in shared else f"{before}\n{text}"
    if replays:
        first_names, first_values = _REPLAY_NAMES
        before = _bind("KEYS", first_names + keys) + _bind("ARGV", first_values + arguments) + _REPLAY + functions
        source = f"{before}return note((function()\n{text}\nend)())"
    lines = text.splitlines()
    return Script(
        name=name,
        purpose=lines[0][4:],
        keys=keys,
        arguments=arguments,
        statuses=ok | err,
        refusals=frozenset(err),
        source=source,
        cost=next((cost[1] for cost in map(_COST.fullmatch, lines) if cost), ""),
        runs=runs,
        notes_changes="copies" in shared,
    )


def with_judgement(extra: str, judgement: str) -> str:
    """Return what goes with a grant, with a third line: the user was judged, and may claim an identity."""
    return "\n".join([*(f"{extra}\n\n".split("\n")[:2]), judgement])


def _as_function(name: str) -> tuple[str, list[str]]:
    """Return a script as a function in one line of Lua, and its refusals."""
    lines = _read(name).splitlines()
    header = _header(name, lines)
    functions = ""
    for each in header.get("WITH", "").split():
        if each != "guard":
            own = _read(f"with/{each}").splitlines()
            for part, names in _header(each, own).items():
                header[part] = f"{names} {header[part]}"
            functions += _in_one_line(own)
    bound = _bind("KEYS", tuple(header["KEYS"].split())) + _bind("ARGV", tuple(header["ARGV"].split()))
    return f"local function {name}(KEYS, ARGV) {bound}{functions}{_in_one_line(lines)}end ", _BETWEEN.split(
        header["ERR"]
    )


def _in_one_line(lines: Iterable[str]) -> str:
    """Return Lua without comments in one line."""
    return "".join(f"{line.strip()} " for line in lines if not line.lstrip().startswith("--"))


def _header(name: str, lines: list[str]) -> dict[str, str]:
    """Return the parts of a header by name. OK lines, of which there may be several, stay lines."""
    parts: dict[str, str] = {}
    for match in filter(None, map(_LINE.fullmatch, lines)):
        if match[1] in parts and match[1] != "OK":
            raise ValueError(f"{name}.lua: the header has two lines of {match[1]}")
        parts[match[1]] = f"{parts[match[1]]}\n{match[2]}" if match[1] in parts else match[2]
    return parts


def _statuses(name: str, texts: Iterable[str]) -> dict[str, Status]:
    """Return the statuses in the texts of a header, by name."""
    found: dict[str, Status] = {}
    for text in texts:
        match = _STATUS.fullmatch(text)
        if match is None or match[1] in found:
            raise ValueError(f"{name}.lua: {text!r} is not a status, or is given twice")
        found[match[1]] = Status(match[1], tuple((match[2] or "").split()), match[3] or "")
    return found


def _read(name: str) -> str:
    return (_LUA / f"{name}.lua").read_text(encoding="utf-8")


def _load() -> dict[str, Script]:
    names = sorted(file.name[:-4] for file in _LUA.iterdir() if file.name.endswith(".lua"))
    return {name: parse(name, _read(name)) for name in names}


SCRIPTS = _load()
