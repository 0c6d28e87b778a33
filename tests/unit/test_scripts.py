"""Scripts: a checked header, and a body that keeps to it."""

import re
import unittest
from pathlib import Path

from discount.domain.errors import BY_SLUG
from discount.store import scripts
from discount.store.scripts import SCRIPTS, Script, parse

GOOD = "--- What it does.\n--- KEYS  pool\n--- ARGV  user\n--- OK    done\n--- ERR   not-found\nreturn {'done'}"
# Commands of groups have a word before their key.
COMMAND = re.compile(r"redis\.(\w+)\('(\w+)'(?:, '(?:GROUPS|CREATE)')?(?:, ([^,)]+))?")
READS = {
    *("TIME", "GET", "HGET", "HMGET", "HGETALL", "HLEN", "HEXISTS", "EXISTS", "LINDEX", "LLEN", "LRANGE", "SISMEMBER"),
    *("ZCARD", "ZCOUNT", "ZSCORE", "ZRANGE", "ZRANGEBYSCORE", "TTL", "XINFO"),
}
# Commands that a full Redis refuses: one of them must come before any that it lets through.
REFUSED_WHEN_FULL = {"XADD", "XGROUP", "HSET", "SET", "RPUSH", "ZADD", "SETBIT", "HINCRBY", "SADD"}
FREES = {"DEL", "ZREM"}


LUA = Path(scripts.__file__).parent / "lua"


def own(script: Script) -> tuple[list[str], list[str], frozenset[str]]:
    """Return the keys, arguments and refusals of a file's own header, without shared functions."""
    lines = (LUA / f"{script.name}.lua").read_text(encoding="utf-8").splitlines()
    header = {line[4:8].strip(): line[8:].split() for line in lines if re.match("--- (KEYS|ARGV|ERR)", line)}
    return header["KEYS"], header["ARGV"], frozenset(header["ERR"])


def body(script: Script) -> str:
    """Return the code of a file without comments and header."""
    code = script.source.partition("\n")[2].removesuffix("\nend)" if script.guarded else "")
    return "\n".join(line.partition("--")[0] for line in code.splitlines())


def commands(script: Script) -> list[tuple[str, str, str]]:
    """Return each command of a file in order: call or pcall, the command's name and its key."""
    return [(found[1], found[2], found[3] or "") for found in COMMAND.finditer(body(script))]


class Headers(unittest.TestCase):
    def test_a_whole_header_is_read(self) -> None:
        script = parse("take", GOOD)
        self.assertEqual((script.name, script.purpose), ("take", "What it does."))
        self.assertEqual((script.keys, script.arguments), (("pool",), ("user",)))
        self.assertEqual((script.answers, script.refusals), (frozenset({"done"}), frozenset({"not-found"})))
        self.assertIn("local pool = KEYS[1] local user = ARGV[1] \n", script.source)

    def test_a_header_may_name_nothing(self) -> None:
        script = parse("take", GOOD.replace("not-found", "").replace("user", ""))
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

    def test_a_name_that_stands_twice_is_refused(self) -> None:
        for old, new in (("KEYS  pool", "KEYS  pool pool"), ("ARGV  user", "ARGV  pool")):
            with self.subTest(new), self.assertRaisesRegex(ValueError, "stands twice"):
                parse("take", GOOD.replace(old, new))

    def test_a_part_that_stands_twice_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            parse("take", GOOD.replace("--- ARGV  user", "--- ARGV  user\n--- ARGV  other"))

    def test_a_word_that_is_answer_and_refusal_is_refused(self) -> None:
        with self.assertRaises(ValueError):
            parse("take", GOOD.replace("not-found", "done"))

    def test_a_cost_is_a_sentence_of_the_header(self) -> None:
        text = GOOD.replace("--- KEYS", "--- COST  O(1), and no more.\n--- KEYS")
        self.assertEqual((parse("take", text).cost, parse("take", GOOD).cost), ("O(1), and no more.", ""))
        self.assertEqual(parse("take", text).keys, ("pool",))

    def test_the_shebang_stands_first_and_changes_the_digest(self) -> None:
        script = parse("take", GOOD)
        self.assertEqual(script.shebang_source, "#!lua\n" + script.source)
        self.assertEqual([len(digest) for digest in set(script.digests)], [40, 40])


