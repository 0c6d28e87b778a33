"""Exchanges of a loop: what goes out together, and how the replies find their calls. The node is a socket pair."""

import socket
import time
import unittest
from collections.abc import Callable
from typing import Any

from hiredis import Reader
from redis.connection import Connection, ConnectionInterface

from discount.store.durability import Durability, NotSafe
from discount.store.loop_exchanges import LoopExchanges
from discount.store.nodes import Nodes
from discount.store.redis_url import Target

MARK, OK = ("SET", "{03}:mark", "1"), b"+OK\r\n"


class _Loop:
    """A loop without time or threads: the test says when a descriptor is readable."""

    def __init__(self) -> None:
        self.now = time.monotonic()
        self.watched: dict[int, Callable[[int], None]] = {}

    def watch(self, descriptor: int, act: Callable[[int], None]) -> None:
        self.watched[descriptor] = act

    def unwatch(self, descriptor: int) -> None:
        del self.watched[descriptor]

    def after(self, seconds: float, act: Callable[[], None]) -> None:
        raise AssertionError("nothing pauses here")

    def run_in_thread(self, work: Callable[[], Any], then: Callable[[Any], None]) -> None:
        then(work())


class Waits(unittest.TestCase):
    def setUp(self) -> None:
        own, self.node = socket.socketpair()
        self.addCleanup(self.node.close)
        self.addCleanup(own.close)
        self.node.settimeout(10)
        self.sent = Reader(encoding="utf-8")

        def connect(_: str) -> ConnectionInterface:
            connection: Any = Connection(protocol=2)  # type: ignore[no-untyped-call]
            connection._sock = own
            return connection  # type: ignore[no-any-return]

        self.nodes = Nodes(Target("one", ("fake:1",), connect, connect), 16)
        self.nodes.look_soon = lambda: None  # type: ignore[method-assign]
        self.loop, self.replies = _Loop(), dict[str, Any]()
        self.lost = list[bool]()
        lose = lambda: self.lost.append(True)  # noqa: E731
        self.exchanges = LoopExchanges(self.loop, self.nodes, connect, 60.0, lambda: None, on_lost=lose)

    def submit(self, name: str, durability: Durability) -> None:
        self.nodes.durability = durability
        take = lambda replies: self.replies.update({name: replies[0]})  # noqa: E731
        self.exchanges.submit([("HGET", "{03}:discount:x:grants:0", name)], take)

    def received(self) -> list[tuple[str, ...]]:
        """Send what is queued, and return what the node has got."""
        self.exchanges.flush()
        self.sent.feed(self.node.recv(65536))
        found = []
        while (command := self.sent.gets()) is not False:
            found.append(tuple(command))
        return found

    def answer(self, *replies: bytes) -> None:
        self.node.sendall(b"".join(replies))
        (act,) = self.loop.watched.values()
        act(0)

    def test_calls_that_go_out_together_share_one_wait(self) -> None:
        for name in ("Ann", "Bob"):
            self.submit(name, Durability("replicated", 1, 250))
        self.assertEqual([each[0] for each in self.received()], ["HGET", "HGET", "SET", "WAIT"])
        self.answer(b"$1\r\na\r\n", b"$1\r\nb\r\n")
        self.assertEqual(self.replies, {})
        self.answer(OK, b":1\r\n")
        self.assertEqual(self.replies, {"Ann": "a", "Bob": "b"})

    def test_a_failed_wait_fails_all_calls_that_share_it(self) -> None:
        for name in ("Ann", "Bob"):
            self.submit(name, Durability("replicated", 1, 250))
        self.received()
        self.answer(b"$1\r\na\r\n", b"$1\r\nb\r\n", OK, b":0\r\n")
        self.assertEqual({type(each) for each in self.replies.values()}, {NotSafe})

    def test_the_next_calls_go_out_after_the_wait(self) -> None:
        self.submit("Ann", Durability("replicated", 1, 250))
        self.received()
        self.submit("Bob", self.nodes.durability)
        self.exchanges.flush()
        self.node.settimeout(0)
        self.assertRaises(BlockingIOError, self.node.recv, 1)
        self.node.settimeout(10)
        self.answer(b"$1\r\na\r\n", OK, b":1\r\n")
        self.assertEqual([each[0] for each in self.received()], ["HGET", "SET", "WAIT"])

    def test_the_mode_is_the_one_of_the_moment_at_which_calls_are_sent(self) -> None:
        self.submit("Ann", Durability("replicated", 1, 250))
        self.submit("Bob", Durability("synced", 1, 250))
        self.assertEqual([each[0] for each in self.received()], ["HGET", "HGET", "SET", "WAIT", "WAITAOF"])
        # A change while replies are awaited leaves none of them behind.
        self.nodes.durability = Durability("fast")
        self.answer(b"$1\r\na\r\n", b"$1\r\nb\r\n", OK, b":1\r\n", b"*2\r\n:1\r\n:1\r\n")
        self.assertEqual(self.replies, {"Ann": "a", "Bob": "b"})
        self.assertFalse(self.exchanges.is_waiting)

    def test_a_connection_that_the_node_ends_is_told_at_once(self) -> None:
        self.submit("Ann", Durability("fast"))
        self.received()
        self.answer(b"$1\r\n1\r\n")
        self.assertEqual((self.replies, self.lost), ({"Ann": "1"}, []))
        (act,) = self.loop.watched.values()
        self.node.close()
        act(0)
        self.assertEqual((self.loop.watched, self.lost), ({}, [True]))


if __name__ == "__main__":
    unittest.main()
