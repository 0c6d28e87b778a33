"""The fast parser reads what gunicorn's parser reads, or nothing."""

import re
import unittest
from pathlib import Path
from typing import Any

from gunicorn.config import Config
from gunicorn.http.errors import ParseException
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import create
from hypothesis import given, settings
from hypothesis import strategies as st

from discount.serving import fast_parser

BODY = b'{"user_id":"User 1"}'
PEER, OURS = ("192.0.2.7", 40_000), ("127.0.0.1", 8000)


SERVER = Path(fast_parser.__file__).with_name("gunicorn_config.py").read_text(encoding="utf-8")


def configured() -> Config:
    """Return gunicorn settings as in gunicorn_config.py, as far as parsing needs them."""
    config = Config()
    config.set("forwarded_allow_ips", "*")
    config.set("secure_scheme_headers", {})
    config.set("forwarder_headers", re.findall(r'^forwarder_headers = "([A-Z_,]+)"', SERVER, re.MULTILINE)[0])
    config.set("http_parser", re.findall(r'^http_parser = "(\w+)"$', SERVER, re.MULTILINE)[0])
    for name, value in re.findall(r"^(limit_\w+) = (\d+)$", SERVER, re.MULTILINE):
        config.set(name, int(value))
    return config


CONFIG = configured()


def parsed(sent: bytes) -> tuple[dict[str, Any], bytes, bytes]:
    """Return the environment, the body and the rest, by gunicorn's parser.

    Raises:
        ParseException, StopIteration: gunicorn refuses the request.
    """
    parser = RequestParser(CONFIG, iter([sent]), PEER)
    request = next(parser)
    _, environ = create(request, None, PEER, OURS, CONFIG)
    return environ, request.body.read(), parser.unreader.read()


def parse(sent: bytes) -> dict[str, Any] | None:
    """Return the environment by the fast parser, or None, as the hot worker decides it."""
    end = sent.find(b"\r\n\r\n") + 4
    head = fast_parser.read_head(sent, end) if end >= 4 else None
    if head is None or len(sent) != end + head.length:
        return None
    own = {"REQUEST_METHOD": head.method, "PATH_INFO": head.path, "RAW_URI": head.path, "body": sent[end:]}
    # Read again, from what is remembered: that has to be the same.
    assert fast_parser.read_head(sent, end) == head
    assert head.keep_alive == (head.variables.get("HTTP_CONNECTION", "").lower() != "close")
    return head.variables | own


def request(*headers: str, line: str = "POST /redemption HTTP/1.1", length: str | None = None) -> bytes:
    own = ["Host: x", "Content-Type: application/json"]
    if length != "":
        own.append(f"Content-Length: {len(BODY) if length is None else length}")
    return "\r\n".join([line, *own, *headers, "", ""]).encode("latin-1") + BODY


