"""The workers rely on internals of gunicorn. These tests fail if an upgrade changes one of them."""

import inspect
import re
import unittest
from pathlib import Path
from typing import Any

import gunicorn
from gunicorn.arbiter import Arbiter
from gunicorn.config import Config
from gunicorn.http import errors
from gunicorn.http.body import ChunkedReader, LengthReader
from gunicorn.http.parser import RequestParser
from gunicorn.http.unreader import Unreader
from gunicorn.http.wsgi import Response, base_environ
from gunicorn.util import http_date
from gunicorn.workers import base, gthread
from gunicorn.workers.gthread import PollableMethodQueue, TConn, ThreadWorker

from discount.serving import hot_worker, pool_worker

ROOT = Path(__file__).parents[2]
NOTE = (ROOT / "doc" / "decisions" / "018-one-loop.md").read_text(encoding="utf-8")
#: What the workers and `Connection` override or call, with the parameters that they rely on.
SIGNATURES: dict[str, tuple[Any, str]] = {
    "ThreadWorker.check_config": (ThreadWorker.check_config, "cfg, log"),
    "ThreadWorker.init_process": (ThreadWorker.init_process, "self"),
    "ThreadWorker.run": (ThreadWorker.run, "self"),
    "ThreadWorker.accept": (ThreadWorker.accept, "self, listener"),
    "ThreadWorker.enqueue_req": (ThreadWorker.enqueue_req, "self, conn"),
    "ThreadWorker.handle_exit": (ThreadWorker.handle_exit, "self, sig, frame"),
    "ThreadWorker.handle_quit": (ThreadWorker.handle_quit, "self, sig, frame"),
    "ThreadWorker.wait_for_and_dispatch_events": (ThreadWorker.wait_for_and_dispatch_events, "self, timeout"),
    "ThreadWorker.is_parent_alive": (ThreadWorker.is_parent_alive, "self"),
    "Worker.init_process": (base.Worker.init_process, "self"),
    "Worker.handle_quit": (base.Worker.handle_quit, "self, sig, frame"),
    "Worker.notify": (base.Worker.notify, "self"),
    "Arbiter.spawn_worker": (Arbiter.spawn_worker, "self"),
    "Arbiter.reload": (Arbiter.reload, "self"),
    "Arbiter.reap_workers": (Arbiter.reap_workers, "self"),
    "ThreadWorker.handle": (ThreadWorker.handle, "self, conn"),
    "ThreadWorker.finish_request": (ThreadWorker.finish_request, "self, conn, fs"),
    "ThreadWorker.murder_keepalived": (ThreadWorker.murder_keepalived, "self, force"),
    "ThreadWorker._cap_keepalive": (ThreadWorker._cap_keepalive, "self, deadline"),
    "ThreadWorker._keepalive_after": (ThreadWorker._keepalive_after, "self, conn, keepalive"),
    "ThreadWorker.handle_error": (ThreadWorker.handle_error, "self, req, client, addr, exc"),
    "PollableMethodQueue.init": (PollableMethodQueue.init, "self"),
    "PollableMethodQueue.run_callbacks": (PollableMethodQueue.run_callbacks, "self, _fileobj, max_callbacks"),
    "PollableMethodQueue.defer": (PollableMethodQueue.defer, "self, callback, args"),
    "TConn.__init__": (TConn.__init__, "self, cfg, sock, client, server"),
    "TConn.init": (TConn.init, "self"),
    "TConn.close": (TConn.close, "self, graceful"),
    "RequestParser.finish_body": (RequestParser.finish_body, "self, deadline, max_bytes"),
    "Unreader.unread": (Unreader.unread, "self, data"),
    "Unreader.take_buffered": (Unreader.take_buffered, "self"),
    "Response.start_response": (Response.start_response, "self, status, headers, exc_info"),
    "Response.force_close": (Response.force_close, "self"),
    "base_environ": (base_environ, "cfg"),
    "http_date": (http_date, "timestamp"),
}
#: Attributes of a worker that ours read or set; `wsgi` is set when the app is loaded.
ATTRIBUTES = ("sockets", "alive", "cfg", "log", "max_requests", "method_queue", "nr", "nr_conns", "poller", "tpool")
#: Methods of `ThreadWorker` that must call the methods that the pool worker overrides.
CALLERS = {
    "run": (
        "self.sockets",
        "self.wait_for_and_dispatch_events(",
        "self.accept",
        "self.murder_keepalived",
        "self._cap_keepalive",
        "self.nr_conns",
        "self.worker_connections",
    ),
    "handle": ("conn.initialized", "conn.init()", "next(conn.parser)", "self._keepalive_after", "self.handle_error"),
    "handle_request": ("self.wsgi(environ, resp.start_response)",),
}


