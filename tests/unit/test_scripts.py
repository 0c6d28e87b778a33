"""Scripts: a checked header, and a body that keeps to it."""

import re
import unittest
from pathlib import Path

from discount.domain.errors import BY_SLUG, Expired
from discount.store import scripts
from discount.store.answers import Status
from discount.store.scripts import SCRIPTS, Script, parse

GOOD = """--- Take a code from a pool.
--- KEYS  pool
--- ARGV  user
--- OK    done(code)  The user got this code.
--- OK    some(first codes...)  The user got these codes.
--- OK    none  The pool is empty.
--- ERR   not-found expired(expires_at)
return {'done'}"""
# Commands about consumer groups have a subcommand before their key.
COMMAND = re.compile(r"redis\.(\w+)\('(\w+)'(?:, '(?:GROUPS|CREATE)')?(?:, ([^,)]+))?")
READS = {
    *("TIME", "GET", "HGET", "HMGET", "HGETALL", "HLEN", "HEXISTS", "EXISTS", "LINDEX", "LLEN", "LPOS", "LRANGE"),
    *("SISMEMBER", "ZCARD", "ZRANK", "ZCOUNT", "ZSCORE", "ZRANGE", "ZRANGEBYSCORE", "TTL", "XINFO", "XREVRANGE"),
}
# Commands that a full Redis refuses. One of them must be the first write, before any that it accepts.
REFUSED_WHEN_FULL = {"XADD", "XGROUP", "HSET", "SET", "RPUSH", "ZADD", "SETBIT", "HINCRBY", "SADD"}
FREES = {"DEL", "ZREM", "HDEL"}


LUA = Path(scripts.__file__).parent / "lua"


def own(path: Path) -> dict[str, str]:
    """Return KEYS, ARGV and ERR of a file's own header, without those of shared functions."""
    lines = path.read_text(encoding="utf-8").splitlines()
    return {line[4:8].strip(): line[8:].strip() for line in lines if re.match("--- (KEYS|ARGV|ERR)", line)}


def path_of(script: Script) -> Path:
    return LUA / f"{script.name}.lua"


def own_names(script: Script) -> list[str]:
    """Return the names of keys and arguments in the script's own header."""
    header = own(path_of(script))
    return header["KEYS"].split() + header["ARGV"].split()


def own_refusals(path: Path) -> dict[str, str]:
    """Return the refusals in a file's own header, each with its fields."""
    return dict(re.findall(r"([a-z-]+)(?:\(([^)]*)\))?", own(path).get("ERR", "")))


def answered(code: str) -> list[str]:
    """Return the tables that a body returns: no bare returns, and not `stopped`, the refusal of a shared function."""
    return re.findall(r"\breturn\s+((?!end\b|stopped\b)\S[^\n]*?)(?: end)?$", code, re.MULTILINE)


def items(table: str) -> list[str]:
    """Return the items of a Lua table, split at the commas outside brackets and quotes."""
    found, depth, quoted = [""], 0, False
    for letter in table.removeprefix("{").removesuffix("}"):
        quoted ^= letter == "'"
        depth += 0 if quoted else (letter in "({[") - (letter in ")}]")
        if letter == "," and not depth and not quoted:
            found.append("")
        else:
            found[-1] += letter
    return [item.strip() for item in found]


def matches(status: Status, table: str) -> bool:
    """Return whether a table has as many items as its status; a rest must be unpacked from a list."""
    found = items(table)
    unpacked = found[-1].startswith("unpack(")
    return unpacked == status.has_rest and len(found) - unpacked == status.length


def body(script: Script) -> str:
    """Return the code of a file without comments and header."""
    code = script.source.partition("\n")[2]
    return "\n".join(line.partition("--")[0] for line in code.splitlines())


def commands(script: Script) -> list[tuple[str, str, str]]:
    """Return each command of a file in order: call or pcall, the command's name and its key."""
    return [(found[1], found[2], found[3] or "") for found in COMMAND.finditer(body(script))]


