"""The thread that looks at the map of several servers: while the map is used, and no longer."""

import gc
import threading
import unittest
import weakref
from itertools import count
from unittest.mock import patch

from structlog.testing import capture_logs

from discount.store import nodes
from discount.store.nodes import Nodes
from discount.store.redis_url import read_url
from tests.support.patience import PATIENCE

#: Nothing listens there.
CLUSTER = "redis+cluster://127.0.0.1:1,127.0.0.1:2/"
ONE = "redis://127.0.0.1:1/0"


class Looking(unittest.TestCase):
    def setUp(self) -> None:
        self.looked = threading.Semaphore(0)

        def look(_: Nodes) -> bool:
            self.looked.release()
            return True

        for each in (patch.object(nodes, "REFRESH_SECONDS", 0.001), patch.object(Nodes, "look", look)):
            each.start()
            self.addCleanup(each.stop)

    def test_several_servers_are_looked_at_without_being_asked_to(self) -> None:
        found = Nodes(read_url(CLUSTER, 1.0), 16)
        found.keep_looking()
        for _ in range(3):
            self.assertTrue(self.looked.acquire(timeout=PATIENCE))

    def test_the_thread_ends_with_the_last_user_of_the_map(self) -> None:
        found = Nodes(read_url(CLUSTER, 1.0), 16)
        found.keep_looking()
        self.assertTrue(self.looked.acquire(timeout=PATIENCE))
        thread, gone = found._looker, weakref.ref(found)
        assert thread is not None
        del found
        gc.collect()
        thread.join(PATIENCE)
        self.assertFalse(thread.is_alive())
        self.assertIsNone(gone())

    def test_a_look_that_breaks_is_not_the_last_one(self) -> None:
        found = Nodes(read_url(CLUSTER, 1.0), 16)
        looks = count()

        def look(_: Nodes) -> bool:
            if next(looks) == 0:
                raise RuntimeError("an unexpected reply")
            self.looked.release()
            return True

        with patch.object(Nodes, "look", look), patch.object(nodes, "PAUSES", (0.0, 0.0)), capture_logs() as logs:
            found.keep_looking()
            self.assertTrue(self.looked.acquire(timeout=PATIENCE))
        self.assertEqual([each["event"] for each in logs], ["the look at the nodes failed"])

    def test_one_server_is_not_looked_at(self) -> None:
        found = Nodes(read_url(ONE, 1.0), 16)
        found.kind = "one"
        found.keep_looking()
        self.assertIsNone(found._looker)