PLAIN = (
    request(),
    request(line="POST /validation HTTP/1.1"),
    request(line="POST /discount/dsc-0aX_-9/grant HTTP/1.1"),
    request("Connection: close"),
    request("connection:\tKeep-Alive \t"),
    request("Authorization: Bearer a.b-c_d", "X-Request-Id: 17", "Idempotency-Key:", "X-Forwarded-For: a, b"),
    request('User-Agent: "x" (y; z) 1/2 ~!@#$%^&*()', "Accept:*/*", "X-Colon: a:b::c"),
    request(*(f"X-{number}: {number}" for number in range(61))),
    request("X-Long: " + "x" * 7000),
    b"GET /healthy HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
)
NOT_PLAIN = {
    "another address": request(line="POST /discount HTTP/1.1"),
    "an address with a tail": request(line="POST /redemption/ HTTP/1.1"),
    "a query": request(line="POST /redemption?a=b HTTP/1.1"),
    "a fragment": request(line="POST /redemption#a HTTP/1.1"),
    "an escape": request(line="POST /discount/dsc%2Dx/grant HTTP/1.1"),
    "a deeper address": request(line="POST /discount/a/b/grant HTTP/1.1"),
    "dots": request(line="POST /discount/../grant HTTP/1.1"),
    "a whole address": request(line="POST http://x/redemption HTTP/1.1"),
    "a body of a GET": request(line="GET /healthy HTTP/1.1"),
    "an empty body of a GET": b"GET /healthy HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n",
    "a GET with a query": b"GET /healthy?a HTTP/1.1\r\nHost: x\r\n\r\n",
    "a POST to the address of a GET": request(line="POST /healthy HTTP/1.1"),
    "another method": request(line="PUT /redemption HTTP/1.1"),
    "a method in lower case": request(line="post /redemption HTTP/1.1"),
    "an older version": request(line="POST /redemption HTTP/1.0"),
    "no version": request(line="POST /redemption"),
    "two blanks": request(line="POST  /redemption HTTP/1.1"),
    "a blank at the end": request(line="POST /redemption HTTP/1.1 "),
    "an empty line before": b"\r\n" + request(),
    "CL.TE": request("Transfer-Encoding: chunked"),
    "TE alone": request("Transfer-Encoding: chunked", length=""),
    "TE that is none": request("Transfer-Encoding: identity"),
    "TE with a tab": request("Transfer-Encoding:\tchunked"),
    "TE with a blank before the colon": request("Transfer-Encoding : chunked"),
    "TE with 0x0b": request("Transfer-Encoding: \x0bchunked"),
    "TE in a folded line": request("X: a\r\n Transfer-Encoding: chunked"),
    "TE behind a bare LF": request("X: a\nTransfer-Encoding: chunked"),
    "TE behind a bare CR": request("X: a\rTransfer-Encoding: chunked"),
    "TE with an underscore": request("Transfer_Encoding: chunked"),
    "two lengths": request("Content-Length: 20"),
    "two lengths that differ": request("Content-Length: 0"),
    "two lengths, one in lower case": request("content-length: 20"),
    "two lengths, one with an underscore": request("Content_Length: 20"),
    "a length with a sign": request(length="+20"),
    "a length below zero": request(length="-20"),
    "a length with a blank": request(length="2 0"),
    "a length with a comma": request(length="20, 20"),
    "a length with a nought before": request(length="020"),
    "a length with an underscore": request(length="2_0"),
    "a length with a point": request(length="20.0"),
    "a length in another base": request(length="0x14"),
    "a length in other digits": request(length="²0"),
    "an empty length": request(length=" "),
    "no length": request(length=""),
    "a length that is too small": request(length="19"),
    "a length that is too large": request(length="21"),
    "a request behind it": request() + request(),
    "a line break behind it": request() + b"\r\n",
    "a folded line": request("X: a\r\n b"),
    "a folded line with a tab": request("X: a\r\n\tb"),
    "a NUL": request("X: a\0b"),
    "0x0b": request("X: a\x0bb"),
    "DEL": request("X: a\x7fb"),
    "beyond ASCII": request("X: ä"),
    "a name beyond ASCII": request("Ä: a"),
    "a bare LF": request("X: a\nY: b"),
    "a bare CR": request("X: a\rY: b"),
    "lines that end in LF": request().replace(b"\r\n", b"\n"),
    "no name": request(": a"),
    "no colon": request("X"),
    "a blank before the colon": request("X : a"),
    "a blank before a name": request(" X: a"),
    "an underscore in a name": request("X_Forwarded_For: a"),
    "a name with a bracket": request("X(: a"),
    "two hosts": request("Host: y"),
    "no host": request().replace(b"Host: x\r\n", b""),
    "two types": request("content-type: text/plain"),
    "two tokens": request("Authorization: a", "authorization: b"),
    "two addresses": request("X-Forwarded-For: a", "X-Forwarded-For: b"),
    "two keys": request("Idempotency-Key: a", "Idempotency-Key: b"),
    "two ids": request("X-Request-Id: a", "X-Request-Id: b"),
    "two of anything": request("X: a", "x: a"),
    "two connections": request("Connection: close", "Connection: keep-alive"),
    "a connection of its own kind": request("Connection: keep-alive, X"),
    "an upgrade": request("Connection: Upgrade", "Upgrade: h2c"),
    "an upgrade unasked": request("Upgrade: websocket"),
    "an expectation": request("Expect: 100-continue"),
    "a trailer": request("Trailer: X"),
    "too many lines": request(*(f"X-{number}: {number}" for number in range(62))),
    "too long a line": request("X-Long: " + "x" * 8001),
    "too long a name": request("X" * 65 + ": a"),
    "too long an address": request(line=f"POST /discount/{'x' * 65}/grant HTTP/1.1"),
    "half a head": request()[:60],
    "nothing": b"",
}