class Bodies(unittest.TestCase):
    def test_every_script_states_the_most_that_a_call_costs(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertRegex(script.cost, r"^O\((1|n|log n)\)(\W.*)?\.$")

    def test_there_is_a_script_for_each_change(self) -> None:
        pools = {"create", "change", "close", "grant", "import", "refill", "waiting", "claim_code"}
        uses = {"redeem", "confirm", "rollback", "guess", "drop", "left"}
        access = {"create_brand", "change_brand", "close_brand", "create_key", "touch", "forget"}
        contacts = {"put_contact", "enrol", "unsubscribe"}
        webhooks = {"create_webhook", "change_webhook", "rotate_webhook", "test_webhook"}
        deliveries = {"open_group", "plan", "claim", "settle", "release", "resend", "take_turn"}
        self.assertEqual(set(SCRIPTS), pools | uses | access | contacts | webhooks | deliveries)

    def test_those_that_are_asked_most_have_a_guard(self) -> None:
        self.assertEqual({name for name, script in SCRIPTS.items() if script.guarded}, {"grant", "redeem", "guess"})

    def test_every_answer_is_a_word_of_the_header_and_every_word_is_answered(self) -> None:
        for name, script in SCRIPTS.items():
            # A bare return leaves a function of the script's own.
            returns = re.findall(r"\breturn\s+((?!end\b|stopped\b)\S[^\n]*)", body(script))
            words = [re.match(r"\{'([a-z-]+)'", returned) for returned in returns]
            with self.subTest(name):
                self.assertNotIn(None, words, returns)
                self.assertEqual({word[1] for word in words if word}, script.answers | own(script)[2])

    def test_a_script_ends_with_an_answer(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertRegex(body(script).strip().splitlines()[-1], r"^return \{'")

    def test_answers_and_refusals_have_no_word_in_common(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertEqual(script.answers & script.refusals, frozenset())

    def test_every_refusal_has_its_error(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertLessEqual(script.refusals, set(BY_SLUG))

    def test_no_answer_is_the_word_of_an_error(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertEqual(script.answers & set(BY_SLUG), set())

    def test_every_name_of_a_header_is_used(self) -> None:
        for name, script in SCRIPTS.items():
            names = [word.removesuffix("...") for part in own(script)[:2] for word in part]
            unused = [word for word in names if not re.search(rf"\b{word}\b", body(script))]
            with self.subTest(name):
                self.assertEqual(unused, [])

    def test_keys_and_arguments_are_only_used_by_their_names(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertNotRegex(body(script), r"\b(KEYS|ARGV)\b")

    def test_every_command_is_on_a_declared_key(self) -> None:
        for name, script in SCRIPTS.items():
            keys = {re.sub(r"\[\w+\]$", "...", key) for _, command, key in commands(script) if command != "TIME"}
            with self.subTest(name):
                self.assertEqual(keys, set(own(script)[0]))

    def test_no_script_goes_on_after_an_error(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertLessEqual({how for how, _, _ in commands(script)}, {"call"})
                self.assertEqual(body(script).count("redis."), len(commands(script)))

    def test_everything_is_read_before_the_first_write(self) -> None:
        for name, script in SCRIPTS.items():
            kinds = ["read" if command in READS else "write" for _, command, _ in commands(script)]
            with self.subTest(name):
                self.assertEqual(kinds, sorted(kinds))

    def test_the_first_write_is_one_that_a_full_redis_refuses(self) -> None:
        for name, script in SCRIPTS.items():
            writes = [command for _, command, _ in commands(script) if command not in READS]
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

    def test_a_full_redis_is_told_which_scripts_write_nothing(self) -> None:
        reading = {
            name
            for name, script in SCRIPTS.items()
            if not script.guarded and all(command in READS for _, command, _ in commands(script))
        }
        self.assertEqual(reading, set(scripts.READING))
        self.assertTrue(SCRIPTS["left"].shebang_source.startswith("#!lua flags=no-writes\n"))
        self.assertTrue(SCRIPTS["redeem"].shebang_source.startswith("#!lua\n"))

    def test_no_event_is_ever_trimmed_away(self) -> None:
        for name, script in SCRIPTS.items():
            with self.subTest(name):
                self.assertNotRegex(body(script), r"MAXLEN|MINID|XTRIM|XDEL")

    def test_no_local_name_hides_a_key(self) -> None:
        for name, script in SCRIPTS.items():
            hidden = [word for word in script.keys if re.search(rf"\blocal\s[^=]*\b{word}\b", body(script))]
            with self.subTest(name):
                self.assertEqual(hidden, [])
