"""What follows from each reply of a node: the rules of an exchange, without a server."""

import time
import unittest
from typing import Any
from unittest.mock import patch

from redis._parsers.base import BaseParser
from redis.exceptions import ConnectionError as ConnectionLost
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as TimedOut

from discount.store import exchanges
from discount.store.durability import Durability
from discount.store.exchanges import HOPS, NOT_IN_TIME, NOT_REACHED, Exchange, Piece, node_of
from discount.store.nodes import Away, Nodes
from discount.store.redis_url import Kind, Target

A, B, C = "a:1", "b:2", "c:3"


def error(text: str) -> RedisError:
    """Return an error reply as redis-py reads it."""
    found: RedisError = BaseParser.parse_error(text)  # type: ignore[no-untyped-call]
    return found


def get(partition: int, name: str = "x") -> tuple[str, str]:
    return ("GET", f"{{{partition:02x}}}:{name}")


class _NoLook(Nodes):
    """A map that counts how often a look at the servers is asked for, and takes none."""

    wanted = 0

    def look_soon(self) -> None:
        self.wanted += 1


def nodes(owners: list[str], kind: Kind = "cluster") -> _NoLook:
    def dial(_: str) -> Any:
        raise AssertionError("nothing is sent here")

    found = _NoLook(Target(kind, (owners[0],), dial, dial), len(owners))
    found._set(owners)
    return found


