"""Durability: what is sent behind commands, and how the replies are read."""

import unittest
from typing import Any

from redis.exceptions import AskError, MovedError, OutOfMemoryError, RedisError, ResponseError, TryAgainError

from discount.store import keys
from discount.store.durability import Command, Durability, NotSafe, has_to_wait, read
from discount.store.scripts import PROBE, SCRIPTS

GRANT: Command = ("EVALSHA", SCRIPTS["grant"].digests[1], 1, keys.discount(3, "dsc-030a"), "User 1")
DEFINITION: Command = ("HGETALL", keys.discount(5, "dsc-050a"))
HELD: Command = ("HGET", keys.grants(5, "dsc-050a", 7), "User 1")
REPLICATED = Durability("replicated", 2, 250)
WAIT = (("SET", "{03}:mark", 1), ("WAIT", 2, 250))


class Tails(unittest.TestCase):
    def test_the_mode_fast_sends_nothing_more(self) -> None:
        self.assertEqual(Durability("fast").tail("cluster", [GRANT]), ())

    def test_replicated_ends_in_a_write_and_one_wait(self) -> None:
        self.assertEqual(REPLICATED.tail("one", [GRANT, GRANT, HELD]), WAIT)

    def test_synced_waits_for_the_disks_too(self) -> None:
        tail = Durability("synced", 1, 500).tail("one", [GRANT])
        # Together they take no longer than one wait of `replicated`.
        self.assertEqual(tail, (("SET", "{03}:mark", 1), ("WAIT", 1, 250), ("WAITAOF", 1, 1, 250)))

    def test_without_a_mode_it_depends_on_whether_there_is_a_failover(self) -> None:
        chosen = {kind: Durability().mode(kind) for kind in ("one", "any", "sentinel", "cluster")}
        # `any` has not yet said whether it is a node of a Cluster.
        expected = {"one": "fast", "any": "replicated", "sentinel": "replicated", "cluster": "replicated"}
        self.assertEqual(chosen, expected)

    def test_the_mark_is_in_a_partition_of_the_commands_that_wait(self) -> None:
        self.assertEqual(REPLICATED.tail("one", [DEFINITION, GRANT]), WAIT)

    def test_commands_that_show_no_code_do_not_wait(self) -> None:
        self.assertEqual(REPLICATED.tail("one", [DEFINITION, ("TIME",), ("PING",)]), ())


class Commands(unittest.TestCase):
    def test_writes_and_scripts_wait(self) -> None:
        for command in (GRANT, ("HSET", "{00}:usage", "a", "b"), ("DEL", "{00}:webhook:x"), ("XDEL", "{00}:events", 1)):
            self.assertTrue(has_to_wait(command), command)

    def test_only_the_script_that_counts_a_request_does_not_wait(self) -> None:
        rate = ("{00}:key:", "{00}:rate:x", "{00}:rate:y")
        unwaited = set()
        for name, script in SCRIPTS.items():
            for form in filter(None, (script, script.behind_guard)):
                for shebang, text in enumerate((form.source, form.shebang_source)):
                    commands: list[Command] = [("EVALSHA", form.digests[shebang], 3, *rate), ("EVAL", text, 3, *rate)]
                    unwaited |= {name for command in commands if not has_to_wait(command)}
                    if name == "count":
                        self.assertFalse(any(map(has_to_wait, commands)))
        self.assertEqual(unwaited, {"count"})
        self.assertFalse(has_to_wait(("EVAL", PROBE, 1, keys.installation(0))))

    def test_every_read_that_shows_a_code_waits(self) -> None:
        shown: list[Command] = [
            HELD,
            ("HGETALL", keys.grants(1, "dsc-010a", 0)),
            ("LRANGE", keys.codes(1, "dsc-010a"), 0, 9),
            ("HMGET", keys.users(1, "User 1"), "User 1"),
            ("LINDEX", keys.records("rdm-01" + 24 * "0")[0], 1),
            ("XRANGE", keys.events(1), "-", "+"),
            ("XREAD", "COUNT", 9, "STREAMS", keys.events(1), "0"),
        ]
        for command in shown:
            self.assertTrue(has_to_wait(command), command)

    def test_other_reads_do_not_wait(self) -> None:
        others: list[Command] = [
            DEFINITION,
            ("BITPOS", keys.buckets(1, "dsc-010a"), 1),
            ("ZRANGE", keys.brand_discounts(1, "IKEA"), 0, -1),
            ("ZRANGE", keys.redemptions(1, "dsc-010a"), 0, -1),
            ("HGETALL", keys.api_key(1, "x")),
            ("XPENDING", keys.events(1), "workers"),
            ("XREADGROUP", "GROUP", "workers", "a", "STREAMS", keys.events(1), ">"),
        ]
        for command in others:
            self.assertFalse(has_to_wait(command), command)

    def test_an_id_that_looks_like_a_key_makes_no_read_wait(self) -> None:
        self.assertFalse(has_to_wait(("HGETALL", keys.brand(1, "x:events"))))
        self.assertFalse(has_to_wait(("HGETALL", keys.brand(1, "users:"))))


class Replies(unittest.TestCase):
    def settle(self, *tail_replies: Any, durability: Durability = REPLICATED) -> list[Any]:
        commands = [GRANT, DEFINITION, HELD]
        return read(commands, durability.tail("one", commands), [["granted"], ["a", "b"], "code", *tail_replies])

    def test_confirmed_replies_are_given_as_they_are(self) -> None:
        for confirmed in (2, 3):
            self.assertEqual(self.settle("OK", confirmed), [["granted"], ["a", "b"], "code"])

    def test_without_a_tail_nothing_is_taken_off(self) -> None:
        self.assertEqual(read([GRANT], (), [["granted"]]), [["granted"]])

    def test_too_few_confirmations_replace_what_had_to_wait(self) -> None:
        for confirmed in (0, 1):
            grant, definition, held = self.settle("OK", confirmed)
            self.assertIsInstance(grant, NotSafe)
            self.assertIsInstance(held, NotSafe)
            self.assertEqual(definition, ["a", "b"])

    def test_a_mark_that_was_refused_makes_nothing_safe(self) -> None:
        # WAIT alone passes at once after a script that only read.
        for refused in (OutOfMemoryError("OOM"), ResponseError("MISCONF")):
            self.assertIsInstance(self.settle(refused, 2)[0], NotSafe)

    def test_a_mark_that_has_moved_has_the_commands_sent_again(self) -> None:
        for moved in (MovedError("1 a:1"), AskError("1 a:1"), TryAgainError("TRYAGAIN")):
            grant, definition, held = self.settle(moved, 2)
            self.assertEqual((type(grant), definition, type(held)), (TryAgainError, ["a", "b"], TryAgainError))

    def test_a_server_without_the_command_makes_nothing_safe(self) -> None:
        self.assertIsInstance(self.settle("OK", ResponseError("unknown command"))[0], NotSafe)

    def test_errors_stay_what_they_are(self) -> None:
        error: RedisError = MovedError("1 a:1")
        replies = read([GRANT], REPLICATED.tail("one", [GRANT]), [error, "OK", 0])
        self.assertEqual(replies, [error])

    def test_both_disks_have_to_confirm(self) -> None:
        synced = Durability("synced", 1, 500)
        self.assertEqual(self.settle("OK", 1, [1, 1], durability=synced)[0], ["granted"])
        for confirmed in ([0, 1], [1, 0], [0, 2]):
            self.assertIsInstance(self.settle("OK", 1, confirmed, durability=synced)[0], NotSafe)


if __name__ == "__main__":
    unittest.main()