NAMES = ("Content-Type", "Connection", "X-Request-Id", "X-Forwarded-For", "X-Forwarded-Proto", "Script-Name", "Accept")
CRLF = st.just("\r\n")
VISIBLE = st.text(st.characters(min_codepoint=32, max_codepoint=126) | st.just("\t"), max_size=12)
PLAIN_LINE = st.tuples(
    st.sampled_from(NAMES) | st.text("aB-.~!'", min_size=1, max_size=4),
    st.sampled_from([":", ": ", ":\t"]),
    VISIBLE,
    CRLF,
)
ANY_LINE = st.tuples(
    st.sampled_from([*NAMES, "Host", "Content-Length", "Transfer-Encoding", "Expect", "x_request_id", " X", "X ", ""])
    | st.text(st.characters(max_codepoint=255), max_size=4),
    st.sampled_from([":", ": ", " :", ""]),
    st.sampled_from([str(len(BODY)), "0", "chunked", "close", "100-continue"])
    | st.text(st.characters(max_codepoint=255), max_size=6),
    st.sampled_from(["\r\n", "\n", "\r", "\r\n ", ""]),
)


class RawCalls(unittest.TestCase):
    def assert_read_alike(self, sent: bytes) -> None:
        """Check that the fast parser's values equal gunicorn's, and that it reads nothing that gunicorn refuses."""
        ours = parse(sent)
        if ours is None:
            return
        theirs, body, left = parsed(sent)
        self.assertEqual((ours.pop("body"), left), (body, b""))
        self.assertEqual(ours, {name: theirs.get(name) for name in ours})
        self.assertEqual(
            {name for name in ours if name.startswith(("HTTP_", "CONTENT_"))},
            {name for name in theirs if name.startswith(("HTTP_", "CONTENT_"))},
        )
        self.assertEqual(theirs["SERVER_PROTOCOL"], "HTTP/1.1")
        self.assertEqual((theirs["QUERY_STRING"], theirs["SCRIPT_NAME"]), ("", ""))
        self.assertEqual(theirs["wsgi.url_scheme"], "http")

    def test_a_plain_request_is_read_as_the_parser_reads_it(self) -> None:
        for sent in PLAIN:
            with self.subTest(sent[:200]):
                self.assertIsNotNone(parse(sent))
                self.assert_read_alike(sent)

    def test_a_request_that_is_not_plain_is_left_to_the_parser(self) -> None:
        for name, sent in NOT_PLAIN.items():
            with self.subTest(name):
                self.assertIsNone(parse(sent))

    def test_a_request_that_is_cut_anywhere_is_left_to_the_parser(self) -> None:
        for end in range(len(PLAIN[0])):
            self.assertIsNone(parse(PLAIN[0][:end]))

    def test_a_changed_byte_is_never_read_in_two_ways(self) -> None:
        for sent in PLAIN[:7]:
            for place in range(sent.index(b"\r\n\r\n") + 4):
                for byte in b"\0\t\n\x0b\r :_,%;a0\x7f\x80\xa0":
                    changed = bytearray(sent)
                    changed[place] = byte
                    self.assert_read_alike(bytes(changed))

    @settings(max_examples=1000)
    @given(
        st.lists(PLAIN_LINE, max_size=8, unique_by=lambda line: line[0]), st.lists(ANY_LINE, max_size=1), st.booleans()
    )
    def test_both_parsers_read_any_head_alike_or_one_declines(
        self, plain: list[tuple[str, ...]], other: list[tuple[str, ...]], more: bool
    ) -> None:
        lines = "".join("".join(line) for line in plain + other)
        head = f"POST /redemption HTTP/1.1\r\nHost: x\r\nContent-Length: {len(BODY)}\r\n{lines}\r\n"
        self.assert_read_alike(head.encode("latin-1") + BODY * (1 + more))

    def test_the_limits_of_the_server_are_not_narrower(self) -> None:
        self.assertIn("secure_scheme_headers: dict[str, str] = {}\n", SERVER)
        self.assertGreaterEqual(CONFIG.limit_request_fields, fast_parser.MOST_LINES)
        longest = fast_parser.LONGEST_NAME + len(":") + fast_parser.LONGEST_VALUE + len("\r\n")
        self.assertGreaterEqual(CONFIG.limit_request_field_size, longest)

    def test_the_parser_refuses_ambiguous_requests(self) -> None:
        for name in ("CL.TE", "two lengths", "a length with a sign", "a folded line", "a NUL", "a bare LF"):
            with self.subTest(name), self.assertRaises(ParseException):
                parsed(NOT_PLAIN[name])