class Sent(unittest.TestCase):
    def setUp(self) -> None:
        self.nodes = nodes([A, B, A, C])

    def exchange(self, *commands: Any, seconds: float = 60) -> Exchange:
        return Exchange(self.nodes, commands, time.monotonic() + seconds)

    def only(self, exchange: Exchange) -> Piece:
        (piece,) = exchange.pieces()
        return piece

    def refused(self, reply: Any, text: str) -> None:
        self.assertIsInstance(reply, Away)
        self.assertEqual(str(reply), text)

    # Which node gets what.

    def test_each_node_gets_one_piece_with_its_commands_in_order(self) -> None:
        exchange = self.exchange(get(1), get(0), get(2), get(1, "y"))
        pieces = {piece.address: piece for piece in exchange.pieces()}
        self.assertEqual(pieces[A].commands, [get(0), get(2)])
        self.assertEqual(pieces[B].commands, [get(1), get(1, "y")])
        exchange.answer(pieces[B], ["1", "1y"])
        exchange.answer(pieces[A], ["0", "2"])
        self.assertEqual((exchange.pieces(), exchange.replies), ([], ["1", "0", "2", "1y"]))

    def test_a_command_without_keys_goes_with_its_neighbour(self) -> None:
        for commands in ((get(1), ("TIME",)), (("TIME",), get(1))):
            with self.subTest(commands):
                self.assertEqual(self.only(self.exchange(*commands)).address, B)

    def test_a_command_without_keys_alone_goes_to_a_node_that_is_there(self) -> None:
        self.nodes.lose(A)
        self.nodes.lose(C)
        for _ in range(20):
            self.assertEqual(self.only(self.exchange(("TIME",))).address, B)

    def test_the_node_of_all_commands_is_found_without_an_exchange(self) -> None:
        self.assertEqual(node_of(self.nodes, [get(0), ("TIME",), get(2)]), A)
        self.assertIsNone(node_of(self.nodes, [get(0), get(1)]))
        self.nodes.lose(A)
        self.assertIsNone(node_of(self.nodes, [get(0)]))
        self.assertEqual(node_of(nodes([A, A], "one"), [get(1), get(0)]), A)

    def test_the_partition_of_any_command_is_found(self) -> None:
        for command in (
            ("EVALSHA", "digest", 2, "{03}:a", "{03}:b", "{01}:argument"),
            ("XREADGROUP", "GROUP", "deliveries", "worker", "COUNT", 5, "STREAMS", "{03}:events", ">"),
            ("XINFO", "GROUPS", "{03}:events"),
            ("HGET", "{03}:brand:x", "{01}:field"),
            ("EVALSHA", "digest", 0, "x", "{03}:argument-only"),
        ):
            with self.subTest(command):
                self.assertEqual(self.only(self.exchange(command)).address, C)

    # MOVED.

    def test_a_moved_partition_is_asked_at_its_new_node_and_the_map_is_corrected(self) -> None:
        exchange = self.exchange(get(0))
        exchange.answer(self.only(exchange), [error("MOVED 7 c:3")])
        piece = self.only(exchange)
        self.assertEqual((piece.address, piece.asking, self.nodes.owners[0]), (C, False, C))
        self.assertEqual((self.nodes.owners[2], self.nodes.wanted), (A, 1))
        exchange.answer(piece, ["here"])
        self.assertEqual((exchange.pieces(), exchange.replies), ([], ["here"]))

    def test_from_the_first_command_that_has_moved_on_all_of_its_partition_are_sent_again_in_order(self) -> None:
        exchange = self.exchange(get(0, "1"), get(2, "2"), get(0, "3"), get(0, "4"))
        exchange.answer(self.only(exchange), ["1", "2", error("MOVED 7 b:2"), "ran before it moved back"])
        piece = self.only(exchange)
        self.assertEqual((piece.address, piece.commands), (B, [get(0, "3"), get(0, "4")]))
        exchange.answer(piece, ["3", "4"])
        self.assertEqual(exchange.replies, ["1", "2", "3", "4"])

    def test_a_partition_that_keeps_moving_is_given_up(self) -> None:
        exchange = self.exchange(get(0))
        for hop in range(HOPS + 1):
            exchange.answer(self.only(exchange), [error(f"MOVED 7 {'bc'[hop % 2]}:9")])
        self.assertEqual(exchange.pieces(), [])
        self.assertIsInstance(exchange.replies[0], RedisError)

    def test_a_host_without_a_name_is_the_host_that_named_it(self) -> None:
        for host in ("", "?"):
            with self.subTest(host):
                exchange = self.exchange(get(1))
                exchange.answer(self.only(exchange), [error(f"MOVED 7 {host}:9")])
                self.assertEqual(self.only(exchange).address, "b:9")
                self.setUp()

    def test_one_redis_that_says_moved_is_a_cluster(self) -> None:
        self.nodes = nodes([A, A], "any")
        exchange = self.exchange(get(1))
        exchange.answer(self.only(exchange), [error("MOVED 7 b:2")])
        self.assertEqual((self.nodes.kind, self.nodes.only, self.only(exchange).address), ("cluster", None, B))

    # ASK and TRYAGAIN.

    def test_a_command_redirected_by_ask_goes_there_once_and_the_map_stays(self) -> None:
        exchange = self.exchange(get(0, "1"), get(0, "2"), get(0, "3"))
        exchange.answer(self.only(exchange), ["1", error("ASK 7 b:2"), "3"])
        piece = self.only(exchange)
        self.assertEqual((piece.address, piece.to_send()), (B, [("ASKING",), get(0, "2")]))
        exchange.answer(piece, ["OK", "2"])
        self.assertEqual((exchange.pieces(), exchange.replies), ([], ["1", "2", "3"]))
        self.assertEqual(self.nodes.owners[0], A)

    def test_a_node_that_is_still_taking_a_partition_over_gets_a_mark_that_does_not_stay(self) -> None:
        self.nodes.durability = Durability("replicated", 1, 100)
        exchange = self.exchange(("SET", "{00}:x", "1"))
        first = self.only(exchange)
        self.assertEqual(first.tail[0], ("SET", "{00}:mark", 1))
        exchange.answer(first, [error("ASK 7 b:2"), "OK", 1])
        asked = self.only(exchange)
        self.assertEqual(asked.tail, (("SET", "{00}:mark:asked", 1, "PX", 1), ("WAIT", 1, 100)))
        exchange.answer(asked, ["OK", "OK", "OK", "OK", "OK", 1])
        self.assertEqual((exchange.pieces(), exchange.replies), ([], ["OK"]))

    def test_moved_is_not_read_as_ask(self) -> None:
        # The library's MovedError is an AskError: taken for one, commands would be sent with ASKING for ever.
        exchange = self.exchange(get(0))
        exchange.answer(self.only(exchange), [error("MOVED 7 b:2")])
        self.assertFalse(self.only(exchange).asking)

    def test_a_command_answered_with_tryagain_is_sent_again_until_its_time_is_over(self) -> None:
        exchange = self.exchange(get(0))
        for _ in range(HOPS * 2):
            exchange.answer(self.only(exchange), [error("TRYAGAIN Multiple keys request during rehashing")])
            self.assertEqual(exchange.pause, exchanges.TRY_AGAIN)
        with patch.object(time, "monotonic", return_value=time.monotonic() + 61):
            self.assertEqual(exchange.pieces(), [])
        self.assertIsInstance(exchange.replies[0], RedisError)
        self.assertEqual(self.nodes.wanted, 0)

    # Errors that pass.

    def test_a_server_that_cannot_serve_now_has_the_map_asked_for(self) -> None:
        for text in (
            "CLUSTERDOWN The cluster is down",
            "MASTERDOWN Link with MASTER is down",
            "READONLY You can't write against a read only replica.",
            "NOREPLICAS Not enough good replicas to write.",
        ):
            with self.subTest(text):
                exchange = self.exchange(get(0))
                found = error(text)
                exchange.answer(self.only(exchange), [found])
                self.assertEqual((exchange.pieces(), exchange.replies, self.nodes.wanted), ([], [found], 1))
                self.setUp()

    def test_other_errors_are_replies(self) -> None:
        for text in ("NOSCRIPT No matching script.", "OOM command not allowed", "WRONGTYPE Operation against a key"):
            with self.subTest(text):
                exchange = self.exchange(get(0), get(0, "y"))
                found = error(text)
                exchange.answer(self.only(exchange), [found, "y"])
                self.assertEqual((exchange.pieces(), exchange.replies, self.nodes.wanted), ([], [found, "y"], 0))

    # Lost connections and time-outs.

    def test_a_lost_connection_is_tried_once_more_at_once(self) -> None:
        exchange = self.exchange(get(0))
        exchange.fail(self.only(exchange), ConnectionLost())
        piece = self.only(exchange)
        self.assertEqual((piece.address, exchange.pause, self.nodes.away), (A, 0, {}))
        exchange.answer(piece, ["here"])
        self.assertEqual(exchange.replies, ["here"])

    def test_a_server_that_is_loading_counts_as_lost(self) -> None:
        exchange = self.exchange(get(0))
        for _ in range(2):
            exchange.fail(self.only(exchange), error("LOADING Redis is loading the dataset in memory"))
        self.assertEqual(exchange.pieces(), [])
        self.refused(exchange.replies[0], NOT_REACHED)

    def test_a_node_lost_twice_is_away_and_the_others_still_answer(self) -> None:
        exchange = self.exchange(get(0), get(1))
        first, second = exchange.pieces()
        exchange.fail(first, ConnectionLost())
        exchange.answer(second, ["1"])
        exchange.fail(self.only(exchange), ConnectionLost())
        self.assertEqual((list(self.nodes.away), exchange.pause), ([A], exchanges.AFTER_LOSS))
        self.assertEqual(exchange.pieces(), [])
        self.refused(exchange.replies[0], NOT_REACHED)
        self.assertEqual(exchange.replies[1], "1")
        self.assertEqual(self.nodes.unreachable(), [0, 2])

    def test_the_new_owner_gets_what_its_lost_node_did_not_answer(self) -> None:
        exchange = self.exchange(get(0))
        exchange.fail(self.only(exchange), ConnectionLost())
        exchange.fail(self.only(exchange), ConnectionLost())
        self.nodes._set([B, B, B, C])
        self.assertEqual(self.only(exchange).address, B)

    def test_a_time_out_is_an_error_at_once_and_nothing_is_sent_twice(self) -> None:
        exchange = self.exchange(get(0), get(1))
        first, second = exchange.pieces()
        exchange.fail(first, TimedOut())
        exchange.answer(second, ["1"])
        self.assertEqual((exchange.pieces(), exchange.replies[1]), ([], "1"))
        self.refused(exchange.replies[0], NOT_IN_TIME)
        self.assertEqual((list(self.nodes.away), self.nodes.wanted), ([A], 1))

    def test_a_node_that_is_away_is_sent_nothing_while_there_are_others(self) -> None:
        self.nodes.lose(A)
        exchange = self.exchange(get(0), get(1))
        piece = self.only(exchange)
        self.assertEqual(piece.address, B)
        self.refused(exchange.replies[0], NOT_REACHED)

    def test_one_redis_is_always_tried(self) -> None:
        self.nodes = nodes([A, A], "one")
        self.nodes.lose(A)
        self.assertEqual(self.only(self.exchange(get(0))).address, A)

    def test_a_partition_that_no_node_has_cannot_be_reached(self) -> None:
        self.nodes._set([A, "", A, C])
        exchange = self.exchange(get(1))
        self.assertEqual(exchange.pieces(), [])
        self.refused(exchange.replies[0], NOT_REACHED)

    def test_another_error_of_a_new_connection_is_its_answer(self) -> None:
        exchange = self.exchange(get(0))
        found = Away("Redis is changing its primary.")
        exchange.fail(self.only(exchange), found)
        self.assertEqual((exchange.pieces(), exchange.replies, self.nodes.wanted), ([], [found], 1))