# The shared functions that are given keys, each with a command that stands for it.
SHARED = {
    **{"find_record": "LPOS", "put_record": "LSET", "add_record": "RPUSH", "remove_record": "LREM"},
    **{"list_for_discount": "ZADD", "list_for_user": "HSET", "unlist_for_user": "ZREM", "hand_out": "XADD"},
    **{"identity_claims": "HGET", "free_identities": "HSET", "copy_later": "ZADD"},
    "move_line": "XADD",
}


def steps(script: Script) -> list[tuple[str, list[str]]]:
    """Return the commands of a file in order, also those that shared functions run, each with its keys."""
    names = [word.removesuffix("...") for word in own(path_of(script))["KEYS"].split()]
    found = [(each.start(), each[2], [each[3] or ""]) for each in COMMAND.finditer(body(script))]
    for each in re.finditer(rf"\b({'|'.join(SHARED)})(\(.*)", body(script)):
        given = [name for name in names if re.search(rf"\b{name}\b", each[2])]
        found.append((each.start(), SHARED[each[1]], given))
    return [(command, keys) for _, command, keys in sorted(found)]


class Headers(unittest.TestCase):
    def test_a_complete_script_header_is_parsed(self) -> None:
        script = parse("take", GOOD)
        self.assertEqual((script.name, script.purpose), ("take", "Take a code from a pool."))
        self.assertEqual((script.keys, script.arguments), (("pool",), ("user",)))
        self.assertEqual(script.statuses["done"], Status("done", ("code",), "The user got this code."))
        self.assertEqual(script.statuses["some"].fields, ("first", "codes..."))
        self.assertEqual(script.statuses["none"].fields, ())
        self.assertEqual(script.statuses["expired"].fields, ("expires_at",))
        self.assertEqual(script.refusals, frozenset({"not-found", "expired"}))
        self.assertIn("local pool = KEYS[1] local user = ARGV[1] \n", script.source)

    def test_a_script_header_may_list_no_keys(self) -> None:
        script = parse("take", GOOD.replace("not-found expired(expires_at)", "").replace("user", ""))
        self.assertEqual((script.refusals, script.arguments), (frozenset(), ()))

    def test_a_header_with_a_part_missing_is_refused(self) -> None:
        for part in ("KEYS", "ARGV", "OK", "ERR"):
            text = "\n".join(line for line in GOOD.splitlines() if f"--- {part}" not in line)
            with self.subTest(part), self.assertRaisesRegex(ValueError, r"take\.lua: the header needs"):
                parse("take", text)

    def test_a_header_without_a_purpose_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            parse("take", "return 1\n" + GOOD)

    def test_an_empty_file_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            parse("take", "")

    def test_a_purpose_that_is_only_the_next_part_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            parse("take", GOOD.partition("\n")[2])

    def test_a_repeated_name_is_refused(self) -> None:
        for old, new in (("KEYS  pool", "KEYS  pool pool"), ("ARGV  user", "ARGV  pool")):
            with self.subTest(new), self.assertRaisesRegex(ValueError, "a name twice"):
                parse("take", GOOD.replace(old, new))

    def test_a_repeated_part_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            parse("take", GOOD.replace("--- ARGV  user", "--- ARGV  user\n--- ARGV  other"))

    def test_a_status_cannot_be_both_answer_and_refusal(self) -> None:
        with self.assertRaises(ValueError):
            parse("take", GOOD.replace("not-found", "done"))

    def test_a_status_that_is_named_twice_or_badly_is_refused(self) -> None:
        for old, new in (
            ("some", "done"),
            ("expired(", "not-found("),
            ("(code)", "(code"),
            ("(code)", "(a... b)"),
            (" exp", "; exp"),
        ):
            with self.subTest(new), self.assertRaises(ValueError):
                parse("take", GOOD.replace(old, new, 1))

    def test_an_answer_gives_its_fields_by_name(self) -> None:
        script = parse("take", GOOD)
        one, several = script.read(["done", "AB"]), script.read(["some", "0", "AB", "CD"])
        self.assertEqual((one.status, one["code"], one.refusal()), ("done", "AB", None))
        self.assertEqual((several["first"], several.rest("codes")), ("0", ["AB", "CD"]))
        self.assertEqual((script.read(["some", "0"]).rest("codes"), several.pick("codes", "first")), ([], ("AB", "0")))

    def test_a_refusal_has_its_fields_as_facts(self) -> None:
        refusal = parse("take", GOOD).read(["expired", "17"]).refusal()
        self.assertIsInstance(refusal, Expired)
        self.assertEqual(refusal and refusal.facts, {"expires_at": "17"})

    def test_an_answer_that_the_header_does_not_name_is_an_error(self) -> None:
        script = parse("take", GOOD)
        for text in ("other", "done", "done AB CD", "some", "none AB", "not-found 1", "expired"):
            reply = text.split()
            with self.subTest(reply), self.assertRaisesRegex(RuntimeError, "which its header does not name"):
                script.read(reply)

    def test_a_cost_is_a_sentence_of_the_header(self) -> None:
        text = GOOD.replace("--- KEYS", "--- COST  O(1), and no more.\n--- KEYS")
        self.assertEqual((parse("take", text).cost, parse("take", GOOD).cost), ("O(1), and no more.", ""))
        self.assertEqual(parse("take", text).keys, ("pool",))

    def test_the_shebang_comes_first_and_changes_the_digest(self) -> None:
        script = parse("take", GOOD)
        self.assertEqual(script.shebang_source, "#!lua\n" + script.source)
        self.assertEqual([len(digest) for digest in set(script.digests)], [40, 40])


