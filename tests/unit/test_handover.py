"""Connections are passed on with what was received, or closed: none is lost."""

import os
import socket
import unittest
from time import monotonic

from discount.serving.handover import Channel, Handed, Outbox

HERE, THERE = ("127.0.0.1", 8000), ("192.0.2.7", 40_000)


class Handover(unittest.TestCase):
    def setUp(self) -> None:
        self.channel = Channel()
        self.addCleanup(self.channel.close)

    def pair(self) -> tuple[socket.socket, socket.socket]:
        ours, theirs = socket.socketpair()
        self.addCleanup(theirs.close)
        return ours, theirs

    def test_a_connection_arrives_with_all_that_is_known_of_it(self) -> None:
        ours, theirs = self.pair()
        handed = Handed(THERE, HERE, b"GET / HTTP/1.1\r\n", 17.5, fresh=False)
        self.assertTrue(self.channel.send(ours, handed))
        taken = self.channel.take()
        assert taken is not None
        sock, found = taken
        self.assertEqual(found, handed)
        self.assertFalse(os.get_inheritable(sock.fileno()))
        with sock:
            sock.sendall(b"answer")
        self.assertEqual(theirs.recv(99), b"answer")
        # It is closed here, too: the client sees the end.
        self.assertEqual(theirs.recv(99), b"")

    def test_the_longest_head_fits(self) -> None:
        ours, _ = self.pair()
        received = b"x" * 128 * 1024
        self.assertTrue(self.channel.send(ours, Handed(THERE, HERE, received)))
        taken = self.channel.take()
        assert taken is not None
        with taken[0]:
            self.assertEqual(taken[1].received, received)

    def test_nothing_is_taken_from_an_empty_channel(self) -> None:
        self.assertIsNone(self.channel.take())

    def test_connections_wait_for_a_full_channel_and_arrive_in_order(self) -> None:
        outbox = Outbox(self.channel)
        several = [self.pair()[0] for _ in range(40)]
        for number, sock in enumerate(several):
            outbox.put(sock, Handed(THERE, HERE, b"%d" % number * 60_000), 60)
        self.assertGreater(len(outbox), 0)
        found = []
        while (taken := self.channel.take()) is not None:
            taken[0].close()
            found.append(taken[1].received[:2])
            outbox.flush()
        self.assertEqual(found, [(b"%d" % number * 2)[:2] for number in range(40)])
        self.assertEqual(len(outbox), 0)

    def test_a_connection_that_waited_too_long_is_closed(self) -> None:
        outbox = Outbox(self.channel)
        full, theirs = self.pair()
        while self.channel.send(self.pair()[0], Handed(THERE, HERE, b"x" * 100_000)):
            pass
        outbox.put(full, Handed(THERE, HERE), 0)
        self.assertEqual(len(outbox), 0)
        self.assertEqual(theirs.recv(1), b"")

    def test_times_are_by_a_clock_that_processes_share(self) -> None:
        reader, writer = os.pipe()
        child = os.fork()
        if not child:
            os.write(writer, str(monotonic()).encode())
            os._exit(0)
        os.waitpid(child, 0)
        self.assertLess(abs(float(os.read(reader, 99)) - monotonic()), 3600)
