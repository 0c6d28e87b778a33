"""Fixtures of the console suite: the service in this process, on a real Redis, and Chromium."""

from collections.abc import Callable, Iterator

import pytest
from playwright.sync_api import Browser, sync_playwright

from tests.console.browsing import Person
from tests.console.site import Site
from tests.support.fixtures import redis, redis_server
from tests.support.needs import need
from tests.support.redis_server import RedisServer
from tests.support.sqlite_ledger import SqliteLedger

OPTIONS = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--disable-background-networking"]


@pytest.fixture(scope="session")
def ledger(tmp_path_factory: pytest.TempPathFactory) -> SqliteLedger:
    return SqliteLedger(tmp_path_factory.mktemp("ledger"))


@pytest.fixture(scope="session")
def running(redis_server: RedisServer, ledger: SqliteLedger) -> Iterator[Site]:
    site = Site(redis_server.url, ledger)
    yield site
    site.stop()


@pytest.fixture
def site(running: Site, redis: object) -> Site:
    """The service with tokens, on an empty Redis."""
    return running


@pytest.fixture(scope="session")
def open_running(redis_server: RedisServer, ledger: SqliteLedger) -> Iterator[Site]:
    site = Site(redis_server.url, ledger, auth="open")
    yield site
    site.stop()


@pytest.fixture
def open_site(open_running: Site, redis: object) -> Site:
    """The open service, on an empty Redis."""
    return open_running


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    path = need("chromium")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=OPTIONS)
        yield browser
        browser.close()


@pytest.fixture
def visitor(browser: Browser) -> Iterator[Callable[..., Person]]:
    """Returns people with browsers of their own; at the end, none of them may have seen anything wrong."""
    people: list[Person] = []

    def come(site: Site, **options: object) -> Person:
        people.append(Person(site, browser.new_context(**options)))  # type: ignore[arg-type]
        return people[-1]

    yield come
    for each in people:
        each.context.close()
    for each in people:
        assert each.wrong == []


@pytest.fixture
def person(visitor: Callable[..., Person], site: Site) -> Person:
    return visitor(site)
