"""Fixtures of the mail suite: a service, its worker and a mail server, on a real Redis that each test finds empty."""

from collections.abc import Iterator

import pytest

from tests.mails.harness import MailHarness
from tests.mails.servers import Mailbox, serving
from tests.support.fixtures import redis_server
from tests.support.redis_server import RedisServer


@pytest.fixture
def harness(redis_server: RedisServer) -> Iterator[MailHarness]:
    with redis_server.client() as client:
        client.flushall()
    box = Mailbox()
    with serving(box) as port:
        yield MailHarness(redis_server.url, box, f"smtp+plain://127.0.0.1:{port}")