def body_of(head: bytes, body: bytes) -> Any:
    parser = RequestParser(Config(), iter([head + b"\r\n\r\n" + body]), ("127.0.0.1", 1))
    return next(parser).body


class Internals(unittest.TestCase):
    def test_the_version_is_the_pinned_one(self) -> None:
        pinned = re.search(r"^gunicorn==(\S+)", (ROOT / "requirements.txt").read_text(encoding="utf-8"), re.MULTILINE)
        self.assertIsNotNone(pinned)
        self.assertEqual(pinned and pinned[1], gunicorn.__version__)

    def test_every_method_has_the_parameters_that_are_used(self) -> None:
        for name, (method, parameters) in SIGNATURES.items():
            with self.subTest(name):
                self.assertEqual(", ".join(inspect.signature(method).parameters), parameters)

    def test_every_overridden_method_is_one_of_gunicorns(self) -> None:
        inherited = {
            name
            for name in vars(pool_worker.Worker).keys() | vars(hot_worker.Worker).keys()
            if hasattr(ThreadWorker, name) and callable(getattr(ThreadWorker, name))
        }
        overridden = {name for name in inherited if not name.startswith("__")}
        self.assertEqual({f"ThreadWorker.{name}" for name in overridden} - SIGNATURES.keys(), set())

    def test_a_worker_has_every_attribute_that_is_used(self) -> None:
        worker = ThreadWorker(1, 2, [], None, 30, Config(), None)
        self.addCleanup(worker.tmp.close)
        for name in (*ATTRIBUTES, "wsgi"):
            with self.subTest(name):
                self.assertTrue(hasattr(worker, name) or f"self.{name} = " in inspect.getsource(ThreadWorker.load_wsgi))

    def test_gunicorn_calls_the_methods_that_are_overridden(self) -> None:
        for name, used in CALLERS.items():
            source = inspect.getsource(getattr(gthread.ThreadWorker, name))
            if name == "run":
                source += inspect.getsource(ThreadWorker.set_accept_enabled)
            for each in used:
                with self.subTest(f"{name}: {each}"):
                    self.assertIn(each, source)

    def test_the_master_calls_the_hooks_that_give_a_worker_its_kind(self) -> None:
        spawn, reap = inspect.getsource(Arbiter.spawn_worker), inspect.getsource(Arbiter.reap_workers)
        self.assertLess(spawn.index("self.cfg.pre_fork(self, worker)"), spawn.index("os.fork()"))
        self.assertIn("self.cfg.child_exit(self, worker)", reap)
        reload = inspect.getsource(Arbiter.reload)
        self.assertLess(reload.index("self.cfg.on_reload(self)"), reload.index("self.spawn_worker()"))

    def test_a_body_shows_whether_it_has_been_read(self) -> None:
        plain = body_of(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 2", b"ab")
        chunked = body_of(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked", b"2\r\nab\r\n0\r\n\r\n")
        self.assertIsInstance(plain.reader, LengthReader)
        self.assertIsInstance(chunked.reader, ChunkedReader)
        self.assertEqual(plain.reader.length, 2)
        self.assertIsNotNone(chunked.reader.parser)
        self.assertEqual((plain.read(), chunked.read()), (b"ab", b"ab"))
        self.assertEqual(plain.reader.length, 0)
        self.assertIsNone(chunked.reader.parser)

    def test_every_parser_error_is_an_exception(self) -> None:
        for name in (
            *("LimitRequestLine", "LimitRequestHeaders", "InvalidHTTPVersion", "InvalidRequestMethod"),
            *("InvalidRequestLine", "UnsupportedTransferCoding", "ExpectationFailed", "InvalidChunkSize"),
            *("ChunkMissingTerminator", "InvalidChunkExtension", "ParseException"),
            *("InvalidResponseHeader", "InvalidResponseHeaderName"),
        ):
            with self.subTest(name):
                self.assertTrue(issubclass(getattr(errors, name), Exception))

    def test_an_idle_connection_has_a_limit_when_the_worker_stops(self) -> None:
        self.assertGreater(gthread.STOP_KEEPALIVE_LINGER, 0)
        self.assertTrue(gunicorn.SERVER)

    def test_the_note_lists_all_of_them(self) -> None:
        names = {*SIGNATURES, *(f"ThreadWorker.{name}" for name in (*ATTRIBUTES, "wsgi", "worker_connections"))}
        names |= {
            "LengthReader.length",
            "ChunkedReader.parser",
            "STOP_KEEPALIVE_LINGER",
            "SERVER",
            "gunicorn.http.errors",
        }
        self.assertEqual({name for name in names if f"`{name}`" not in NOTE}, set())