class Bodies(unittest.TestCase):
    def test_every_script_states_the_most_that_a_call_costs(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertRegex(script.cost, r"^O\((1|n|log n)\)(\W.*)?\.$")

    def test_each_change_has_one_script(self) -> None:
        pools = {"create", "change", "close", "grant", "revoke", "import", "move_in", "refill", "waiting", "claim_code"}
        lists = {"wait", "leave", "serve"}
        uses = {"count", "redeem", "confirm", "rollback", "guess", "drop", "unlist", "records", "left", "tally"}
        uses |= {"redeem_all", "confirm_all", "rollback_all"}
        access = {"create_brand", "change_brand", "close_brand", "create_key", "touch", "forget"}
        contacts = {"put_contact", "enrol", "unsubscribe"}
        identities = {"release_identity"}
        user_lists = {"add_to_list", "drop_list", "take_off_list"}
        webhooks = {"create_webhook", "change_webhook", "rotate_webhook", "test_webhook"}
        deliveries = {
            "open_group",
            "plan",
            "lease_lane",
            "settle",
            "release_lane",
            "resend",
            "lease_reminder",
            "move_digest",
        }
        repairs = {"counters", "swap", "note_changes", "note_copied"}
        others = contacts | identities | user_lists | webhooks | deliveries | repairs
        self.assertEqual(set(SCRIPTS), pools | uses | lists | access | others)

    def test_the_most_used_scripts_have_a_guard(self) -> None:
        guarded = {name for name, script in SCRIPTS.items() if script.behind_guard}
        self.assertEqual(guarded, {"grant", "redeem", "redeem_all", "guess", "count"})

    def test_every_answer_has_a_status_of_the_header_with_its_fields_and_every_status_is_answered(self) -> None:
        for name, script in SCRIPTS.items():
            statuses = set[str]()
            for table in answered(body(script)):
                with self.subTest(name, table=table):
                    self.assertRegex(table, r"^\{'[a-z-]+'.*\}$")
                    status = script.statuses[items(table)[0].strip("'")]
                    self.assertTrue(matches(status, table))
                statuses.add(status.name)
            with self.subTest(name):
                expected = (script.statuses.keys() - script.refusals) | own_refusals(path_of(script)).keys()
                self.assertEqual(statuses, expected)

    def test_a_shared_function_refuses_with_the_fields_of_its_header(self) -> None:
        for path in sorted((LUA / "with").glob("*.lua")):
            refused = dict[str, int]()
            for table in re.findall(r"return (\{'[a-z-]+'.*?\})(?: end)?$", path.read_text(), re.MULTILINE):
                status, *fields = items(table)
                refused[status.strip("'")] = len(fields)
            with self.subTest(path.name):
                self.assertEqual(refused, {slug: len(fields.split()) for slug, fields in own_refusals(path).items()})

    def test_every_answer_has_a_meaning_that_is_a_sentence_and_refusals_have_none(self) -> None:
        for name, script in SCRIPTS.items():
            for status in script.statuses.values():
                with self.subTest(name, status=status.name):
                    self.assertRegex(status.meaning, r"^$" if status.name in script.refusals else r"^[A-Z`].*\w.*$")

    def test_a_script_ends_with_an_answer(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertRegex(body(script).strip().splitlines()[-1], r"^return \{'")

    def test_every_refusal_has_its_error(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertLessEqual(script.refusals, set(BY_SLUG))

    def test_a_status_that_is_not_a_refusal_is_not_a_slug(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertEqual((script.statuses.keys() - script.refusals) & BY_SLUG.keys(), set())

    def test_every_name_of_a_header_is_used(self) -> None:
        for name, script in SCRIPTS.items():
            names = [word.removesuffix("...") for word in own_names(script)]
            unused = [word for word in names if not re.search(rf"\b{word}\b", body(script))]
            with self.subTest(name):
                self.assertEqual(unused, [])

    def test_keys_and_arguments_are_only_used_by_their_names(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertNotRegex(body(script), r"\b(KEYS|ARGV)\b")

    def test_every_command_is_on_a_declared_key(self) -> None:
        for name, script in SCRIPTS.items():
            used = {key for command, keys in steps(script) if command != "TIME" for key in keys}
            names = {word.removesuffix("...") for word in own(path_of(script))["KEYS"].split()}
            # A script that runs others may leave all keys to them.
            left_to_others = {"blocks"} if script.runs else set()
            with self.subTest(name):
                self.assertEqual({re.sub(r"\[\w+\]$", "", key) for key in used} | left_to_others, names)

    def test_no_script_goes_on_after_an_error(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertLessEqual({how for how, _, _ in commands(script)}, {"call"})
                self.assertEqual(body(script).count("redis."), len(commands(script)))

    def test_everything_is_read_before_the_first_write(self) -> None:
        for name, script in SCRIPTS.items():
            kinds = ["read" if command in READS else "write" for command, _ in steps(script)]
            with self.subTest(name):
                self.assertEqual(kinds, sorted(kinds))

    def test_the_first_write_is_one_that_a_full_redis_refuses(self) -> None:
        for name, script in SCRIPTS.items():
            writes = [command for command, _ in steps(script) if command not in READS]
            # What only frees memory is taken by a full Redis as a whole.
            frees = set(writes) <= FREES
            with self.subTest(name):
                self.assertTrue(frees or writes[0] in REFUSED_WHEN_FULL)

    def test_the_event_is_the_first_write_and_the_pool_is_taken_from_last(self) -> None:
        writes = [command for _, command, _ in commands(SCRIPTS["grant"]) if command not in READS]
        self.assertEqual((writes[0], writes[-1]), ("XADD", "LPOP"))

    def test_every_event_begins_with_its_type_its_time_and_its_brand(self) -> None:
        written = [found for script in SCRIPTS.values() for found in re.findall(r"'XADD', events, (.*)", body(script))]
        self.assertGreater(len(written), 10)
        for each in written:
            with self.subTest(each):
                self.assertRegex(each, r"^'\*', 'type', [^,]+, 'at', [^,]+, 'brand', ")

    def test_scripts_that_write_nothing_are_declared_to_redis(self) -> None:
        reading = {
            name
            for name, script in SCRIPTS.items()
            if script.behind_guard is None and not script.runs and all(command in READS for command, _ in steps(script))
        }
        self.assertEqual(reading, set(scripts.READING))
        self.assertTrue(SCRIPTS["left"].shebang_source.startswith("#!lua flags=no-writes\n"))
        self.assertTrue(SCRIPTS["redeem"].shebang_source.startswith("#!lua\n"))

    def test_no_event_is_ever_trimmed_away(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertNotRegex(body(script), r"MAXLEN|MINID|XTRIM|'XDEL', events")

    def test_no_local_name_hides_a_key(self) -> None:
        for name, script in SCRIPTS.items():
            hidden = [word for word in script.keys if re.search(rf"\blocal\s[^=]*\b{word}\b", body(script))]
            with self.subTest(name):
                self.assertEqual(hidden, [])
